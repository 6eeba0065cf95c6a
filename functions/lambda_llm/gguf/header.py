"""The header of a GGUF file: metadata and tensor infos, without the weights.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from lambda_llm.gguf.errors import CorruptError, NotGGUFError

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
HEADER_MAX_BYTES: Final = 128 * 1024 * 1024
"""A header is mostly the vocabulary: Llama 3's 128,256 tokens take 8 MB."""

_ENTRIES_MAX: Final = 1_000_000
_LAYERS_MAX: Final = 1024
"""More than llama.cpp's own LLAMA_MAX_LAYERS, few enough for a list of per-layer numbers."""
_READ_ARRAY_MAX: Final = _LAYERS_MAX
"""Longer arrays (vocabularies) are skipped; per-layer numbers are shorter."""

_SCALARS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING: Final = 8
_ARRAY: Final = 9

TENSOR_TYPES: Final[Mapping[int, tuple[str, int, int]]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 40),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
}
"""ggml's tensor types: id → name, elements per block, bytes per block. A test verifies them against the package
`gguf`."""

Value = bool | int | float | str | list["bool | int | float | str"]


class IncompleteError(Exception):
    """The header continues after the given bytes: read more of the file."""


@dataclass(frozen=True)
class Tensor:
    """One tensor info.

    Attributes:
        name: for example `blk.0.attn_q.weight`.
        shape: elements in each dimension, innermost first.
        type: name of the ggml type, for example `Q4_0`.
        offset: in bytes, from the beginning of the file.
        size: in bytes.
    """

    name: str
    shape: tuple[int, ...]
    type: str
    offset: int
    size: int


