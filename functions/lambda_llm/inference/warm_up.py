"""Warm-up: does before the snapshot what a first request would otherwise wait for."""

import logging
from collections.abc import Sequence
from typing import Final

from lambda_llm.engine.chat_template import ChatTemplate
from lambda_llm.engine.constraints import schema_constraint
from lambda_llm.engine.decoder import Decoder, common_prefix
from lambda_llm.engine.engine import Engine
from lambda_llm.engine.errors import NotGenerativeError
from lambda_llm.engine.generate import GenerationRequest, check_room
from lambda_llm.engine.guesses import measured
from lambda_llm.engine.matcher import compiled
from lambda_llm.engine.sampling import Sampling
from lambda_llm.engine.schemas import Enforceable
from lambda_llm.gguf.memory_plan import GUESSED_MAX
from lambda_llm.gguf.options import Guess

logger = logging.getLogger(__name__)

PROBES: Final = ("Hello", "1")
"""Two user messages after a system prompt, without a letter in common: the common prefix of their prompts is what comes
before the user's text."""

WARM_TOKENS: Final = 4
"""Generated at init, so that the snapshot contains the pages and threads that decoding needs."""


_ANY_OBJECT: Final = Enforceable({"type": "object"})


def warm_up_decoder(engine: Engine, system_prompts: Sequence[str] = ()) -> int:
    """Generate a few tokens, pin every system prompt's prefix, and leave the first one's in the KV cache.

    Where nobody says whether tokens are guessed, it is measured whether that pays.

    Args:
        engine: with a generative model.
        system_prompts: the most likely one first.

    Returns:
        Number of tokens in the KV cache.

    Raises:
        TemplateError, ContextOverflowError: a system prompt can't be used with this model.
        NonFiniteError: the model computes NaN or infinity.
    """
    decoder = engine.decoder
    for system_prompt in reversed(system_prompts):
        prompts = [_prompt(engine.template, system_prompt, text) for text in PROBES]
        check_room(prompts[0], decoder.context_length)
        with decoder.lock:
            engine.prefixes.pin(prompts[0][: common_prefix(*prompts)])
    if engine.model.chat_template:
        prompt = _prompt(engine.template, system_prompts[0] if system_prompts else None, PROBES[0])
    else:
        prompt = engine.model.prompt_tokens(PROBES[0]) or [0]
    for _ in engine.generate(GenerationRequest(prompt, Sampling(temperature=0), max_tokens=WARM_TOKENS)):
        pass
    # A constraint needs the vocabulary in another form, which takes half a second for 128,000 tokens.
    compiled(schema_constraint(_ANY_OBJECT, _ANY_OBJECT), decoder.trie)
    # The next prompt shares all but the user's text with this one, so its prefill starts from this cache.
    with decoder.lock:
        decoder.evaluate(prompt)
        if engine.plan.options.guess is Guess.AUTO:
            _measure_guesses(decoder)
    return len(decoder.evaluated)


def _measure_guesses(decoder: Decoder) -> None:
    cost = measured(decoder)
    decoder.guess_cost = cost.ratio if cost and cost.pays else None
    if cost:
        logger.info(
            "tokens are %sguessed: one takes %.1f ms, and %.2f times as long with %d guessed ones behind it",
            "" if cost.pays else "not ",
            cost.token_seconds * 1000,
            cost.ratio,
            GUESSED_MAX,
        )
    else:
        logger.info("tokens are not guessed: this model's KV cache can't be cut, or its context has no room")


def warm_up_encoder(engine: Engine, system_prompts: Sequence[str] = ()) -> int:
    """Encode a few tokens. An encoder has no state between requests, so 0 tokens are in a cache.

    Args:
        engine: with an encoder.
        system_prompts: must be empty.

    Raises:
        NotGenerativeError: there is a system prompt.
        NonFiniteError: the model computes NaN or infinity.
    """
    if system_prompts:
        raise NotGenerativeError
    with engine.encoder.lock:
        engine.encoder.encode([engine.model.tokenize(text, add_special=True) for text in PROBES])
    return 0


def _prompt(template: ChatTemplate, system_prompt: str | None, text: str) -> list[int]:
    opening = [{"role": "system", "content": system_prompt}] if system_prompt else []
    return template.tokens([*opening, {"role": "user", "content": text}])
