"""Vectors as the answers of a batch have them."""

import binascii
import math
import sys
from array import array
from dataclasses import dataclass
from typing import Any, Final

from lambda_llm.documents.errors import ExportError

FLOAT_BYTES: Final = 4
OK: Final = 200


@dataclass(frozen=True)
class Vector:
    """A text's vector.

    Attributes:
        numbers: little-endian 32-bit floats, one behind the other.
        model: that made it, by its own account.
    """

    numbers: bytes
    model: str

    @property
    def dimension(self) -> int:
        """How many numbers it has."""
        return len(self.numbers) // FLOAT_BYTES


def vector(line: dict[str, Any]) -> Vector:
    """The vector of a line of a batch's output: numbers, or little-endian 32-bit floats in base64.

    Source: https://platform.openai.com/docs/api-reference/embeddings/create

    Raises:
        ExportError: there is none, or it has something else than finite numbers.
    """
    try:
        response = line["response"]
        (data,) = response["body"]["data"]
        model = response["body"]["model"]
        numbers = _numbers(data["embedding"])
        sound = response["status_code"] == OK and isinstance(model, str)
    except (KeyError, TypeError, ValueError, OverflowError):  # what is no base64 is a ValueError too
        sound = False
    # A sum of finite 32-bit floats is finite in 64 bits.
    if not sound or not numbers or not math.isfinite(sum(numbers)):
        raise ExportError(
            f"The answer to {str(line.get('custom_id'))[:100]!r} has no vector of finite numbers: check that the model "
            "is an encoder, and start a new run."
        )
    return Vector(_little(numbers), model)


def _numbers(embedding: Any) -> "array[float]":
    numbers = array("f")
    if isinstance(embedding, str):
        numbers.frombytes(binascii.a2b_base64(embedding, strict_mode=True))
        if sys.byteorder == "big":
            numbers.byteswap()
    elif any(isinstance(number, bool) for number in embedding):
        raise TypeError
    else:
        numbers.fromlist(embedding)
    return numbers


def _little(numbers: "array[float]") -> bytes:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()