@dataclass(frozen=True)
class Header:
    """A parsed header; lengths are in tokens, sizes in bytes.

    Attributes:
        metadata: the key-value pairs, without arrays of more than 1024 elements.
        array_lengths: length of every array, including those left out of `metadata`.
        tensors: in the file's order.
    """

    metadata: Mapping[str, Value]
    array_lengths: Mapping[str, int] = field(repr=False)
    tensors: tuple[Tensor, ...] = field(repr=False)

    @property
    def architecture(self) -> str:
        """llama.cpp's name of the architecture, for example `llama`."""
        return self.text("general.architecture")

    @property
    def name(self) -> str:
        """The model's own name, or an empty string."""
        return self.text("general.name")

    @property
    def context_length(self) -> int:
        """How many tokens the model was trained for; 0 when the header does not say."""
        return self.number("context_length")

    @property
    def layers(self) -> int:
        """Number of transformer blocks."""
        return self.number("block_count")

    @property
    def encodes(self) -> bool:
        """Whether the model is an encoder (embeddings, classes, scores) instead of a generative model."""
        return not self.causal or self.number("pooling_type") > 0

    @property
    def causal(self) -> bool:
        """Whether attention is causal; without that there is no KV cache."""
        return self.metadata.get(f"{self.architecture}.attention.causal", True) is not False

    @property
    def vocabulary(self) -> int:
        """Number of tokens in the vocabulary."""
        return self.array_lengths.get("tokenizer.ggml.tokens", self.number("vocab_size"))

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors)

    @property
    def weight_bytes(self) -> int:
        """Size of all tensors together."""
        return sum(tensor.size for tensor in self.tensors)

    @property
    def tensor_types(self) -> dict[str, int]:
        """Bytes of each tensor type, the largest first."""
        totals: dict[str, int] = {}
        for tensor in self.tensors:
            totals[tensor.type] = totals.get(tensor.type, 0) + tensor.size
        return dict(sorted(totals.items(), key=lambda item: -item[1]))

    def number(self, key: str, default: int = 0) -> int:
        """The count under the architecture's `key`; `default` where it is missing or not a count."""
        return _count(self.metadata.get(f"{self.architecture}.{key}"), default)

    def per_layer(self, key: str, default: int = 0) -> list[int]:
        """Like `number`, one per layer: in some models layers differ."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        if isinstance(value, list):
            return [_count(each, default) for each in value]
        return [_count(value, default)] * self.layers

    def text(self, key: str) -> str:
        """The string under the full `key`, or an empty string."""
        value = self.metadata.get(key, "")
        return value if isinstance(value, str) else ""


def _count(value: object, default: int) -> int:
    """`value` if it is a non-negative integer: a damaged header may have anything."""
    return int(value) if isinstance(value, int) and value >= 0 else default


def parse_header(head: bytes | bytearray | memoryview, file_size: int) -> Header:
    """Parse a header from the first bytes of a file, and verify its tensor infos against the file's size.

    Args:
        head: the first bytes of the file.
        file_size: size of the whole file, in bytes.

    Raises:
        IncompleteError: `head` ends before the header does; the file itself may be longer.
        NotGGUFError: these are not the first bytes of a GGUF file that llama.cpp reads.
        CorruptError: the file is shorter than its tensor infos require.
    """
    if bytes(head[: len(MAGIC)]) != MAGIC[: len(head)]:
        raise NotGGUFError(
            f"This is not a GGUF file (it begins with {bytes(head[:4])!r}): convert the model with llama.cpp's "
            "convert_hf_to_gguf.py, or name another file."
        )
    reader = _Reader(head, file_size)
    try:
        return _parse(reader)
    except (UnicodeDecodeError, OverflowError) as error:
        raise reader.damaged(str(error)) from error


def _parse(reader: "_Reader") -> Header:
    reader.step(len(MAGIC))
    version = reader.number("I")
    if version not in VERSIONS:
        raise NotGGUFError(
            f"This is a GGUF file of version {version}, but only {VERSIONS[0]} and {VERSIONS[-1]} "
            "(little-endian) can be read: convert the model again with a current llama.cpp."
        )
    tensor_count, pair_count = reader.number("Q"), reader.number("Q")
    if max(tensor_count, pair_count) > _ENTRIES_MAX:
        raise reader.damaged(f"it announces {tensor_count:,} tensors and {pair_count:,} keys")
    metadata: dict[str, Value] = {}
    lengths: dict[str, int] = {}
    for _ in range(pair_count):
        key = reader.string()
        kind = reader.number("I")
        if kind != _ARRAY:
            metadata[key] = reader.value(kind)
            continue
        kind, lengths[key] = reader.number("I"), reader.number("Q")
        if lengths[key] > _READ_ARRAY_MAX:
            reader.skip_array(kind, lengths[key])
        else:
            metadata[key] = [reader.value(kind) for _ in range(lengths[key])]
    infos = [_tensor_info(reader) for _ in range(tensor_count)]
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1:
        raise reader.damaged(f"its alignment is {alignment!r}")
    start = -(-reader.position // alignment) * alignment
    tensors = tuple(Tensor(name, shape, kind, start + offset, size) for name, shape, kind, offset, size in infos)
    header = Header(metadata, lengths, tensors)
    if not header.architecture:
        raise reader.damaged("it names no architecture")
    if header.layers > _LAYERS_MAX:
        raise reader.damaged(f"it announces {header.layers:,} layers")
    end = max((tensor.offset + tensor.size for tensor in tensors), default=0)
    if end > reader.file_size:
        raise CorruptError(
            f"The file is truncated: its header announces {end:,} bytes, the file has {reader.file_size:,}; "
            "upload or download it again."
        )
    return header


def _tensor_info(reader: "_Reader") -> tuple[str, tuple[int, ...], str, int, int]:
    name = reader.string()
    dimensions = reader.number("I")
    if not 1 <= dimensions <= 4:  # noqa: PLR2004 - GGML_MAX_DIMS
        raise reader.damaged(f"tensor {name!r} has {dimensions} dimensions")
    shape = tuple(reader.number("Q") for _ in range(dimensions))
    kind, offset = reader.number("I"), reader.number("Q")
    if kind not in TENSOR_TYPES:
        raise reader.damaged(f"tensor {name!r} has the unknown type {kind}")
    type_name, block, block_bytes = TENSOR_TYPES[kind]
    if shape[0] % block:
        raise reader.damaged(f"tensor {name!r} has rows of {shape[0]} elements, {type_name} needs multiples of {block}")
    return name, shape, type_name, offset, math.prod(shape) // block * block_bytes


class _Reader:
    """Reads values from the first bytes of a file, one after another.

    Attributes:
        position: of the next byte.
        file_size: size of the whole file, in bytes.
    """

    def __init__(self, head: bytes | bytearray | memoryview, file_size: int) -> None:
        self.position = 0
        self.file_size = file_size
        self._head = head

    def damaged(self, how: str) -> NotGGUFError:
        return NotGGUFError(f"The GGUF header is damaged ({how}): upload or download the model again.")

    def step(self, count: int) -> int:
        """Advance by `count` bytes; returns where they begin."""
        start = self.position
        if count > min(self.file_size, HEADER_MAX_BYTES) - start:
            raise self.damaged(f"something of {count:,} bytes is announced at byte {start:,} of {self.file_size:,}")
        if start + count > len(self._head):
            raise IncompleteError
        self.position = start + count
        return start

    def number(self, code: str) -> int:
        value: int = struct.unpack_from(f"<{code}", self._head, self.step(struct.calcsize(f"<{code}")))[0]
        return value

    def string(self) -> str:
        length = self.number("Q")
        start = self.step(length)
        return bytes(self._head[start : start + length]).decode()

    def value(self, kind: int) -> bool | int | float | str:
        if kind == _STRING:
            return self.string()
        if kind not in _SCALARS:
            raise self.damaged(f"a value has the unknown type {kind}")
        return self.number(_SCALARS[kind])

    def skip_array(self, kind: int, count: int) -> None:
        if kind != _STRING:
            if kind not in _SCALARS:
                raise self.damaged(f"an array has the unknown type {kind}")
            self.step(count * struct.calcsize(f"<{_SCALARS[kind]}"))
            return
        # Hundreds of thousands of strings: the loop is minimal, with one check after it.
        position, unpack = self.position, struct.Struct("<Q").unpack_from
        try:
            for _ in range(count):
                position += 8 + unpack(self._head, position)[0]
        except struct.error:
            position += 8
        self.step(position - self.position)
