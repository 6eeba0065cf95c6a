"""Memory arithmetic: what a model needs at a given context, and whether that fits."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lambda_llm.limits import MIB
from lambda_llm.loading.errors import DoesNotFitError, UnsupportedModelError
from lambda_llm.loading.gguf import TENSOR_TYPES, Header
from lambda_llm.settings import DEFAULT_CONTEXT, KVType, Weights
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
class Fit:
    """What a model needs, in bytes, and against what.

    Attributes:
        weights: the one copy that stays.
        kv: KV cache of the whole context.
        compute: llama.cpp's working buffers.
        process: everything that is not the model.
        peak: the most that is used at one time, which is while loading when weights are copied.
        memory: what there is.
        context: tokens.
        placement: `copied` or `mapped`, what `auto` came to.
        kept: keys and values beside the KV cache.
    """

    weights: int
    kv: int
    compute: int
    process: int
    peak: int
    memory: int
    context: int
    placement: Weights
    kept: int = 0

    @property
    def resident(self) -> int:
        """What stays in use after loading."""
        return self.weights + self.kv + self.compute + self.kept + self.process

    @property
    def fits(self) -> bool:
        """Whether the peak stays within the memory."""
        return self.peak <= self.memory

    def describe(self) -> str:
        """The sum in one line, in MB."""
        loading = " (twice while they are repacked)" if self.placement is Weights.COPIED else ""
        kept = f", kept beside it {megabytes(self.kept)}" if self.kept else ""
        return (
            f"weights {megabytes(self.weights)}{loading}, KV cache for {self.context:,} tokens {megabytes(self.kv)}, "
            f"compute buffers {megabytes(self.compute)}{kept}, process {megabytes(self.process)}: at most "
            f"{megabytes(self.peak)} of {megabytes(self.memory)}"
        )

    def require(self, what: str) -> None:
        """Return if it fits.

        Args:
            what: the model's address, for the error.

        Raises:
            DoesNotFitError: with the numbers and what would help.
        """
        if not self.fits:
            raise DoesNotFitError(
                f"{what} does not fit: {self.describe()}. Use a smaller quantization or a shorter "
                f"LAMBDA_LLM_CONTEXT, set LAMBDA_LLM_KV_TYPE=q8_0, or give it more memory."
            )


def fit(  # noqa: PLR0913 - a fact each
    header: Header,
    file_size: int,
    *,
    context: int | None,
    kv_type: KVType,
    weights: Weights,
    memory: int,
    what: str,
    kept_tokens: int = 0,
    machine: str | None = None,
) -> Fit:
    """Work out what a model needs and choose where its weights lie.

    Args:
        header: of the model.
        file_size: bytes of the model file, which is in memory as long as it is read or mapped.
        context: tokens; None: what the model was made for, `DEFAULT_CONTEXT` at most.
        kv_type: type of the KV cache.
        weights: a fixed placement, or `auto` for the fastest that fits.
        memory: bytes that may be used in all.
        what: the model's address, for errors.
        kept_tokens: tokens whose keys and values may lie in memory beside the KV cache.
        machine: `arm64` or `x86_64`, where the model is to run; default: this one.

    Raises:
        UnsupportedModelError: the model has no weights or was not made for so long a context.
    """
    if not header.tensors:
        raise UnsupportedModelError(f"{what} has no weights, only a vocabulary: name a complete model.")
    if context is None:
        context = min(header.context_length or DEFAULT_CONTEXT, DEFAULT_CONTEXT)
    if header.context_length and context > header.context_length:
        raise UnsupportedModelError(
            f"A context of {context:,} tokens is longer than the {header.context_length:,} that {what} was made "
            f"for: set LAMBDA_LLM_CONTEXT to {header.context_length} or less."
        )
    kv = _kv_bytes(header, context, kv_type)
    compute = _compute_bytes(header, context)
    kept = _kv_bytes(header, kept_tokens, kv_type)
    rest = kv + compute + kept + PROCESS_BYTES
    stays = header.weight_bytes
    repacked = _repacked(header, machine or platform.machine())
    copied = Fit(
        weights=stays,
        kv=kv,
        compute=compute,
        kept=kept,
        process=PROCESS_BYTES,
        # A tensor is read as it is, and repacked from there. The KV cache is made after the memory file is gone.
        peak=max(stays + max(repacked, default=0) + file_size + PROCESS_BYTES, stays + rest),
        memory=memory,
        context=context,
        placement=Weights.COPIED,
    )
    mapped = Fit(
        weights=file_size,
        kv=kv,
        compute=compute,
        kept=kept,
        process=PROCESS_BYTES,
        peak=file_size + rest,
        memory=memory,
        context=context,
        placement=Weights.MAPPED,
    )
    if weights is Weights.COPIED:
        return copied
    return copied if weights is Weights.AUTO and repacked and copied.fits else mapped


def repacked_types(machine: str) -> frozenset[str]:
    """Types that llama.cpp repacks on a machine, which may be named as Lambda or as `platform.machine` does."""
    return REPACKED_TYPES.get({"aarch64": "arm64", "AMD64": "x86_64"}.get(machine, machine), frozenset())


def _repacked(header: Header, machine: str) -> list[int]:
    """Bytes of each tensor that llama.cpp repacks."""
    types = repacked_types(machine)
    return [tensor.size for tensor in header.tensors if tensor.type in types and tensor.name != EMBEDDING]


@dataclass(frozen=True)
class Needs:
    """What a model needs beside its file, in bytes, before a context is chosen.

    Terraform does the sum of `fit` with it for weights that stay in the file's pages, the least that any placement
    takes: modules/inference refuses what can't fit before anything is applied.

    Attributes:
        kv_per_token: KV cache of one token, by its type.
        per_token: what the compute buffers grow by with each token of the context.
        fixed: compute buffers and process, whatever the context is.
        context_length: tokens that the model was made for; None when it does not say.
    """

    kv_per_token: dict[str, int]
    per_token: int
    fixed: int
    context_length: int | None


def needs(header: Header) -> Needs:
    """Work out what Terraform needs to know; from `BATCH_TOKENS` on the sum is exact, below it is an upper estimate."""
    if header.encodes:  # which evaluates its whole context at once: the longest counts, whatever is chosen
        per_token, fixed = 0, _compute_bytes(header, min(header.context_length or DEFAULT_CONTEXT, DEFAULT_CONTEXT))
    else:
        short, long = _compute_bytes(header, BATCH_TOKENS), _compute_bytes(header, 2 * BATCH_TOKENS)
        per_token = (long - short) // BATCH_TOKENS
        fixed = short - per_token * BATCH_TOKENS
    return Needs(
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
    inputs and outputs, and the attention mask; plus one row of logits. A test holds it against what llama.cpp
    reserves.
    """
    batch = context if header.encodes else min(BATCH_TOKENS, context)
    width = header.number("embedding_length")
    widest = max(header.per_layer("feed_forward_length"), default=0) or 4 * width
    return 4 * (batch * (3 * widest + 6 * width) + batch * context + 2 * header.vocabulary) + 16 * MIB
