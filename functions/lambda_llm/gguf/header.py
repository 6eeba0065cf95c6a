"""The header of a GGUF file: metadata and tensor infos, without the weights.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import math
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from lambda_llm.gguf.errors import CorruptError, NotGGUFError, UnsupportedModelError
from lambda_llm.gguf.known import MAX_LAYERS, NON_CAUSAL

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
HEADER_MAX_BYTES: Final = 128 * 1024 * 1024
"""A header is mostly the vocabulary: Llama 3's 128,256 tokens take 8 MB."""

TENSOR_ALIGNMENT: Final = 32
"""Bytes: what ggml requires of a tensor's address (TENSOR_ALIGNMENT in ggml-impl.h), and GGUF's default."""

_KEYS_MAX: Final = 10_000
"""Models have less than 100."""
_TENSORS_MAX: Final = 100_000
"""A mixture of 128 experts in 64 layers, a tensor for each, has less than 25,000."""
_NAME_MAX: Final = 63
"""Bytes; GGML_MAX_NAME with its terminator is 64."""
_READ_ARRAY_MAX: Final = 1024
"""Longer arrays (vocabularies) are skipped; per-layer numbers are shorter: llama.cpp's MAX_LAYERS at most."""
_READ_TEXTS_MAX: Final = 64
"""Longer arrays of strings are skipped."""
_CHECK_EVERY: Final = 65_536
"""Strings of a vocabulary between two looks at the clock."""

_SCALARS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING: Final = 8
_ARRAY: Final = 9
POOLING_UNSPECIFIED: Final = 2**32 - 1
"""LLAMA_POOLING_TYPE_UNSPECIFIED, which is -1, in a header: no pooling."""

TYPE_NAMES: Final[Mapping[int, str]] = {
    0: "u8",
    1: "i8",
    2: "u16",
    3: "i16",
    4: "u32",
    5: "i32",
    6: "f32",
    7: "bool",
    8: "str",
    9: "array",
    10: "u64",
    11: "i64",
    12: "f64",
}
"""GGUF's types of values, as llama.cpp calls them."""

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
    42: ("Q2_0", 64, 18),
}
"""ggml's tensor types: id → name, elements per block, bytes per block. A test verifies them against llama.cpp's source
and the package `gguf`."""

_REMOVED_TYPES: Final = {
    **dict.fromkeys((4, 5), "convert the model again to a type that llama.cpp still has, such as Q4_K_M"),
    **dict.fromkeys((31, 32, 33), "use the model as Q4_0, which is repacked for this CPU at run time"),
    **dict.fromkeys((36, 37, 38), "use the model as IQ4_NL, which is repacked for this CPU at run time"),
}
"""Types that older files have and llama.cpp no longer reads (`enum ggml_type` in ggml.h), and what to do."""

Value = bool | int | float | str | list["bool | int | float | str"]


