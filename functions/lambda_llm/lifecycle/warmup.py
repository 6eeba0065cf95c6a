"""Do before the snapshot what a first request would wait for."""

from collections.abc import Sequence
from typing import Final

from lambda_llm.engine.encoder import Encoder
from lambda_llm.engine.errors import NotGenerativeError
from lambda_llm.engine.generate import Generation, check_room
from lambda_llm.engine.model import Model
from lambda_llm.engine.prefix import common_prefix
from lambda_llm.engine.sampling import Sampling
from lambda_llm.engine.template import ChatTemplate

PROBES: Final = ("Hello", "1")
"""What a user might say after a system prompt: with no letter in common, so that two prompts have in common what comes
before."""

WARM_TOKENS: Final = 4
"""Generated at init: pages and threads that decoding needs are then in use when the snapshot is taken."""


def warm_up(model: Model, template: ChatTemplate, system_prompts: Sequence[str] = ()) -> int:
    """Generate a few tokens, keep every system prompt's keys and values, and leave the first one's in the KV cache.

    An encoder reads a few tokens instead.

    Args:
        model: to warm.
        template: its chat template.
        system_prompts: what conversations begin with; the likeliest first.

    Returns:
        Tokens that are ready in the KV cache.

    Raises:
        NotGenerativeError: there is a system prompt, and the model is an encoder.
        TemplateError, ContextOverflowError: a system prompt can't be used with this model.
    """
    if isinstance(model, Encoder):
        if system_prompts:
            raise NotGenerativeError
        with model.lock:
            model.encode([model.tokenize(words, add_special=True) for words in PROBES])
        return 0
    for system_prompt in reversed(system_prompts):
        prompts = [_prompt(template, system_prompt, words) for words in PROBES]
        check_room(prompts[0], model.context)
        with model.lock:
            model.prefixes.keep(prompts[0][: common_prefix(*prompts)])
    if model.chat_template:
        prompt = _prompt(template, system_prompts[0] if system_prompts else None, PROBES[0])
    else:
        prompt = model.tokenize(PROBES[0], add_special=True) or [0]
    for _ in Generation(model, prompt, Sampling(temperature=0), max_tokens=WARM_TOKENS):
        pass
    # The next prompt shares all but the user's own words with this one; its cache takes what it can use.
    with model.lock:
        model.evaluate(prompt)
    return len(model.evaluated)


def _prompt(template: ChatTemplate, system_prompt: str | None, words: str) -> list[int]:
    opening = [{"role": "system", "content": system_prompt}] if system_prompt else []
    return template.tokens([*opening, {"role": "user", "content": words}])
