"""Seeded mutations of a GGUF file: of its bytes, its keys, values, types, lengths, and of what it says of tensors."""

import math
import struct
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from lambda_llm.gguf.header import parse_header
from support.models import pair, string, tensor

SCALARS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
STRING: Final = 8
ARRAY: Final = 9

INTEGERS: Final = (
    *(0, 1, 2, 3, 5, 7, 8, 31, 33, 255, 512, 513, 1023, 65536),
    *(2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1),
)
FLOATS: Final = (0.0, -0.0, 1.0, -1.0, 1e-45, -1e-6, 1e38, -1e38, float("inf"), float("-inf"), float("nan"), 0.5, 1e4)
TEXTS: Final = (
    *(b"", b"x", b"\xff\xfe", b"caf\xe9", b"a" * 5000, b"\x00", b"a\x00b", b"\x1b]0;x\x07", b"<0x0A>"),
    *(b"none", b"no_vocab", b"llama", b"gpt2", b"bert", b"t5", b"rwkv", b"plamo2", b"gemma4", b"test"),
    *(b"hybriddna", b"whitespace", b"default", b"qwen2", b"kimi-k2", b"yarn", b"longrope", b"linear", b"phi-3"),
    *(b"adapter", b"mmproj", b"vocab", b"{{ messages }}", b"{% if %}", b"{{ 'a' * 10**9 }}"),
)


@dataclass(frozen=True)
class Info:
    """What a header says of one tensor."""

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int


@dataclass(frozen=True)
class Model:
    """A GGUF file in parts: `pairs` are key, type and raw value; `data` is what follows the header."""

    pairs: tuple[tuple[str, int, bytes], ...]
    tensors: tuple[Info, ...]
    data: bytes

    @property
    def architecture(self) -> str:
        """As the header names it, or an empty string."""
        names = (value[8:] for key, _, value in self.pairs if key == "general.architecture")
        return next(names, b"").decode(errors="replace")

    def written(self) -> bytes:
        """The file; `data` begins at the alignment that the original has, 32."""
        head = b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(self.pairs))
        head += b"".join(pair(key, kind, value) for key, kind, value in self.pairs)
        head += b"".join(tensor(each.name, each.shape, each.kind, each.offset % 2**64) for each in self.tensors)
        return head + bytes(-len(head) % 32) + self.data


def taken_apart(content: bytes) -> Model:
    """A sound file in parts."""
    _, tensor_count, pair_count = struct.unpack_from("<IQQ", content, 4)
    at = 24
    pairs = []

    def skip(kind: int, position: int) -> int:
        if kind == STRING:
            return position + 8 + int(struct.unpack_from("<Q", content, position)[0])
        return position + struct.calcsize("<" + SCALARS[kind])

    for _ in range(pair_count):
        end = skip(STRING, at)
        key, (kind,) = content[at + 8 : end].decode(), struct.unpack_from("<I", content, end)
        start = at = end + 4
        if kind == ARRAY:
            of, count = struct.unpack_from("<IQ", content, at)
            at += 12
            for _ in range(count):
                at = skip(of, at)
        else:
            at = skip(kind, at)
        pairs.append((key, kind, content[start:at]))
    parsed = parse_header(content, len(content)).tensors
    assert len(parsed) == tensor_count
    first = min(each.offset for each in parsed)
    infos = (Info(each.name, each.shape, GGMLQuantizationType[each.type].value, each.offset - first) for each in parsed)
    return Model(tuple(pairs), tuple(infos), content[first:])


def _of_type(random: Random, kind: int) -> bytes:
    """A value of a type."""
    if kind == STRING:
        return string(random.choice(TEXTS))
    if kind == ARRAY:
        return _array(random, random.choice([*SCALARS, STRING]), random.choice((0, 1, 2, 3, 4, 6, 16, 300, 600)))
    code = SCALARS[kind]
    if code in "fd":
        return struct.pack(f"<{code}", random.choice(FLOATS))
    value = random.choice((*INTEGERS, random.getrandbits(64), random.getrandbits(8)))
    return struct.pack(f"<{code.upper()}", value % 2 ** (8 * struct.calcsize(code)))


def _array(random: Random, kind: int, count: int) -> bytes:
    values = [_of_type(random, kind) for _ in range(min(count, 3))]
    return struct.pack("<IQ", kind, count) + b"".join(random.choice(values) for _ in range(count))


def _elements(value: bytes) -> tuple[int, list[bytes]]:
    """Type and raw elements of an array's value."""
    kind, count = struct.unpack_from("<IQ", value)
    at, found = 12, []
    for _ in range(count):
        size = 8 + struct.unpack_from("<Q", value, at)[0] if kind == STRING else struct.calcsize("<" + SCALARS[kind])
        found.append(value[at : at + size])
        at += size
    return kind, found


def _other_value(random: Random, key: str, kind: int, value: bytes) -> tuple[str, int, bytes]:
    """The pair with another value of the same type."""
    if kind != ARRAY:
        return key, kind, _of_type(random, kind)
    of, elements = _elements(value)
    for _ in range(random.choice((1, 1, 2, 50))):
        if elements:
            drawn = random.choice(elements) if random.random() < 0.5 else _of_type(random, of)
            elements[random.randrange(len(elements))] = drawn
    if random.random() < 0.3:
        elements = random.choice((elements[:-1], elements[1:], elements[:1], [], elements + elements[:1], elements * 2))
    return key, kind, struct.pack("<IQ", of, len(elements)) + b"".join(elements)