def decoded(text: bytes) -> str:
    """A string of a GGUF file: UTF-8, or else taken for Latin-1, so that any bytes have a text."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


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
class Array:
    """An array in the metadata.

    Attributes:
        type: of its elements: a key of `TYPE_NAMES`.
        length: number of elements.
        start: position of the first element in the file.
    """

    type: int
    length: int
    start: int


@dataclass(frozen=True)
class Header:
    """A parsed header; lengths are in tokens, sizes in bytes.

    Attributes:
        metadata: the key-value pairs, without arrays of more than 1024 numbers or 64 strings.
        arrays: every array, including those left out of `metadata`.
        tensors: in the file's order.
        types: the type of each key's value: a key of `TYPE_NAMES`.
        alignment: of the tensors in the file, in bytes.
    """

    metadata: Mapping[str, Value]
    arrays: Mapping[str, Array] = field(repr=False)
    tensors: tuple[Tensor, ...] = field(repr=False)
    types: Mapping[str, int] = field(repr=False, default_factory=dict)
    alignment: int = TENSOR_ALIGNMENT

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
        return not self.causal or 0 < self.number("pooling_type") < POOLING_UNSPECIFIED

    @property
    def causal(self) -> bool:
        """Whether attention is causal; without that there is no KV cache."""
        said = self.metadata.get(f"{self.architecture}.attention.causal", True) is not False
        return said and self.architecture not in NON_CAUSAL

    @property
    def vocabulary(self) -> int:
        """Number of tokens in the vocabulary."""
        tokens = self.arrays.get("tokenizer.ggml.tokens")
        return tokens.length if tokens else self.number("vocab_size")

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
        return [_count(value, default)] * min(self.layers, MAX_LAYERS)

    def text(self, key: str) -> str:
        """The string under the full `key`, or an empty string."""
        value = self.metadata.get(key, "")
        return value if isinstance(value, str) else ""


def _count(value: object, default: int) -> int:
    """`value` if it is a non-negative integer: a damaged header may have anything."""
    return int(value) if isinstance(value, int) and value >= 0 else default


def parse_header(
    head: bytes | bytearray | memoryview, file_size: int, check: Callable[[], object] = lambda: None
) -> Header:
    """Parse a header from the first bytes of a file, and verify its tensor infos against the file's size.

    Args:
        head: the first bytes of the file.
        file_size: size of the whole file, in bytes.
        check: called every few milliseconds; what it raises ends the parsing.

    Raises:
        IncompleteError: `head` ends before the header does; the file itself may be longer.
        NotGGUFError: these are not the first bytes of a GGUF file that llama.cpp reads.
        UnsupportedModelError: a tensor has a type that llama.cpp no longer reads.
        CorruptError: the file is shorter than its tensor infos require.
    """
    if bytes(head[: len(MAGIC)]) != MAGIC[: len(head)]:
        raise NotGGUFError(
            f"This is not a GGUF file (it begins with {bytes(head[:4])!r}): convert the model with llama.cpp's "
            "convert_hf_to_gguf.py, or name another file."
        )
    reader = _Reader(head, file_size, check)
    reader.step(len(MAGIC))
    version = reader.number("I")
    if version not in VERSIONS:
        raise NotGGUFError(
            f"This is a GGUF file of version {version}, but only {VERSIONS[0]} and {VERSIONS[-1]} "
            "(little-endian) can be read: convert the model again with a current llama.cpp."
        )
    tensor_count, pair_count = reader.number("Q"), reader.number("Q")
    if tensor_count > _TENSORS_MAX or pair_count > _KEYS_MAX:
        raise reader.damaged(f"it announces {tensor_count:,} tensors and {pair_count:,} keys")
    metadata, types, arrays = _pairs(reader, pair_count)
    alignment = metadata.get("general.alignment", TENSOR_ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise reader.damaged(f"its alignment is {alignment!r}, not a power of two")
    tensors = _tensors(reader, tensor_count, alignment)
    header = Header(metadata, arrays, tensors, types, alignment)
    if not header.architecture:
        raise reader.damaged("it names no architecture")
    end = max((tensor.offset + tensor.size for tensor in tensors), default=0)
    if end > reader.file_size:
        raise CorruptError(
            f"The file is truncated: its header announces {end:,} bytes, the file has {reader.file_size:,}; "
            "upload or download it again."
        )
    return header


def _pairs(reader: "_Reader", count: int) -> tuple[dict[str, Value], dict[str, int], dict[str, Array]]:
    """Metadata, types and arrays; see `Header`."""
    metadata: dict[str, Value] = {}
    types: dict[str, int] = {}
    arrays: dict[str, Array] = {}
    for _ in range(count):
        reader.check()
        key = reader.string()
        if not key or key in types:
            raise reader.damaged(f"the key {key!r} is there twice" if key else "a key is empty")
        types[key] = kind = reader.number("I")
        if kind != _ARRAY:
            metadata[key] = reader.value(kind)
            continue
        kind, length = reader.number("I"), reader.number("Q")
        arrays[key] = Array(kind, length, reader.position)
        if length > (_READ_TEXTS_MAX if kind == _STRING else _READ_ARRAY_MAX):
            reader.skip_array(kind, length)
        else:
            metadata[key] = reader.array(kind, length)
    return metadata, types, arrays


def _tensors(reader: "_Reader", count: int, alignment: int) -> tuple[Tensor, ...]:
    """The tensor infos, which follow each other without gaps but those of the alignment, as llama.cpp demands."""
    infos = []
    expected = 0
    for _ in range(count):
        reader.check()
        name, shape, kind, offset, size = _tensor_info(reader)
        if offset != expected:
            raise reader.damaged(f"tensor {name!r} begins at byte {offset:,} of the weights instead of {expected:,}")
        expected += -(-size // alignment) * alignment
        infos.append((name, shape, kind, offset, size))
    if len({name for name, *_ in infos}) != len(infos):
        raise reader.damaged("two tensors have the same name")
    start = -(-reader.position // alignment) * alignment
    return tuple(Tensor(name, shape, kind, start + offset, size) for name, shape, kind, offset, size in infos)


def _tensor_info(reader: "_Reader") -> tuple[str, tuple[int, ...], str, int, int]:
    name = reader.string()
    if len(name.encode()) > _NAME_MAX:
        raise reader.damaged(f"a tensor's name, {name[:_NAME_MAX]!r}…, is longer than {_NAME_MAX} bytes")
    dimensions = reader.number("I")
    if not 1 <= dimensions <= 4:  # noqa: PLR2004 - GGML_MAX_DIMS
        raise reader.damaged(f"tensor {name!r} has {dimensions} dimensions")
    shape = tuple(reader.number("Q") for _ in range(dimensions))
    if not all(shape):
        raise reader.damaged(f"tensor {name!r} has no elements")
    kind, offset = reader.number("I"), reader.number("Q")
    if kind in _REMOVED_TYPES:
        raise UnsupportedModelError(
            f"Tensor {name!r} has type {kind}, which llama.cpp no longer reads: {_REMOVED_TYPES[kind]}."
        )
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
        check: ends the parsing by raising.
    """

    def __init__(self, head: bytes | bytearray | memoryview, file_size: int, check: Callable[[], object]) -> None:
        self.position = 0
        self.file_size = file_size
        self.check = check
        self._head = head
        self._most = min(file_size, HEADER_MAX_BYTES)

    def damaged(self, how: str) -> NotGGUFError:
        return NotGGUFError(f"The GGUF header is damaged ({how}): upload or download the model again.")

    def step(self, count: int) -> int:
        """Advance by `count` bytes; returns where they begin."""
        start = self.position
        if count > self._most - start:
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
        return decoded(bytes(self._head[start : start + length]))

    def value(self, kind: int) -> bool | int | float | str:
        if kind == _STRING:
            return self.string()
        return self.number(self._code(kind))

    def array(self, kind: int, count: int) -> list[bool | int | float | str]:
        if kind == _STRING:
            return [self.string() for _ in range(count)]
        code = f"<{count}{self._code(kind)}"
        return list(struct.unpack_from(code, self._head, self.step(struct.calcsize(code))))

    def skip_array(self, kind: int, count: int) -> None:
        if kind != _STRING:
            self.step(count * struct.calcsize(f"<{self._code(kind)}"))
            return
        # Hundreds of thousands of strings: the loop is minimal, with one check after many.
        unpack, size = struct.Struct("<Q").unpack_from, len(self._head)
        for done in range(0, count, _CHECK_EVERY):
            self.check()
            position = self.position
            for _ in range(min(_CHECK_EVERY, count - done)):
                if position + 8 > size:
                    position += 8
                    break
                position += 8 + unpack(self._head, position)[0]
            self.step(position - self.position)

    def _code(self, kind: int) -> str:
        if kind not in _SCALARS:
            raise self.damaged(f"a value has the unknown type {kind}")
        return _SCALARS[kind]


def strings(head: bytes | bytearray | memoryview, array: Array) -> Iterator[bytes]:
    """The elements of an array of strings.

    Args:
        head: the bytes from which the header was parsed.
        array: one of its `arrays`.
    """
    position, unpack = array.start, struct.Struct("<Q").unpack_from
    for _ in range(array.length):
        start = position + 8
        position = start + unpack(head, position)[0]
        yield bytes(head[start:position])


def numbers(head: bytes | bytearray | memoryview, array: Array) -> tuple[float, ...]:
    """The elements of an array of numbers; the arguments are those of `strings`."""
    return struct.unpack_from(f"<{array.length}{_SCALARS[array.type]}", head, array.start)
