"""Memory plan: what a model needs at a given context length, and whether it fits."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from lambda_llm.gguf.cache_width import attention_width, recurrent_width
from lambda_llm.gguf.errors import DoesNotFitError, UnsupportedModelError
from lambda_llm.gguf.header import TENSOR_ALIGNMENT, TENSOR_TYPES, Header
from lambda_llm.gguf.options import DEFAULT_CONTEXT, KVType, ModelOptions, Weights
from lambda_llm.limits import MIB
from lambda_llm.units import megabytes

BATCH_TOKENS: Final = 512
"""Batch size of the prefill, in tokens; compute buffers grow with it."""

PROCESS_BYTES: Final = 256 * MIB
"""Python, this package and the system itself, without the model."""

REPACKED_TYPES: Final[Mapping[str, frozenset[str]]] = {
    "arm64": frozenset({"Q4_0", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "IQ4_NL", "MXFP4", "Q1_0"}),
    "x86_64": frozenset({"Q4_0", "Q4_K", "IQ4_NL", "MXFP4"}),
}
"""Tensor types that llama.cpp repacks into a faster layout: on arm64 with dot product instructions (every Graviton
since the second), and on x86-64 with AVX2. Source: ggml_repack_get_optimal_repack_type in ggml-cpu/repack.cpp, ggml
0.25"""

EMBEDDING: Final = "token_embd.weight"
"""The token embedding, which is never repacked: single rows of it are looked up. Many models use it as their output
matrix, too."""

SEQUENCES: Final = 2
"""Of a decoder's context: the conversation, and one through which states are exported and imported."""

GUESSED_MAX: Final = 3
"""Tokens that a decoder evaluates behind the chosen ones before they are chosen: four rows at once are the most that
llama.cpp's repacked kernels compute in one pass over the weights (ggml-cpu/repack.cpp)."""

OUTPUTS: Final = 1 + GUESSED_MAX
"""Rows of logits of one evaluation; llama.cpp needs no fewer than `SEQUENCES`."""

_STATE_NUMBER_BYTES: Final = 4
"""llama.cpp keeps states of recurrent layers as F32."""

CONTEXT_STEP: Final = 256
"""llama.cpp rounds the length of the KV cache up to a multiple of this."""


@dataclass(frozen=True)
class MemoryPlan:
    """What a model needs, and what is available, in bytes.

    Attributes:
        options: the given ones, with context length and placement resolved.
        weights: the copy that stays resident.
        kv_cache: of the whole context, with the states of recurrent layers.
        compute_buffers: llama.cpp's compute buffers.
        process: everything else in the process.
        peak: the maximum at any time; for copied weights this may be while loading.
        memory: available memory.
        pinned: keys and values in addition to the KV cache.
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
        """Tokens of prompt and output together."""
        assert self.options.context_length is not None  # noqa: S101 - a plan resolves it
        return self.options.context_length

    @property
    def resident(self) -> int:
        """What is used after loading."""
        return self.weights + self.kv_cache + self.compute_buffers + self.pinned + self.process

    @property
    def fits(self) -> bool:
        """Whether the peak is within the memory."""
        return self.peak <= self.memory

    def describe(self) -> str:
        """The sum in one line, in MB."""
        loading = " (twice while they are repacked)" if self.options.placement is Weights.COPIED else ""
        pinned = f", pinned prefixes {megabytes(self.pinned)}" if self.pinned else ""
        return (
            f"weights {megabytes(self.weights)}{loading}, KV cache for {self.context_length:,} tokens "
            f"{megabytes(self.kv_cache)}, compute buffers {megabytes(self.compute_buffers)}{pinned}, process "
            f"{megabytes(self.process)}: at most {megabytes(self.peak)} of {megabytes(self.memory)}"
        )

    def require(self) -> None:
        """Check that the plan fits.

        Raises:
            DoesNotFitError: it does not; the text has the numbers and the remedies.
        """
        if not self.fits:
            raise DoesNotFitError(
                f"The model does not fit: {self.describe()}. Use a smaller quantization or a shorter "
                "LAMBDA_LLM_CONTEXT, set LAMBDA_LLM_KV_TYPE=q8_0, or give it more memory."
            )


def plan_memory(
    header: Header,
    file_size: int,
    options: ModelOptions,
    *,
    memory: int,
    pinned_tokens: int = 0,
    pinned_states: int = 0,
    machine: str | None = None,
) -> MemoryPlan:
    """Compute what a model needs, and choose the placement of its weights.

    Args:
        header: of the model.
        file_size: of the model file in bytes, which is in memory while it is read or mapped.
        options: a fixed placement, or `auto` for the fastest that fits.
        memory: available memory, in bytes.
        pinned_tokens: tokens whose keys and values may be in memory in addition to the KV cache.
        pinned_states: in how many pieces; each has the state of a recurrent model's layers.
        machine: `arm64` or `x86_64`, where the model will run; default: this machine's.

    Raises:
        UnsupportedModelError: the model has no weights, was not trained for so long a context, or can't be mapped.
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
    kv_cache = _kv_bytes(header, context, options.kv_type) + SEQUENCES * _state_bytes(header)
    compute = _compute_bytes(header, context)
    pinned = _kv_bytes(header, pinned_tokens, options.kv_type) + pinned_states * _state_bytes(header)
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

    weights = header.weight_bytes
    # Each tensor is read into a buffer and repacked from there. The KV cache is allocated after the file is freed.
    loading = weights + max(repacked, default=0) + file_size + PROCESS_BYTES
    copied = placed(Weights.COPIED, weights, max(loading, weights + rest))
    mapped = placed(Weights.MAPPED, file_size, file_size + rest)
    mappable = header.alignment >= TENSOR_ALIGNMENT
    if options.placement is Weights.MAPPED and not mappable:
        raise UnsupportedModelError(
            f"The file aligns the weights to {header.alignment} bytes, but mapped ones need {TENSOR_ALIGNMENT}: set "
            "LAMBDA_LLM_WEIGHTS=copied."
        )
    if options.placement is Weights.COPIED or not mappable:
        return copied
    return copied if options.placement is Weights.AUTO and repacked and copied.fits else mapped


