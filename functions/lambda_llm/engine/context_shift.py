"""When a conversation outgrows the context and its oldest tokens are to make room."""

from collections.abc import Sequence
from typing import Final

from lambda_llm.engine.decoder import Decoder
from lambda_llm.engine.prefix_cache import PrefixCache

FREE_SHARE: Final = 4
"""A quarter of the context is free again afterwards. Turns that follow drop the same tokens, until it is full once
more: what is left begins alike for all of them, and their caches serve."""


def fixed_prefix(prefixes: PrefixCache, prompt: Sequence[int]) -> int:
    """How many tokens never make room: a pinned system prompt's, or the one that begins every sequence."""
    return max(prefixes.pinned_length(prompt), 1)


def shortened(decoder: Decoder, prefixes: PrefixCache, prompt: Sequence[int]) -> list[int]:
    """A prompt without its oldest turns, the system prompt excepted, that leaves a quarter of the context free.

    What is left begins with a whole turn. Where the last one alone is too long, it is returned as it is.
    """
    step = max(decoder.context_length // FREE_SHARE, 1)
    fixed = fixed_prefix(prefixes, prompt)
    excess = len(prompt) - (decoder.context_length - step)
    goal = fixed + -(-excess // step) * step
    turns = [index + 1 for index, token in enumerate(prompt[:-1]) if index >= fixed and decoder.model.ends_turn(token)]
    # The end of the last turn is the end of what the user said: the answer's beginning alone is no prompt.
    starts = turns[:-1]
    start = next((each for each in starts if each >= goal), starts[-1] if starts else None)
    return list(prompt) if start is None else [*prompt[:fixed], *prompt[start:]]


def make_room(decoder: Decoder, fixed: int) -> None:
    """Drop the older half of what was evaluated behind the first `fixed` tokens, and move the rest forward.

    What is left was computed in the presence of what is gone, so it serves this answer and no other.

    Raises:
        EngineError: llama.cpp failed.
    """
    decoder.remove(fixed, max((len(decoder.evaluated) - fixed) // 2, 1))
