"""The order in which a token's evaluation reads the weights, from llama.cpp's own compute graph."""

import ctypes
from typing import Final, NamedTuple

from lambda_llm.engine import native
from lambda_llm.engine.context import Context

_WEIGHTS: Final = 1
"""GGML_BACKEND_BUFFER_USAGE_WEIGHTS in ggml-backend.h."""

_READS_FEW_ROWS: Final = b"GET_ROWS"
"""ggml's name of the operation that looks up a token's embedding."""


class Region(NamedTuple):
    """A range of this process's memory.

    Attributes:
        address: of the first byte.
        size: in bytes.
    """

    address: int
    size: int


class _Tensor(ctypes.Structure):
    """`ggml_tensor` in ggml.h, up to the last field that is read here."""


_Tensor._fields_ = [
    ("type", ctypes.c_int),
    ("buffer", ctypes.c_void_p),
    ("lengths", ctypes.c_int64 * 4),
    ("strides", ctypes.c_size_t * 4),
    ("op", ctypes.c_int),
    ("op_params", ctypes.c_int32 * 16),
    ("flags", ctypes.c_int32),
    ("sources", ctypes.POINTER(_Tensor) * 10),
    ("view_source", ctypes.c_void_p),
    ("view_offset", ctypes.c_size_t),
    ("data", ctypes.c_void_p),
]


def weights_in_order(context: Context) -> list[Region]:
    """The weights that every token reads, in the order in which it reads them.

    The token embedding is left out where only a row of it is read per token; a model that also uses it as its output
    matrix reads all of it, at the end.

    Args:
        context: of an open model; the regions belong to the model and are valid until it is closed.

    Raises:
        EngineError: llama.cpp could not evaluate a token.
    """
    ggml = native.library()
    found: dict[Region, None] = {}  # an ordered set

    def collect(address: int) -> None:
        operation = _Tensor.from_address(address)
        sources = [source.contents for source in operation.sources if source]
        if ggml.ggml_op_name(operation.op) == _READS_FEW_ROWS:
            del sources[0]
        for source in sources:
            if source.buffer and ggml.ggml_backend_buffer_get_usage(source.buffer) == _WEIGHTS:
                found[Region(source.data, ggml.ggml_nbytes(ctypes.addressof(source)))] = None

    context.observe(collect)
    return list(found)
