"""Do before the snapshot what a first request would wait for."""

from typing import Final

from lambda_llm.engine.generate import Generation
from lambda_llm.engine.model import Model
from lambda_llm.engine.sampling import Sampling
from lambda_llm.engine.template import ChatTemplate

WARM_TOKENS: Final = 4
"""Generated at init: pages and threads that decoding needs are then in use when the snapshot is taken."""


def warm_up(model: Model, template: ChatTemplate, system_prompt: str | None) -> int:
    """Generate a few tokens, then leave the system prompt in the KV cache.

    Args:
        model: to warm.
        template: its chat template.
        system_prompt: what conversations begin with, or None.

    Returns:
        Tokens that are ready in the KV cache.

    Raises:
        TemplateError, ContextOverflowError: the system prompt can't be used with this model.
    """
    opening = [{"role": "system", "content": system_prompt}] if system_prompt else []
    if model.chat_template:
        prompt = template.tokens([*opening, {"role": "user", "content": "Hello"}])
    else:
        prompt = model.tokenize("Hello", add_special=True) or [0]
    for _ in Generation(model, prompt, Sampling(temperature=0), max_tokens=WARM_TOKENS):
        pass
    # The next prompt shares all but the user's own words with this one; its cache takes what it can use.
    with model.lock:
        model.evaluate(prompt)
    return len(model.evaluated)
