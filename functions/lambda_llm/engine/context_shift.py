"""Context shift: when a conversation overflows the context, its oldest tokens are dropped."""

from collections.abc import Sequence
from typing import Final

from lambda_llm.engine.decoder import Decoder
from lambda_llm.engine.prefix_cache import PrefixCache

FREE_SHARE: Final = 4
"""A quarter of the context is free afterwards. Later turns drop the same tokens until it is full again, so that they
share a prefix and reuse the KV cache."""


def fixed_prefix(prefixes: PrefixCache, prompt: Sequence[int]) -> int:
    """How many tokens are never dropped: those of a pinned system prompt, or else BOS alone."""
    return max(prefixes.pinned_length(prompt), 1)


def shortened(decoder: Decoder, prefixes: PrefixCache, prompt: Sequence[int]) -> list[int]:
    """A prompt without its oldest turns, but with a pinned system prompt, that leaves a quarter of the context free.

    Turns are dropped whole. The last one is kept even where it alone is too long; a prompt of one turn is unchanged.
    """
    step = max(decoder.context_length // FREE_SHARE, 1)
    fixed = fixed_prefix(prefixes, prompt)
    excess = len(prompt) - (decoder.context_length - step)
    goal = fixed + -(-excess // step) * step
    turns = [index + 1 for index, token in enumerate(prompt[:-1]) if index >= fixed and decoder.model.ends_turn(token)]
    # The last end of a turn ends the user's message: the header of the model's turn alone is no prompt.
    starts = turns[:-1]
    start = next((each for each in starts if each >= goal), starts[-1] if starts else None)
    return list(prompt) if start is None else [*prompt[:fixed], *prompt[start:]]


def make_room(decoder: Decoder, fixed: int) -> None:
    """Drop the older half of the evaluated tokens behind the first `fixed` ones, and shift the rest forward.

    The remaining keys and values were computed in the presence of the dropped tokens: use them for this generation
    only.
    """
    decoder.remove(fixed, max((len(decoder.evaluated) - fixed) // 2, 1))
