"""In which order a token needs the weights: llama.cpp itself is asked, operation by operation."""

import ctypes
from typing import Final, NamedTuple

from lambda_llm.engine import native
from lambda_llm.engine.context import Context

_WEIGHTS: Final = 1
"""GGML_BACKEND_BUFFER_USAGE_WEIGHTS in ggml-backend.h."""

_READS_FEW_ROWS: Final = b"GET_ROWS"
"""ggml's name of the operation that looks a token up in the embedding."""


class Region(NamedTuple):
    """Memory of this process.

    Attributes:
        address: of the first byte.
        size: bytes.
    """

    address: int
    size: int


class _Tensor(ctypes.Structure):
    """`ggml_tensor` in ggml.h, as far as it is read here."""


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
    """The weights that every token needs, in the order in which it needs them.

    The embedding of the tokens is left out where only a row of it is read for each token: a model that
    uses it as its output, too, needs all of it, last of all.

    Args:
        context: of an open model; the regions are the model's own and last as long as it does.

    Raises:
        EngineError: llama.cpp could not evaluate a token.
    """
    ggml = native.library()
    found: dict[Region, None] = {}  # a set that keeps its order

    def look(address: int) -> None:
        operation = _Tensor.from_address(address)
        sources = [source.contents for source in operation.sources if source]
        if ggml.ggml_op_name(operation.op) == _READS_FEW_ROWS:
            del sources[0]
        for source in sources:
            if source.buffer and ggml.ggml_backend_buffer_get_usage(source.buffer) == _WEIGHTS:
                found[Region(source.data, ggml.ggml_nbytes(ctypes.addressof(source)))] = None

    context.observe(look)
    return list(found)
