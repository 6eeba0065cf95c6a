"""What llama.cpp writes for the keys and values of a sequence, as far as it takes to find the numbers in it.

A state is one section for each of the caches that a model has (one; two where some layers have a sliding window):
the cells, then for each layer the keys of all cells, then for each layer their values. A recurrent or hybrid model ends
with a section of its states: the cells, then the rows of those layers that have one. The format says neither how many
sections follow nor whether cells have further positions (M-RoPE) or a cache keeps values (MLA does not), so every way
is tried, and only one that ends where the data end is right. What `Decoder.read_state` gives may be several states.
llama.cpp's version is part of every entry's name, so no state of another format is ever read.

Source: `state_write`, `state_write_meta` and `state_write_data` in llama.cpp's src/llama-kv-cache.cpp and
src/llama-memory-recurrent.cpp
"""

import struct
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from lambda_llm.engine.errors import EngineError

_HEADER: Final = struct.Struct("<Ii")  # magic, sequence
_MAGIC: Final = 0xAF143CD8
_SECTION: Final = struct.Struct("<II")  # streams, cells
_CELLS: Final = struct.Struct("<I")  # cells of recurrent states
_LAYERS: Final = struct.Struct("<II")  # whether values are transposed, layers
_ROWS: Final = struct.Struct("<iQ")  # type, bytes of one cell
_COLUMNS: Final = struct.Struct("<iII")  # type, bytes of one number, numbers of one cell

_CELL_BYTES: Final = (12, 24)
"""Of a cell: position, number of sequences (one) and the sequence; with further positions or the token, 12 more."""
_RECURRENT_CELL_BYTES: Final = 8
"""Of a cell of recurrent states: position, number of sequences (none)."""
_SECTIONS: Final = 4
"""Most caches of a model."""

_STATES: Final = 128
"""Most states: of as many tokens as the session store has in an entry, with a window of one."""

_LAYERS_MAX: Final = 512
"""LLAMA_MAX_LAYERS in llama.cpp's src/llama-hparams.h."""

_F32, _F16, _Q8_0 = 0, 1, 8  # ggml_type
_Q8_0_BLOCK: Final = np.dtype([("scale", "<u2"), ("numbers", "i1", 32)])
_EXPONENT: Final = {"<u2": 0x7C00, "<u4": 0x7F800000}
"""Bits of a number of half and of single precision that are all set if it is infinite or no number."""

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
    tensors = _states(np.frombuffer(state, np.uint8), 0, set(), _STATES)
    if not tensors:
        raise EngineError("Keys and values have a form that this version of lambda-llm does not know.")
    for kind, data in tensors:
        precision = "<u4" if kind == _F32 else "<u2"
        numbers = data.view(_Q8_0_BLOCK)["scale"] if kind == _Q8_0 else data.view(precision)
        if ((numbers & _EXPONENT[precision]) == _EXPONENT[precision]).any():
            raise EngineError("Keys and values have numbers that are not finite.")


def _states(data: "np.ndarray[Any, Any]", at: int, hopeless: set[int], most: int) -> list[Tensor] | None:
    """Keys, values and recurrent states of all layers, from `at` on; None where no way to read them ends with the data.

    Args:
        data: all of it.
        at: where a state begins.
        hopeless: places from which there is no way.
        most: states that may follow.
    """
    if at == len(data):
        return []
    begins = len(data) - at >= _HEADER.size and _HEADER.unpack_from(data.data, at)[0] == _MAGIC
    if not most or not begins or at in hopeless:
        return None
    for cell_bytes in _CELL_BYTES:
        for found, end in _sections(data, at + _HEADER.size, cell_bytes, _SECTIONS):
            rest = _states(data, end, hopeless, most - 1) if found else None
            if rest is not None:
                return [*found, *rest]
    hopeless.add(at)
    return None


def _sections(data: "np.ndarray[Any, Any]", at: int, cell_bytes: int, most: int) -> Iterator[tuple[list[Tensor], int]]:
    """Every way to read what begins at `at` as sections of one state, each with its end."""
    yield [], at
    if not most:
        return
    for kind in (_with_values, _without_values, _recurrent):
        reading = _Reading(data, at)
        try:
            found = kind(reading, cell_bytes)
        except (struct.error, ValueError):
            continue
        for rest, end in _sections(data, reading.at, cell_bytes, most - 1):
            yield [*found, *rest], end


def _with_values(reading: "_Reading", cell_bytes: int) -> list[Tensor]:
    return _section(reading, cell_bytes, values=True)


def _without_values(reading: "_Reading", cell_bytes: int) -> list[Tensor]:
    return _section(reading, cell_bytes, values=False)


def _recurrent(reading: "_Reading", _: int) -> list[Tensor]:
    """The last section: how many of the layers have a state is not told."""
    (cells,) = reading.numbers(_CELLS)
    if not cells or (reading.take(cells * _RECURRENT_CELL_BYTES).view("<u4").reshape(cells, -1)[:, 1] != 0).any():
        raise ValueError("there is a cell, and none names its sequence")
    transposed, layers = reading.numbers(_LAYERS)
    if transposed or layers > _LAYERS_MAX:
        raise ValueError("no model has such layers")
    tensors: list[Tensor] = []
    while not reading.ended and len(tensors) < 2 * layers:
        kind, row = reading.numbers(_ROWS)
        if kind not in {_F32, _F16} or row % 4:
            raise ValueError("no row of this type")
        tensors.append((kind, reading.take(cells * row)))
    return tensors


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

    @property
    def ended(self) -> bool:
        return self.at == len(self._data)

    def numbers(self, layout: struct.Struct) -> tuple[int, ...]:
        found = layout.unpack_from(self._data.data, self.at)
        self.at += layout.size
        return found

    def take(self, size: int) -> "np.ndarray[Any, Any]":
        if size > len(self._data) - self.at:
            raise ValueError("the state ends before")
        self.at += size
        return self._data[self.at - size : self.at]
