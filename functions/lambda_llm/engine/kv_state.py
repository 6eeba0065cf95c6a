"""What llama.cpp writes for the keys and values of a sequence, as far as it takes to find the numbers in it.

A state is one section for each of the caches that a model has (one; two where some layers have a sliding window):
the cells, then for each layer the keys of all cells, then for each layer their values. The format says neither how
many sections follow nor whether cells have further positions (M-RoPE) or a cache keeps values (MLA does not), so every
way is tried, and only one that ends where the state ends is right. llama.cpp's version is part of every entry's name,
so no state of another format is ever read.

Source: `state_write`, `state_write_meta` and `state_write_data` in llama.cpp's src/llama-kv-cache.cpp
"""

import struct
from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

import numpy as np

from lambda_llm.engine.errors import EngineError

_HEADER: Final = struct.Struct("<Ii")  # magic, sequence
_MAGIC: Final = 0xAF143CD8
_SECTION: Final = struct.Struct("<II")  # streams, cells
_LAYERS: Final = struct.Struct("<II")  # whether values are transposed, layers
_ROWS: Final = struct.Struct("<iQ")  # type, bytes of one cell
_COLUMNS: Final = struct.Struct("<iII")  # type, bytes of one number, numbers of one cell

_CELL_BYTES: Final = (12, 24)
"""Of a cell: position, number of sequences (one) and the sequence; with further positions or the token, 12 more."""
_SECTIONS: Final = 4
"""Most caches of a model."""

_LAYERS_MAX: Final = 512
"""LLAMA_MAX_LAYERS in llama.cpp's src/llama-hparams.h."""

_F16, _Q8_0 = 1, 8  # ggml_type
_Q8_0_BLOCK: Final = np.dtype([("scale", "<u2"), ("numbers", "i1", 32)])
_EXPONENT: Final = 0x7C00
"""Bits of a half-precision number that are all set if it is infinite or no number."""

Tensor = tuple[int, "np.ndarray[Any, Any]"]
"""A ggml_type and the bytes."""


def check_finite(state: bytes | bytearray | memoryview) -> None:
    """Return if all keys and values of a state are finite numbers.

    One that is not makes every later answer noise, or stops at the next sampling; and a stored one would do so in
    every process, for ever.

    Args:
        state: of `Decoder.read_state`, with a cache in f16 or q8_0.

    Raises:
        EngineError: it has other numbers, or another form.
    """
    data = np.frombuffer(state, np.uint8)
    tensors = _tensors(data)
    if not tensors:
        raise EngineError("Keys and values have a form that this version of lambda-llm does not know.")
    for kind, numbers in tensors:
        halves = numbers.view(_Q8_0_BLOCK)["scale"] if kind == _Q8_0 else numbers.view("<u2")
        if ((halves & _EXPONENT) == _EXPONENT).any():
            raise EngineError("Keys and values have numbers that are not finite.")


def _tensors(data: "np.ndarray[Any, Any]") -> list[Tensor] | None:
    """Keys and values of all layers, or None where no way to read the state ends where it does."""
    if len(data) < _HEADER.size or _HEADER.unpack_from(data.data)[0] != _MAGIC:
        return None
    ways = (_sections(data, _HEADER.size, cell_bytes, _SECTIONS) for cell_bytes in _CELL_BYTES)
    return next(chain.from_iterable(ways), None)


def _sections(data: "np.ndarray[Any, Any]", at: int, cell_bytes: int, most: int) -> Iterator[list[Tensor]]:
    """Every way to read what begins at `at` as sections."""
    if at == len(data):
        yield []
    elif most:
        for values in (True, False):
            reading = _Reading(data, at)
            try:
                found = _section(reading, cell_bytes, values=values)
            except (struct.error, ValueError):
                continue
            for rest in _sections(data, reading.at, cell_bytes, most - 1):
                yield [*found, *rest]


def _section(reading: "_Reading", cell_bytes: int, *, values: bool) -> list[Tensor]:
    streams, cells = reading.numbers(_SECTION)
    if streams != 1:
        raise ValueError("a unified cache has one stream")
    if not cells:
        return []
    if (reading.take(cells * cell_bytes).view("<u4").reshape(cells, -1)[:, 1] != 1).any():
        raise ValueError("every cell is in one sequence")
    transposed, layers = reading.numbers(_LAYERS)
    if layers > _LAYERS_MAX:
        raise ValueError("no model has so many layers")
    tensors = []
    for index in range(layers * (1 + values)):
        if index >= layers and transposed:
            kind, size, count = reading.numbers(_COLUMNS)
            row = size * count
        else:
            kind, row = reading.numbers(_ROWS)
        if kind not in {_F16, _Q8_0} or row % (_Q8_0_BLOCK.itemsize if kind == _Q8_0 else 2):
            raise ValueError("no row of this type")
        tensors.append((kind, reading.take(cells * row)))
    return tensors


class _Reading:
    """A position in a state."""

    def __init__(self, data: "np.ndarray[Any, Any]", at: int) -> None:
        self._data = data
        self.at = at

    def numbers(self, layout: struct.Struct) -> tuple[int, ...]:
        found = layout.unpack_from(self._data.data, self.at)
        self.at += layout.size
        return found

    def take(self, size: int) -> "np.ndarray[Any, Any]":
        if size > len(self._data) - self.at:
            raise ValueError("the state ends before")
        self.at += size
        return self._data[self.at - size : self.at]
