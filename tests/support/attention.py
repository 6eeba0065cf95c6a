"""llama.cpp's attention, called by itself and compared with NumPy in double precision.

Runs on its own, too, for the kernels of other CPUs: `python attention.py FOLDER VARIANT` prints a line for each case.
"""

import ctypes
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

F32, F16, Q8_0 = 0, 1, 8
"""ggml's numbers of its types."""


class Case(NamedTuple):
    """What is computed; lengths in elements, tokens and heads.

    Attributes:
        length: of a query and a key.
        value: length of a value.
        heads: that ask.
        shared: heads with keys and values.
        rows: tokens that ask, the last of `keys`.
        keys: tokens that are asked about.
        kind: type of keys and values.
        window: each token sees so many before itself; 0: all.
        bias: ALiBi's largest slope; 0: none.
        softcap: bound of the scores; 0: none.
        sinks: a score without a value for each head.
        masked: whether later tokens are hidden.
    """

    length: int
    value: int
    heads: int
    shared: int
    rows: int
    keys: int
    kind: int = F16
    window: int = 0
    bias: float = 0
    softcap: float = 0
    sinks: bool = False
    masked: bool = True


CASES: Final = (
    *(Case(64, 64, 8, 2, rows, 256) for rows in (1, 2, 15, 16, 17, 64, 65, 130)),
    Case(64, 64, 32, 8, 4, 512),
    Case(64, 64, 4, 4, 2, 256),
    Case(64, 64, 4, 4, 70, 300),
    Case(128, 128, 7, 1, 3, 768, Q8_0),
    Case(128, 128, 8, 8, 5, 256, Q8_0),
    Case(64, 64, 8, 2, 40, 700, Q8_0, window=100),
    Case(64, 64, 6, 2, 33, 520, F32),
    Case(80, 80, 9, 3, 12, 256),
    Case(72, 72, 4, 1, 5, 256),
    Case(192, 128, 4, 2, 9, 290),
    Case(576, 512, 16, 1, 2, 256),
    Case(64, 64, 8, 1, 20, 600, window=64, sinks=True),
    Case(64, 64, 12, 4, 10, 260, bias=8),
    Case(64, 64, 8, 4, 10, 256, softcap=30),
    Case(64, 64, 8, 4, 50, 70, masked=False),
)


TILE: Final = 64
"""Rows of a tile, GGML_FA_TILE_Q in llama.cpp; fewer tokens of heads with keys of their own are taken one by one."""
LARGEST_ERROR: Final = 4e-6
"""Of values around 1: sums of a thousand numbers in single precision."""
HALF_PRECISION_ERROR: Final = 8e-3
"""Of tokens that are taken one by one."""


class _Parameters(ctypes.Structure):
    _fields_ = (("size", ctypes.c_size_t), ("memory", ctypes.c_void_p), ("no_alloc", ctypes.c_bool))


class Attention:
    """The operation in a build of llama.cpp."""

    def __init__(self, folder: Path, backend: str = "libggml-cpu.so") -> None:
        """Load the libraries.

        Args:
            folder: with the libraries.
            backend: file name of the CPU backend.
        """
        base = ctypes.CDLL(str(folder / "libggml-base.so"), ctypes.RTLD_GLOBAL)
        cpu = ctypes.CDLL(str(folder / backend))
        pointer, number = ctypes.c_void_p, ctypes.c_float
        signatures: tuple[tuple[Any, ...], ...] = (
            (base, "ggml_init", pointer, _Parameters),
            (base, "ggml_free", None, pointer),
            (base, "ggml_new_tensor_4d", pointer, pointer, ctypes.c_int, *[ctypes.c_int64] * 4),
            (base, "ggml_get_data", pointer, pointer),
            (base, "ggml_nbytes", ctypes.c_size_t, pointer),
            (base, "ggml_flash_attn_ext", pointer, *[pointer] * 5, number, number, number),
            (base, "ggml_flash_attn_ext_add_sinks", None, pointer, pointer),
            (base, "ggml_new_graph", pointer, pointer),
            (base, "ggml_build_forward_expand", None, pointer, pointer),
            (cpu, "ggml_graph_compute_with_ctx", ctypes.c_int, pointer, pointer, ctypes.c_int),
            (cpu, "ggml_cpu_init", None),
        )
        for library, name, result, *arguments in signatures:
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        self._base, self._cpu = base, cpu
        cpu.ggml_cpu_init()

    def __call__(self, case: Case, inputs: "Inputs", threads: int, first: int = 0, end: int | None = None) -> Any:
        """The result for tokens `first` to `end`, of shape (tokens, heads, value)."""
        end = case.rows if end is None else end
        rows = end - first
        context = self._base.ggml_init(_Parameters(64 << 20, None, False))  # noqa: FBT003 - a C structure
        try:

            def tensor(kind: int, array: Any, *shape: int) -> Any:
                made = self._base.ggml_new_tensor_4d(context, kind, *shape, *[1] * (4 - len(shape)))
                data = np.ascontiguousarray(array).tobytes()
                assert self._base.ggml_nbytes(made) == len(data)
                ctypes.memmove(self._base.ggml_get_data(made), data, len(data))
                return made

            asked = tensor(F32, inputs.queries[:, first:end], case.length, rows, case.heads)
            keys = tensor(case.kind, stored(inputs.keys, case.kind), case.length, case.keys, case.shared)
            values = tensor(case.kind, stored(inputs.values, case.kind), case.value, case.keys, case.shared)
            mask = tensor(F16, inputs.mask[first:end].astype(np.float16), case.keys, rows) if case.masked else None
            result = self._base.ggml_flash_attn_ext(
                context, asked, keys, values, mask, case.length**-0.5, case.bias, case.softcap
            )
            if case.sinks:
                self._base.ggml_flash_attn_ext_add_sinks(result, tensor(F32, inputs.sinks, case.heads))
            graph = self._base.ggml_new_graph(context)
            self._base.ggml_build_forward_expand(graph, result)
            assert self._cpu.ggml_graph_compute_with_ctx(context, graph, threads) == 0
            size = rows * case.heads * case.value
            floats = (ctypes.c_float * size).from_address(self._base.ggml_get_data(result))
            return np.array(floats, np.float32).reshape(rows, case.heads, case.value)
        finally:
            self._base.ggml_free(context)


