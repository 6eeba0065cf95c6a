"""A small BERT in plain PyTorch functions, its heads, and its training."""

import dataclasses
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

Parameters = dict[str, Tensor]
"""Tensors by their GGUF names; matrices are (outputs, inputs)."""

_RISE: Final = 0.06
"""Share of the training in which the learning rate rises."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """Sizes of the network."""

    vocabulary: int
    layers: int = 3
    width: int = 128
    heads: int = 4
    feed_forward: int = 512
    context: int = 128
    epsilon: float = 1e-12


def initialize(shape: Shape) -> Parameters:
    """Returns fresh parameters, drawn from torch's seeded generator."""

    def matrix(rows: int, columns: int, scale: float) -> Tensor:
        return (torch.randn(rows, columns) * scale).requires_grad_()

    def linear(name: str, rows: int, columns: int) -> Parameters:
        bias = torch.zeros(rows, requires_grad=True)
        return {f"{name}.weight": matrix(rows, columns, columns**-0.5), f"{name}.bias": bias}

    def norm(name: str) -> Parameters:
        ones, zeros = torch.ones(shape.width), torch.zeros(shape.width)
        return {f"{name}.weight": ones.requires_grad_(), f"{name}.bias": zeros.requires_grad_()}

    parameters = {
        "token_embd.weight": matrix(shape.vocabulary, shape.width, 0.1),
        "position_embd.weight": matrix(shape.context, shape.width, 0.1),
        "token_types.weight": torch.zeros(2, shape.width, requires_grad=True),
        **norm("token_embd_norm"),
    }
    for layer in range(shape.layers):
        block = f"blk.{layer}"
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            parameters |= linear(f"{block}.{name}", shape.width, shape.width)
        parameters |= linear(f"{block}.ffn_up", shape.feed_forward, shape.width)
        parameters |= linear(f"{block}.ffn_down", shape.width, shape.feed_forward)
        parameters |= norm(f"{block}.attn_output_norm") | norm(f"{block}.layer_output_norm")
    return parameters


def with_head(parameters: Parameters, shape: Shape, outputs: int) -> Parameters:
    """Returns a copy of the network with a fresh classification head of so many outputs."""
    copied = {name: tensor.detach().clone().requires_grad_() for name, tensor in parameters.items()}
    scale = shape.width**-0.5
    return copied | {
        "cls.weight": (torch.randn(shape.width, shape.width) * scale).requires_grad_(),
        "cls.bias": torch.zeros(shape.width, requires_grad=True),
        "cls.output.weight": (torch.randn(outputs, shape.width) * scale).requires_grad_(),
        "cls.output.bias": torch.zeros(outputs, requires_grad=True),
    }


def hidden(parameters: Parameters, shape: Shape, ids: Tensor, there: Tensor, dropout: float = 0.0) -> Tensor:
    """Returns the last states (batch, length, width).

    Args:
        parameters: Of the network.
        shape: Its sizes.
        ids: Token ids (batch, length).
        there: Whether each is a token, and no padding (batch, length).
        dropout: Share of each branch that training leaves out.
    """
    batch, length = ids.shape

    def linear(name: str, values: Tensor) -> Tensor:
        return functional.linear(values, parameters[f"{name}.weight"], parameters[f"{name}.bias"])

    def norm(name: str, values: Tensor) -> Tensor:
        weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
        return functional.layer_norm(values, (shape.width,), weight, bias, shape.epsilon)

    def branch(values: Tensor) -> Tensor:
        return functional.dropout(values, dropout, training=dropout > 0)

    stream = parameters["token_embd.weight"][ids] + parameters["token_types.weight"][0]
    stream = branch(norm("token_embd_norm", stream + parameters["position_embd.weight"][:length]))
    mask = there[:, None, None, :]
    for layer in range(shape.layers):
        block = f"blk.{layer}"
        query, key, value = (
            linear(f"{block}.attn_{name}", stream).view(batch, length, shape.heads, -1).transpose(1, 2)
            for name in "qkv"
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        joined = mixed.transpose(1, 2).reshape(batch, length, -1)
        stream = norm(f"{block}.attn_output_norm", stream + branch(linear(f"{block}.attn_output", joined)))
        risen = functional.gelu(linear(f"{block}.ffn_up", stream), approximate="tanh")
        stream = norm(f"{block}.layer_output_norm", stream + branch(linear(f"{block}.ffn_down", risen)))
    return stream


def embeddings(states: Tensor, there: Tensor) -> Tensor:
    """Returns the mean of the tokens' states, of length 1: (batch, width)."""
    weights = there.unsqueeze(-1).to(states.dtype)
    return functional.normalize((states * weights).sum(1) / weights.sum(1), dim=-1)


def scores(parameters: Parameters, states: Tensor) -> Tensor:
    """Returns what the head says of the first token's state: (batch, outputs)."""
    pooled = torch.tanh(functional.linear(states[:, 0], parameters["cls.weight"], parameters["cls.bias"]))
    return functional.linear(pooled, parameters["cls.output.weight"], parameters["cls.output.bias"])


def train(
    parameters: Parameters,
    loss_of_a_batch: Callable[[], Tensor],
    *,
    learning_rate: float,
    progress: Callable[[float], float],
) -> None:
    """Trains in place by AdamW.

    Args:
        parameters: What is trained.
        loss_of_a_batch: Draws a batch and returns its loss.
        learning_rate: Peak of the schedule: a short rise, then a straight fall to zero.
        progress: Told the last loss before each step; returns the share that is done, 1 to end.
    """
    optimizer = torch.optim.AdamW(parameters.values(), lr=learning_rate, weight_decay=0.02)
    loss = float("nan")
    while (done := progress(loss)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(done / _RISE, (1 - done) / (1 - _RISE))
        value = loss_of_a_batch()
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        optimizer.step()
        loss = value.item()