def _other_pair(random: Random, model: Model, more: tuple[str, ...]) -> Model:
    pairs = list(model.pairs)
    at = random.randrange(len(pairs))
    key, kind, value = pairs[at]
    change = random.choice(("value",) * 6 + ("type", "type", "drop", "twice", "rename", "new", "new", "new", "new"))
    if change == "value":
        pairs[at] = _other_value(random, key, kind, value)
    elif change == "type":
        drawn = random.choice([*SCALARS, STRING, ARRAY])
        pairs[at] = (key, drawn, _of_type(random, drawn))
    elif change == "drop":
        del pairs[at]
    elif change == "twice":
        pairs.append(pairs[at])
    elif change == "rename":
        pairs[at] = (random.choice((key + "x", key[1:], "", key.upper())), kind, value)
    else:
        drawn = random.choice((4, 4, 4, 5, 6, 6, 7, STRING, ARRAY))
        pairs.append((random.choice(more), drawn, _of_type(random, drawn)))
    return replace(model, pairs=tuple(pairs))


def _other_tensor(random: Random, model: Model, _: tuple[str, ...]) -> Model:
    infos = list(model.tensors)
    at = random.randrange(len(infos))
    info = infos[at]
    change = random.choice(
        ("name", "shape", "shape", "shape", "kind", "kind", "offset", "drop", "twice", "swap", "exchange", "exchange")
    )
    if change == "name":
        name = random.choice((f"{info.name}x", "", "a" * 64, "a" * 63, f"{info.name[:-6]}bias"))
        infos[at] = replace(info, name=name)
    elif change == "shape":
        infos[at] = replace(info, shape=_other_shape(random, info.shape))
    elif change == "kind":
        infos[at] = replace(info, kind=random.randrange(45))
    elif change == "offset":
        offsets = (*INTEGERS, info.offset + 1, info.offset + 32, info.offset - 32)
        infos[at] = replace(info, offset=random.choice(offsets))
    elif change == "drop":
        del infos[at]
        infos = packed(infos) if random.random() < 0.5 else infos
    elif change == "twice":
        infos.append(info)
    elif change == "swap":
        other = random.randrange(len(infos))
        infos[at], infos[other] = replace(info, name=infos[other].name), replace(infos[other], name=info.name)
    else:  # another type, and all sizes right, so that nothing else is wrong
        infos[at] = replace(info, kind=random.choice([kind.value for kind in GGMLQuantizationType]))
        return replace(model, tensors=tuple(packed(infos)), data=model.data + bytes(2**20))
    return replace(model, tensors=tuple(infos))


def _other_shape(random: Random, shape: tuple[int, ...]) -> tuple[int, ...]:
    sizes = list(shape)
    at = random.randrange(len(sizes))
    sizes[at] = random.choice((*INTEGERS, sizes[at] + 1, sizes[at] * 2, sizes[at] // 2, sizes[at] - 32))
    chosen: list[int] = random.choice((sizes, sizes, sizes[:1], [*sizes, 1], [*sizes, 2], sizes[::-1], []))
    return tuple(size % 2**64 for size in chosen)


def packed(infos: list[Info]) -> list[Info]:
    """The same tensors one behind the other."""
    moved, offset = [], 0
    for info in infos:
        moved.append(replace(info, offset=offset))
        kinds = [kind for kind in GGMLQuantizationType if kind.value == info.kind]
        block, size = GGML_QUANT_SIZES[kinds[0]] if kinds else (1, 4)
        offset += -(-(math.prod(info.shape) // block * size) // 32) * 32
    return moved


def _other_architecture(random: Random, model: Model, architectures: tuple[str, ...]) -> Model:
    """The same keys and tensors under another architecture's name."""
    old, new = model.architecture, random.choice(architectures)
    pairs = [
        (key, kind, string(new)) if key == "general.architecture" else (key.replace(f"{old}.", f"{new}."), kind, value)
        for key, kind, value in model.pairs
    ]
    return replace(model, pairs=tuple(pairs))


def mutated(model: Model, seed: int, keys: tuple[str, ...], architectures: tuple[str, ...]) -> bytes:
    """The file after one to three mutations; the same for the same arguments.

    Args:
        model: a sound one.
        seed: the number of the mutation.
        keys: what may be added to a header.
        architectures: what the file may claim to be.
    """
    random = Random(seed)  # noqa: S311 - to be repeated
    steps = [*[(_other_pair, keys)] * 12, *[(_other_tensor, ())] * 5, (_other_architecture, architectures)]
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        step, names = random.choice(steps)
        model = step(random, model, names) if model.tensors and model.pairs else model
    content = bytearray(model.written())
    if random.random() < 0.15:
        header = len(content) - len(model.data)
        for _ in range(random.choice((1, 1, 2, 8))):
            content[random.randrange(header)] = random.getrandbits(8)
    if random.random() < 0.02:
        del content[random.randrange(len(content)) :]
    return bytes(content)
