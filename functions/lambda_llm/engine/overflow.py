"""When a conversation outgrows the context and the oldest of it is to make room."""

from collections.abc import Sequence
from typing import Final

from lambda_llm.engine.model import Model

FREE_SHARE: Final = 4
"""A quarter of the context is free again afterwards. Turns that follow drop the same tokens, until it is full once
more: what is left begins alike for all of them, and their caches serve."""


def kept_beginning(model: Model, prompt: Sequence[int]) -> int:
    """How many tokens never make room: a kept system prompt's, or the one that begins every sequence."""
    return max(model.prefixes.covers(prompt), 1)


def shortened(model: Model, prompt: Sequence[int]) -> list[int]:
    """A prompt without its oldest turns, the system prompt excepted, that leaves a quarter of the context free.

    What is left begins with a whole turn. Where the last one alone is too long, it is returned as it is.
    """
    step = max(model.context // FREE_SHARE, 1)
    keep = kept_beginning(model, prompt)
    excess = len(prompt) - (model.context - step)
    goal = keep + -(-excess // step) * step
    turns = [index + 1 for index, token in enumerate(prompt[:-1]) if model.ends(token) and index >= keep]
    # The end of the last turn is the end of what the user said: the answer's beginning alone is no prompt.
    starts = turns[:-1]
    start = next((each for each in starts if each >= goal), starts[-1] if starts else None)
    return list(prompt) if start is None else [*prompt[:keep], *prompt[start:]]


def make_room(model: Model, keep: int) -> None:
    """Drop the older half of what was evaluated behind the first `keep` tokens, and move the rest forward.

    What is left was computed in the presence of what is gone, so it serves this answer and no other.

    Raises:
        EngineError: llama.cpp failed.
    """
    model.drop(keep, max((len(model.evaluated) - keep) // 2, 1))
