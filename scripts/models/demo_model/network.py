"""A small Llama in plain PyTorch functions, and its training."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

Parameters = dict[str, Tensor]
"""Tensors by their GGUF names; matrices are (outputs, inputs), the embedding (vocabulary, width)."""

Batch = tuple[Tensor, Tensor]
"""Ids (batch, length), and targets (batch, length) that are `IGNORED` where nothing is taught."""

IGNORED: Final = -100
"""Target of what is not taught."""

_RISE: Final = 0.04
"""Share of the training in which the learning rate rises."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """Sizes of the network. Every row is a multiple of 256, so that every quantization fits."""

    vocabulary: int
    layers: int = 4
    width: int = 256
    heads: int = 4
    kv_heads: int = 2
    feed_forward: int = 768
    context: int = 2048
    rope_base: float = 10_000.0
    epsilon: float = 1e-5

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads


def initialize(shape: Shape) -> Parameters:
    """Returns fresh parameters, drawn from torch's seeded generator; input and output embedding are one."""

    def matrix(rows: int, columns: int, scale: float = 1.0) -> Tensor:
        values: Tensor = torch.randn(rows, columns) * scale * columns**-0.5
        return values.requires_grad_()

    def ones() -> Tensor:
        return torch.ones(shape.width, requires_grad=True)

    kv_width = shape.kv_heads * shape.head_width
    # Residual branches start small, so that depth does not raise the variance of the stream.
    branch = (2 * shape.layers) ** -0.5
    parameters = {"token_embd.weight": matrix(shape.vocabulary, shape.width)}
    for layer in range(shape.layers):
        parameters |= {
            f"blk.{layer}.attn_norm.weight": ones(),
            f"blk.{layer}.attn_q.weight": matrix(shape.width, shape.width),
            f"blk.{layer}.attn_k.weight": matrix(kv_width, shape.width),
            f"blk.{layer}.attn_v.weight": matrix(kv_width, shape.width),
            f"blk.{layer}.attn_output.weight": matrix(shape.width, shape.width, branch),
            f"blk.{layer}.ffn_norm.weight": ones(),
            f"blk.{layer}.ffn_gate.weight": matrix(shape.feed_forward, shape.width),
            f"blk.{layer}.ffn_up.weight": matrix(shape.feed_forward, shape.width),
            f"blk.{layer}.ffn_down.weight": matrix(shape.width, shape.feed_forward, branch),
        }
    return parameters | {"output_norm.weight": ones()}


def rotations(shape: Shape, length: int) -> tuple[Tensor, Tensor]:
    """Returns cosines and sines of RoPE, each (length, head width / 2)."""
    frequencies = shape.rope_base ** -(torch.arange(0, shape.head_width, 2) / shape.head_width)
    angles = torch.outer(torch.arange(length, dtype=torch.float32), frequencies)
    return angles.cos(), angles.sin()


def rotate(heads: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotates neighbours (0, 1), (2, 3), ... of (batch, heads, length, head width).

    That is the order llama.cpp has for this architecture, so the export permutes nothing.
    """
    even, odd = heads[..., 0::2], heads[..., 1::2]
    return torch.stack((even * cosines - odd * sines, even * sines + odd * cosines), dim=-1).flatten(-2)


def hidden(parameters: Parameters, shape: Shape, ids: Tensor) -> Tensor:
    """Returns the last states (batch, length, width) of ids (batch, length), normed."""
    batch, length = ids.shape
    turn = rotations(shape, length)
    stream = parameters["token_embd.weight"][ids]

    def norm(name: str) -> Tensor:
        return functional.rms_norm(stream, (shape.width,), parameters[f"{name}.weight"], shape.epsilon)

    for layer in range(shape.layers):
        block = f"blk.{layer}"
        normed = norm(f"{block}.attn_norm")
        query, key, value = (
            functional.linear(normed, parameters[f"{block}.attn_{name}.weight"])
            .view(batch, length, -1, shape.head_width)
            .transpose(1, 2)
            for name in "qkv"
        )
        mixed = functional.scaled_dot_product_attention(
            rotate(query, *turn), rotate(key, *turn), value, is_causal=True, enable_gqa=True
        )
        joined = mixed.transpose(1, 2).reshape(batch, length, -1)
        stream = stream + functional.linear(joined, parameters[f"{block}.attn_output.weight"])
        normed = norm(f"{block}.ffn_norm")
        gate = functional.silu(functional.linear(normed, parameters[f"{block}.ffn_gate.weight"]))
        up = functional.linear(normed, parameters[f"{block}.ffn_up.weight"])
        stream = stream + functional.linear(gate * up, parameters[f"{block}.ffn_down.weight"])
    return norm("output_norm")


def logits(parameters: Parameters, states: Tensor) -> Tensor:
    """Returns logits (..., vocabulary) of states (..., width)."""
    return functional.linear(states, parameters["token_embd.weight"])


def train(
    parameters: Parameters,
    shape: Shape,
    batches: Iterator[Batch],
    *,
    learning_rate: float,
    progress: Callable[[float], float],
) -> None:
    """Trains in place by AdamW.

    Args:
        parameters: What is trained.
        shape: Sizes of the network.
        batches: Endless batches.
        learning_rate: Peak of the schedule: a short rise, then a straight fall to zero.
        progress: Told the last loss before each step; returns the share that is done, 1 to end.
    """
    matrices = [tensor for tensor in parameters.values() if tensor.dim() > 1]
    vectors = [tensor for tensor in parameters.values() if tensor.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98), fused=True)
    # Half the time, where the CPU multiplies in BF16; the weights stay in F32.
    half = bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    loss = float("nan")
    while (done := progress(loss)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(done / _RISE, (1 - done) / (1 - _RISE))
        ids, targets = next(batches)
        taught = targets != IGNORED
        # Logits are computed only where there is something to learn: the vocabulary is the widest matrix.
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            wanted = logits(parameters, hidden(parameters, shape, ids)[taught])
        error = functional.cross_entropy(wanted.float(), targets[taught])
        torch.autograd.backward(error)
        torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        loss = error.item()
