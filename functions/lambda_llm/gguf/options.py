"""Options for opening a model."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

DEFAULT_CONTEXT: Final = 4096
"""Tokens, unless the model was trained for fewer; a model's full context may need more memory than its weights."""


class KVType(StrEnum):
    """Data type of the KV cache, in llama.cpp's spelling."""

    F16 = "f16"
    Q8_0 = "q8_0"


class Weights(StrEnum):
    """Where the one resident copy of the weights is.

    `copied`: llama.cpp reads the weights out of the memory file into its own, repacked layout, and the memory file is
    freed: fastest, but both exist while loading. `mapped`: the memory file's pages *are* the weights: no peak, but no
    repacking. `auto` takes `copied` where that repacks anything and fits, else `mapped`.
    """

    AUTO = "auto"
    COPIED = "copied"
    MAPPED = "mapped"


class Guess(StrEnum):
    """Whether tokens of an answer are guessed and evaluated together with the one before them.

    `auto`: where the warm-up finds that it pays. `on`: without measuring. `off`: never.
    """

    AUTO = "auto"
    ON = "on"
    OFF = "off"


@dataclass(frozen=True)
class ModelOptions:
    """How a model is opened.

    Attributes:
        context_length: tokens of prompt and output together; None: what the model was trained for, `DEFAULT_CONTEXT`
            at most. A memory plan resolves it.
        kv_type: data type of the KV cache.
        placement: where the weights are; a memory plan resolves `auto`.
        threads: that llama.cpp computes with; None: by the number of available CPUs and the size of the weights.
        context_shift: whether the oldest tokens are dropped when the context is full.
        guess: whether tokens are guessed.
    """

    context_length: int | None = None
    kv_type: KVType = KVType.F16
    placement: Weights = Weights.AUTO
    threads: int | None = None
    context_shift: bool = False
    guess: Guess = Guess.AUTO
