"""Finds NaN and infinity among the small weights, before a model answers with what they do to it."""

from collections.abc import Iterable
from typing import Final

import numpy as np

from lambda_llm.gguf.errors import CorruptError
from lambda_llm.gguf.header import Tensor

_MAX_BYTES: Final = 1024 * 1024
"""Of a matrix that is checked, such as an expert router; vectors (norms, biases) seldom have more."""
_PIECE_BYTES: Final = 1024 * 1024

_BF16_EXPONENT: Final = 0x7F80
"""The bits of BF16's exponent: all set in NaN and infinity, as in the upper half of IEEE 754's binary32."""

_DTYPES: Final = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "F64": "<f8"}


def check_finite(path: str, tensors: Iterable[Tensor]) -> None:
    """Read every unquantized tensor that is a vector, or has at most 1 MiB.

    A NaN in a norm does not reach the logits: llama.cpp quantizes the activations behind it, and a block of which one
    number is NaN becomes any block. So the warm-up sees numbers, only wrong ones.

    Args:
        path: of the GGUF file.
        tensors: of its header.

    Raises:
        CorruptError: one of them has NaN or infinity.
    """
    with open(path, "rb") as file:  # noqa: PTH123 - a path below /proc/self/fd
        for tensor in tensors:
            if tensor.type in _DTYPES and (len(tensor.shape) == 1 or tensor.size <= _MAX_BYTES):
                file.seek(tensor.offset)
                pieces = (
                    file.read(min(_PIECE_BYTES, tensor.size - start)) for start in range(0, tensor.size, _PIECE_BYTES)
                )
                if not all(_finite(piece, tensor.type) for piece in pieces):
                    raise CorruptError(
                        f"Tensor {tensor.name!r} has a weight that is not finite (NaN or infinity), so the model "
                        "would answer nonsense: upload or download the model again, or convert it again."
                    )


def _finite(piece: bytes, kind: str) -> bool:
    numbers = np.frombuffer(piece, _DTYPES[kind])
    finite = numbers & _BF16_EXPONENT != _BF16_EXPONENT if kind == "BF16" else np.isfinite(numbers)
    return bool(finite.all())