def repacked_types(machine: str) -> frozenset[str]:
    """Tensor types that llama.cpp repacks on a machine, in Lambda's or `platform.machine`'s spelling."""
    return REPACKED_TYPES.get({"aarch64": "arm64", "AMD64": "x86_64"}.get(machine, machine), frozenset())


def _repacked(header: Header, machine: str) -> list[int]:
    """Sizes in bytes of the tensors that llama.cpp repacks."""
    types = repacked_types(machine)
    return [tensor.size for tensor in header.tensors if tensor.type in types and tensor.name != EMBEDDING]


@dataclass(frozen=True)
class MemoryNeeds:
    """What a model needs in addition to its file, in bytes, as a function of the context length.

    With it Terraform computes `plan_memory` for mapped weights, the least that any placement needs: modules/inference
    refuses a model that can't fit before anything is applied.

    Attributes:
        kv_per_token: KV cache per token, by data type.
        per_token: growth of the compute buffers per token of context.
        fixed: compute buffers and process, independent of the context.
        context_length: tokens that the model was trained for; None when the header does not say.
    """

    kv_per_token: dict[str, int]
    per_token: int
    fixed: int
    context_length: int | None


def memory_needs(header: Header) -> MemoryNeeds:
    """Compute what Terraform needs; exact for contexts from `BATCH_TOKENS` on, an upper bound below."""
    if header.encodes:  # its batch is the whole context, which is not linear: use the longest context
        per_token, fixed = 0, _compute_bytes(header, min(header.context_length or DEFAULT_CONTEXT, DEFAULT_CONTEXT))
    else:
        short, long = _compute_bytes(header, BATCH_TOKENS), _compute_bytes(header, 2 * BATCH_TOKENS)
        per_token = (long - short) // BATCH_TOKENS
        fixed = short - per_token * BATCH_TOKENS
    return MemoryNeeds(
        kv_per_token={kind.value: -(-_kv_bytes(header, CONTEXT_STEP, kind) // CONTEXT_STEP) for kind in KVType},
        per_token=per_token,
        fixed=fixed + SEQUENCES * _state_bytes(header) + PROCESS_BYTES,
        context_length=header.context_length or None,
    )


def _kv_bytes(header: Header, context: int, kv_type: KVType) -> int:
    """Size of the KV cache: keys and values of every layer with attention for every token, in bytes.

    Layers with a sliding window have all tokens, too: `Decoder` keeps them, so that it can go back to any.
    Source: llama_kv_cache in llama.cpp's src/llama-kv-cache.cpp.
    """
    _, block, block_bytes = next(entry for entry in TENSOR_TYPES.values() if entry[0] == kv_type.value.upper())
    tokens = -(-context // CONTEXT_STEP) * CONTEXT_STEP
    return tokens * attention_width(header) // block * block_bytes


def _state_bytes(header: Header) -> int:
    """Size of what recurrent layers keep of one sequence, in bytes."""
    return _STATE_NUMBER_BYTES * recurrent_width(header)


def _compute_bytes(header: Header, context: int) -> int:
    """An upper bound of the compute buffers for one batch: `BATCH_TOKENS`, or an encoder's whole context.

    The largest intermediate tensors of a transformer block, in 32-bit floats: the feed-forward activations, the
    block's inputs and outputs, and the attention mask; plus `OUTPUTS` rows of logits, as the graph's result and as
    what is read from it. A test verifies it against what llama.cpp reserves.
    """
    batch = context if header.encodes else min(BATCH_TOKENS, context)
    width = header.number("embedding_length")
    widest = max(header.per_layer("feed_forward_length"), default=0) or 4 * width
    return 4 * (batch * (3 * widest + 6 * width) + batch * context + 2 * OUTPUTS * header.vocabulary) + 16 * MIB
