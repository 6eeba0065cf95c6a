"""The memory that a model needs at a given context length, and whether it is there."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from lambda_llm.gguf.errors import DoesNotFitError, UnsupportedModelError
from lambda_llm.gguf.header import TENSOR_TYPES, Header
from lambda_llm.gguf.options import DEFAULT_CONTEXT, KVType, ModelOptions, Weights
from lambda_llm.limits import MIB
from lambda_llm.units import megabytes

BATCH_TOKENS: Final = 512
"""How many tokens of a prompt are evaluated together; compute buffers grow with it."""

PROCESS_BYTES: Final = 256 * MIB
"""Python, this package and what the system itself takes beside the model."""

REPACKED_TYPES: Final[Mapping[str, frozenset[str]]] = {
    "arm64": frozenset({"Q4_0", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "IQ4_NL", "MXFP4", "Q1_0"}),
    "x86_64": frozenset({"Q4_0", "Q4_K", "IQ4_NL", "MXFP4"}),
}
"""Types that llama.cpp stores in a faster layout of its own: on arm64 with dot products, which every Graviton since the
second has, and on x86-64 with AVX2. Source: ggml_repack_get_optimal_repack_type in ggml-cpu/repack.cpp, ggml 0.25"""

EMBEDDING: Final = "token_embd.weight"
"""Stays as it is in the file, since single rows of it are looked up; many models use it as their output matrix, too."""

CONTEXT_STEP: Final = 256
"""llama.cpp rounds the length of the KV cache up to a multiple of this."""


@dataclass(frozen=True)
class MemoryPlan:
    """What a model needs, in bytes, and how much there is.

    Attributes:
        options: those that were asked for, with context length and placement resolved.
        weights: the one copy that stays.
        kv_cache: of the whole context.
        compute_buffers: llama.cpp's working memory.
        process: everything that is not the model.
        peak: the most that is used at any time: while loading, when weights are copied.
        memory: what there is.
        pinned: keys and values beside the KV cache.
    """

    options: ModelOptions
    weights: int
    kv_cache: int
    compute_buffers: int
    process: int
    peak: int
    memory: int
    pinned: int = 0

    @property
    def context_length(self) -> int:
        """Tokens of prompt and answer together."""
        assert self.options.context_length is not None  # noqa: S101 - a plan resolves it
        return self.options.context_length

    @property
    def resident(self) -> int:
        """What stays in use after loading."""
        return self.weights + self.kv_cache + self.compute_buffers + self.pinned + self.process

    @property
    def fits(self) -> bool:
        """Whether the peak stays within the memory."""
        return self.peak <= self.memory

    def describe(self) -> str:
        """The sum in one line, in MB."""
        loading = " (twice while they are repacked)" if self.options.placement is Weights.COPIED else ""
        pinned = f", pinned beside it {megabytes(self.pinned)}" if self.pinned else ""
        return (
            f"weights {megabytes(self.weights)}{loading}, KV cache for {self.context_length:,} tokens "
            f"{megabytes(self.kv_cache)}, compute buffers {megabytes(self.compute_buffers)}{pinned}, process "
            f"{megabytes(self.process)}: at most {megabytes(self.peak)} of {megabytes(self.memory)}"
        )

    def require(self) -> None:
        """Return if it fits.

        Raises:
            DoesNotFitError: with the numbers and what would help.
        """
        if not self.fits:
            raise DoesNotFitError(
                f"The model does not fit: {self.describe()}. Use a smaller quantization or a shorter "
                f"LAMBDA_LLM_CONTEXT, set LAMBDA_LLM_KV_TYPE=q8_0, or give it more memory."
            )


def plan_memory(
    header: Header,
    file_size: int,
    options: ModelOptions,
    *,
    memory: int,
    pinned_tokens: int = 0,
    machine: str | None = None,
) -> MemoryPlan:
    """Work out what a model needs and choose where its weights lie.

    Args:
        header: of the model.
        file_size: bytes of the model file, which is in memory as long as it is read or mapped.
        options: a fixed placement, or `auto` for the fastest that fits.
        memory: bytes that may be used in all.
        pinned_tokens: tokens whose keys and values may lie in memory beside the KV cache.
        machine: `arm64` or `x86_64`, where the model is to run; default: this one.

    Raises:
        UnsupportedModelError: the model has no weights or was not trained for so long a context.
    """
    if not header.tensors:
        raise UnsupportedModelError("The file has no weights, only a vocabulary: name a complete model.")
    context = options.context_length
    if context is None:
        context = min(header.context_length or DEFAULT_CONTEXT, DEFAULT_CONTEXT)
    if header.context_length and context > header.context_length:
        raise UnsupportedModelError(
            f"A context of {context:,} tokens is longer than the {header.context_length:,} that the model was trained "
            f"for: set LAMBDA_LLM_CONTEXT to {header.context_length} or less."
        )
    kv_cache = _kv_bytes(header, context, options.kv_type)
    compute = _compute_bytes(header, context)
    pinned = _kv_bytes(header, pinned_tokens, options.kv_type)
    rest = kv_cache + compute + pinned + PROCESS_BYTES
    repacked = _repacked(header, machine or platform.machine())

    def placed(placement: Weights, weights: int, peak: int) -> MemoryPlan:
        return MemoryPlan(
            options=replace(options, context_length=context, placement=placement),
            weights=weights,
            kv_cache=kv_cache,
            compute_buffers=compute,
            pinned=pinned,
            process=PROCESS_BYTES,
            peak=peak,
            memory=memory,
        )

    stays = header.weight_bytes
    # A tensor is read as it is, and repacked from there. The KV cache is made after the memory file is gone.
    reading = stays + max(repacked, default=0) + file_size + PROCESS_BYTES
    copied = placed(Weights.COPIED, stays, max(reading, stays + rest))
    mapped = placed(Weights.MAPPED, file_size, file_size + rest)
    if options.placement is Weights.COPIED:
        return copied
    return copied if options.placement is Weights.AUTO and repacked and copied.fits else mapped


def repacked_types(machine: str) -> frozenset[str]:
    """Types that llama.cpp repacks on a machine, which may be named as Lambda or as `platform.machine` does."""
    return REPACKED_TYPES.get({"aarch64": "arm64", "AMD64": "x86_64"}.get(machine, machine), frozenset())


def _repacked(header: Header, machine: str) -> list[int]:
    """Bytes of each tensor that llama.cpp repacks."""
    types = repacked_types(machine)
    return [tensor.size for tensor in header.tensors if tensor.type in types and tensor.name != EMBEDDING]


@dataclass(frozen=True)
class MemoryNeeds:
    """What a model needs beside its file, in bytes, before a context is chosen.

    Terraform does the sum of `plan_memory` with it for weights that stay in the file's pages, the least that any
    placement takes: modules/inference refuses what can't fit before anything is applied.

    Attributes:
        kv_per_token: KV cache of one token, by its type.
        per_token: what the compute buffers grow by with each token of the context.
        fixed: compute buffers and process, whatever the context is.
        context_length: tokens that the model was trained for; None when the header does not say.
    """

    kv_per_token: dict[str, int]
    per_token: int
    fixed: int
    context_length: int | None


def memory_needs(header: Header) -> MemoryNeeds:
    """Work out what Terraform needs to know; from `BATCH_TOKENS` on the sum is exact, below it is an upper estimate."""
    if header.encodes:  # which evaluates its whole context at once: the longest counts, whatever is chosen
        per_token, fixed = 0, _compute_bytes(header, min(header.context_length or DEFAULT_CONTEXT, DEFAULT_CONTEXT))
    else:
        short, long = _compute_bytes(header, BATCH_TOKENS), _compute_bytes(header, 2 * BATCH_TOKENS)
        per_token = (long - short) // BATCH_TOKENS
        fixed = short - per_token * BATCH_TOKENS
    return MemoryNeeds(
        kv_per_token={kind.value: -(-_kv_bytes(header, CONTEXT_STEP, kind) // CONTEXT_STEP) for kind in KVType},
        per_token=per_token,
        fixed=fixed + PROCESS_BYTES,
        context_length=header.context_length or None,
    )


def _kv_bytes(header: Header, context: int, kv_type: KVType) -> int:
    """Keys and values of every layer for every token.

    Source: llama_kv_cache in llama.cpp's src/llama-kv-cache.cpp.
    """
    if not header.causal:
        return 0
    heads = header.per_layer("attention.head_count")
    most = max(heads, default=0)
    head_length = header.number("embedding_length") // most if most else 0
    grouped = f"{header.architecture}.attention.head_count_kv" in header.metadata
    per_token = (
        header.number("attention.key_length", head_length) + header.number("attention.value_length", head_length)
    ) * sum(header.per_layer("attention.head_count_kv") if grouped else heads)
    _, block, block_bytes = next(entry for entry in TENSOR_TYPES.values() if entry[0] == kv_type.value.upper())
    tokens = -(-context // CONTEXT_STEP) * CONTEXT_STEP
    return tokens * per_token // block * block_bytes


def _compute_bytes(header: Header, context: int) -> int:
    """An upper estimate of the scratch buffers for one batch: `BATCH_TOKENS`, or all that an encoder reads at once.

    Widest moments of a transformer block, in 32-bit floats: the feed-forward activations, the block's
    inputs and outputs, and the attention mask; plus one row of logits. A test checks it against what llama.cpp
    reserves.
    """
    batch = context if header.encodes else min(BATCH_TOKENS, context)
    width = header.number("embedding_length")
    widest = max(header.per_layer("feed_forward_length"), default=0) or 4 * width
    return 4 * (batch * (3 * widest + 6 * width) + batch * context + 2 * header.vocabulary) + 16 * MIB