class Inputs(NamedTuple):
    """What attention is computed of, in the precision in which it is stored."""

    queries: Any
    keys: Any
    values: Any
    mask: Any
    sinks: Any


def inputs(case: Case) -> Inputs:
    """Random ones, the same each time."""
    random = np.random.default_rng(case.rows * 1_000 + case.keys)
    queries = random.normal(size=(case.heads, case.rows, case.length)).astype(np.float32)
    keys = random.normal(size=(case.shared, case.keys, case.length)).astype(np.float32)
    values = random.normal(size=(case.shared, case.keys, case.value)).astype(np.float32)
    at = np.arange(case.keys - case.rows, case.keys)[:, None]
    other = np.arange(case.keys)[None]
    hidden = (other > at) | ((other <= at - case.window) if case.window else False)
    distance = np.float32(-1) * np.abs(at - other) if case.bias else np.zeros((case.rows, case.keys), np.float32)
    mask = np.where(hidden, -np.inf, distance).astype(np.float32)
    return Inputs(queries, keys, values, mask, random.normal(size=case.heads).astype(np.float32))


def reference(case: Case, given: Inputs) -> Any:
    """Attention by its definition, of shape (rows, heads, value)."""
    group = case.heads // case.shared
    keys = np.repeat(restored(given.keys, case.kind), group, 0)
    values = np.repeat(restored(given.values, case.kind), group, 0)
    scores = np.einsum("hrd,hkd->hrk", given.queries.astype(np.float64), keys) * case.length**-0.5
    if case.softcap:
        scores = case.softcap * np.tanh(scores / case.softcap)
    if case.masked:
        scores = scores + slopes(case)[:, None, None] * given.mask[None].astype(np.float64)
    largest = scores.max(-1, keepdims=True)
    weights = np.exp(scores - largest)
    total = weights.sum(-1, keepdims=True)
    if case.sinks:
        total = total + np.exp(given.sinks[:, None, None] - largest)
    return np.einsum("hrk,hkd->rhd", weights / total, values)


def slopes(case: Case) -> Any:
    """ALiBi's slope of each head; 1 without. Source: https://arxiv.org/abs/2108.12409, section 3."""
    if not case.bias:
        return np.ones(case.heads)
    below = 2 ** int(np.log2(case.heads))
    steps = [head + 1 if head < below else (2 * (head - below) + 1) / 2 for head in range(case.heads)]
    return 2.0 ** (-case.bias * np.array(steps) / below)


def stored(array: Any, kind: int) -> Any:
    """The bytes of a type: Q8_0 has blocks of 32 numbers, a half of scale and 32 bytes."""
    if kind != Q8_0:
        return array.astype(np.float16 if kind == F16 else np.float32)
    blocks = array.reshape(-1, 32)
    scale = (np.abs(blocks).max(1) / 127).astype(np.float16)
    made = np.zeros(len(blocks), [("scale", np.float16), ("numbers", np.int8, 32)])
    made["scale"] = scale
    made["numbers"] = np.round(blocks / scale.astype(np.float32)[:, None]).clip(-127, 127)
    return made


def restored(array: Any, kind: int) -> Any:
    """What is left of numbers that were stored, in double precision."""
    made = stored(array, kind)
    if kind != Q8_0:
        return made.astype(np.float64)
    return (made["scale"].astype(np.float64)[:, None] * made["numbers"]).reshape(array.shape)


def errors(attention: Attention, threads: int) -> Iterator[tuple[Case, float, bool]]:
    """Each case with its largest error, and whether each row alone and in two parts is the same to the last bit."""
    for case in CASES:
        given = inputs(case)
        whole = attention(case, given, threads)
        error = float(np.abs(whole - reference(case, given)).max())
        cut = case.rows // 3
        parts = [attention(case, given, threads, *part) for part in ((0, cut), (cut, case.rows)) if part[0] < part[1]]
        last = attention(case, given, threads, case.rows - 1)
        same = np.array_equal(np.concatenate(parts), whole) and np.array_equal(last, whole[-1:])
        yield case, error, same


if __name__ == "__main__":
    for made, off, equal in errors(Attention(Path(sys.argv[1]), sys.argv[2]), threads=2):
        sys.stdout.write(json.dumps([made, off, equal]) + "\n")
