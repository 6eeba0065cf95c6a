"""GGUF files for tests: real ones from package `gguf`, and headers byte by byte for damaged ones."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, quantize


@dataclass(frozen=True)
class Shape:
    """Dimensions of a model of the llama architecture; the default one takes some 600 KB."""

    layers: int = 2
    width: int = 64
    heads: int = 4
    kv_heads: int = 2
    feed_forward: int = 256
    vocabulary: int = 300
    context: int = 512
    weights: GGMLQuantizationType = GGMLQuantizationType.F32
    tied: bool = False
    """Whether the output matrix is the embedding."""


def write_llama(path: Path, shape: Shape = Shape(), *, tensors: bool = True) -> Path:
    """Write a model with random weights and a made-up vocabulary; without `tensors` only the vocabulary."""
    writer = GGUFWriter(path, "llama")
    writer.add_name("A model of noise")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.width // shape.heads)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([f"token {number:>8}" for number in range(shape.vocabulary)])
    writer.add_token_scores([0.0] * shape.vocabulary)
    writer.add_token_types([1] * shape.vocabulary)
    if tensors:
        random = np.random.default_rng(1)
        kv_width = shape.width // shape.heads * shape.kv_heads
        matrices = {"token_embd": (shape.vocabulary, shape.width), "output": (shape.vocabulary, shape.width)}
        if shape.tied:
            del matrices["output"]
        norms = ["output_norm"]
        for layer in range(shape.layers):
            matrices |= {
                f"blk.{layer}.attn_q": (shape.width, shape.width),
                f"blk.{layer}.attn_k": (kv_width, shape.width),
                f"blk.{layer}.attn_v": (kv_width, shape.width),
                f"blk.{layer}.attn_output": (shape.width, shape.width),
                f"blk.{layer}.ffn_gate": (shape.feed_forward, shape.width),
                f"blk.{layer}.ffn_up": (shape.feed_forward, shape.width),
                f"blk.{layer}.ffn_down": (shape.width, shape.feed_forward),
            }
            norms += [f"blk.{layer}.attn_norm", f"blk.{layer}.ffn_norm"]
        for name, size in matrices.items():
            numbers = quantize(random.standard_normal(size, dtype=np.float32), shape.weights)
            writer.add_tensor(f"{name}.weight", numbers, raw_dtype=shape.weights)
        for name in norms:
            writer.add_tensor(f"{name}.weight", np.ones(shape.width, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def damaged(model: Path, target: Path, value: float, tensor: str = "token_embd.weight") -> Path:
    """Copy a model with the first number of a tensor replaced: a weight, or the scale of a block of Q8_0."""
    (found,) = (each for each in GGUFReader(model).tensors if each.name == tensor)
    content = bytearray(model.read_bytes())
    form = {GGMLQuantizationType.F32: "<f", GGMLQuantizationType.Q8_0: "<e"}[found.tensor_type]
    struct.pack_into(form, content, int(found.data_offset), value)
    target.write_bytes(content)
    return target


def padded(model: bytes, size: int) -> bytes:
    """A model that is followed by noise up to `size` bytes: a header does not say where the file ends."""
    return model + np.random.default_rng(2).bytes(size - len(model))


def string(text: str | bytes) -> bytes:
    """A string as GGUF writes it."""
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def pair(key: str, kind: int, value: bytes) -> bytes:
    """A key and its value, whose type has the number `kind`."""
    return string(key) + struct.pack("<I", kind) + value


def array(kind: int, count: int, values: bytes) -> bytes:
    """The value of a pair of type 9."""
    return struct.pack("<IQ", kind, count) + values


def tensor(name: str, shape: Sequence[int], kind: int = 0, offset: int = 0) -> bytes:
    """What a header says of one tensor."""
    return (
        string(name)
        + struct.pack("<I", len(shape))
        + b"".join(struct.pack("<Q", length) for length in shape)
        + struct.pack("<IQ", kind, offset)
    )


ARCHITECTURE = pair("general.architecture", 8, string("llama"))


def header(
    pairs: Sequence[bytes] = (ARCHITECTURE,),
    tensors: Sequence[bytes] = (),
    *,
    version: int = 3,
    counts: tuple[int, int] | None = None,
    order: str = "<",
) -> bytes:
    """A header, sound or not; `counts` are announced instead of the true numbers of tensors and pairs."""
    announced: Any = counts or (len(tensors), len(pairs))
    return b"GGUF" + struct.pack(f"{order}IQQ", version, *announced) + b"".join(pairs) + b"".join(tensors)
