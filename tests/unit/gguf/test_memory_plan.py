"""Sums that were done by hand, and the choice that follows from them."""

import dataclasses

import pytest

from lambda_llm.gguf.errors import DoesNotFitError, UnsupportedModelError
from lambda_llm.gguf.header import TENSOR_TYPES, Header, Tensor, Value
from lambda_llm.gguf.memory_plan import (
    BATCH_TOKENS,
    PROCESS_BYTES,
    REPACKED_TYPES,
    MemoryPlan,
    memory_needs,
    plan_memory,
)
from lambda_llm.gguf.options import DEFAULT_CONTEXT, KVType, ModelOptions, Weights
from lambda_llm.limits import MIB

GB = 10**9

LLAMA_3_2_1B: dict[str, Value] = {
    "context_length": 131072,
    "embedding_length": 2048,
    "block_count": 16,
    "feed_forward_length": 8192,
    "attention.head_count": 32,
    "attention.head_count_kv": 8,
    "attention.key_length": 64,
    "attention.value_length": 64,
    "vocab_size": 128256,
}
LLAMA_3_1_8B: dict[str, Value] = {
    "context_length": 131072,
    "embedding_length": 4096,
    "block_count": 32,
    "feed_forward_length": 14336,
    "attention.head_count": 32,
    "attention.head_count_kv": 8,
    "vocab_size": 128256,
}
QWEN_2_5_0_5B: dict[str, Value] = {
    "context_length": 32768,
    "embedding_length": 896,
    "block_count": 24,
    "feed_forward_length": 4864,
    "attention.head_count": 14,
    "attention.head_count_kv": 2,
    "vocab_size": 151936,
}
GEMMA_3_1B: dict[str, Value] = {  # heads are longer than width / heads
    "context_length": 32768,
    "embedding_length": 1152,
    "block_count": 26,
    "feed_forward_length": 6912,
    "attention.head_count": 4,
    "attention.head_count_kv": 1,
    "attention.key_length": 256,
    "attention.value_length": 256,
}
PHI_2: dict[str, Value] = {  # every head has keys and values of its own, and the header need not say so
    "context_length": 2048,
    "embedding_length": 2560,
    "block_count": 32,
    "feed_forward_length": 10240,
    "attention.head_count": 32,
}
OPENELM_LIKE: dict[str, Value] = {  # heads differ from layer to layer
    "context_length": 2048,
    "embedding_length": 1536,
    "block_count": 4,
    "feed_forward_length": [768, 1024, 1280, 3072],
    "attention.head_count": [12, 12, 16, 24],
    "attention.head_count_kv": [3, 3, 4, 6],
    "attention.key_length": 64,
    "attention.value_length": 64,
}
MIXED: dict[str, Value] = {  # some layers without attention
    "context_length": 2048,
    "embedding_length": 1024,
    "block_count": 4,
    "feed_forward_length": 2048,
    "attention.head_count": [16, 0, 0, 16],
}
MAMBA: dict[str, Value] = {"context_length": 2048, "embedding_length": 1024, "block_count": 4, "vocab_size": 50280}


def made(numbers: dict[str, Value], weights: dict[str, int] | None = None, file_size: int = 0) -> Header:
    """A header with these dimensions and so many bytes of each tensor type."""
    metadata: dict[str, Value] = {"general.architecture": "llama"}
    metadata |= {f"llama.{key}": value for key, value in numbers.items()}
    tensors = [
        Tensor(f"w{number}", (1,), kind, file_size, size)
        for number, (kind, size) in enumerate((weights or {"F32": 4}).items())
    ]
    return Header(metadata, {}, tuple(tensors))


def planned(
    header: Header,
    file_size: int = GB,
    *,
    context: int | None = 4096,
    kv_type: KVType = KVType.F16,
    weights: Weights = Weights.AUTO,
    memory: int = 10 * GB,
    machine: str = "arm64",
) -> MemoryPlan:
    options = ModelOptions(context_length=context, kv_type=kv_type, placement=weights)
    return plan_memory(header, file_size, options, memory=memory, machine=machine)


# -- The KV cache -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "kv_type", "per_token"),
    [
        (LLAMA_3_2_1B, KVType.F16, 32_768),
        (LLAMA_3_2_1B, KVType.Q8_0, 17_408),
        (LLAMA_3_1_8B, KVType.F16, 131_072),
        (LLAMA_3_1_8B, KVType.Q8_0, 69_632),
        (QWEN_2_5_0_5B, KVType.F16, 12_288),
        (QWEN_2_5_0_5B, KVType.Q8_0, 6_528),
        (GEMMA_3_1B, KVType.F16, 26_624),
        (PHI_2, KVType.F16, 327_680),
        (OPENELM_LIKE, KVType.F16, 2 * (64 + 64) * (3 + 3 + 4 + 6)),
        (MIXED, KVType.F16, 2 * (64 + 64) * (16 + 16)),
        (MAMBA, KVType.F16, 0),
    ],
    ids=[
        "Llama 3.2 1B",
        "Llama 3.2 1B q8_0",
        "Llama 3.1 8B",
        "Llama 3.1 8B q8_0",
        "Qwen 2.5 0.5B",
        "Qwen 2.5 0.5B q8_0",
        "Gemma 3 1B",
        "Phi-2",
        "heads differ",
        "some layers without",
        "no attention",
    ],
)
def test_a_token_takes_so_many_bytes_of_kv_cache(numbers: dict[str, Value], kv_type: KVType, per_token: int) -> None:
    assert planned(made(numbers), context=2048, kv_type=kv_type).kv_cache == 2048 * per_token


@pytest.mark.parametrize(("context", "tokens"), [(8, 256), (256, 256), (257, 512), (4000, 4096), (131072, 131072)])
def test_the_kv_cache_is_rounded_up_to_256_tokens(context: int, tokens: int) -> None:
    plan = planned(made(LLAMA_3_2_1B), context=context)
    assert plan.kv_cache == tokens * 32_768
    assert plan.context_length == context


# -- The context ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("trained", "context"), [(512, 512), (DEFAULT_CONTEXT, 4096), (131072, 4096), (0, 4096)])
def test_the_default_context_is_the_models_within_reason(trained: int, context: int) -> None:
    assert planned(made({**LLAMA_3_2_1B, "context_length": trained}), context=None).context_length == context


def test_the_models_whole_context_may_be_asked_for() -> None:
    assert planned(made(QWEN_2_5_0_5B), context=32768).context_length == 32768


def test_a_context_longer_than_the_models_is_refused() -> None:
    with pytest.raises(
        UnsupportedModelError,
        match=r"context of 32,769 tokens .* 32,768 that the model was trained for.* LAMBDA_LLM_CONTEXT to 32768",
    ):
        planned(made(QWEN_2_5_0_5B), context=32769)


def test_a_model_that_does_not_say_its_context_gets_any() -> None:
    assert planned(made({**LLAMA_3_2_1B, "context_length": 0}), context=10**6).context_length == 10**6


def test_a_vocabulary_alone_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match=r"The file has no weights, only a vocabulary"):
        planned(dataclasses.replace(made(LLAMA_3_2_1B), tensors=()))


# -- The sums ---------------------------------------------------------------------------------------


def test_mapped_weights_are_the_file() -> None:
    plan = planned(made(LLAMA_3_2_1B, {"Q4_0": 700_000_000}), 707_000_000, weights=Weights.MAPPED)
    assert plan.options.placement is Weights.MAPPED
    assert plan.weights == 707_000_000
    assert plan.peak == plan.resident == 707_000_000 + plan.kv_cache + plan.compute_buffers + PROCESS_BYTES


def test_copied_weights_exist_twice_while_they_are_loaded() -> None:
    plan = planned(made(LLAMA_3_2_1B, {"Q4_0": 700_000_000}), 707_000_000, weights=Weights.COPIED)
    assert plan.options.placement is Weights.COPIED
    assert plan.weights == 700_000_000
    assert plan.peak == 700_000_000 + 700_000_000 + 707_000_000 + PROCESS_BYTES, "repacked in one piece, in a third"
    assert plan.resident == 700_000_000 + plan.kv_cache + plan.compute_buffers + PROCESS_BYTES
    assert plan.resident < plan.peak


def test_only_the_largest_tensor_that_is_repacked_is_there_a_third_time() -> None:
    sizes = {"token_embd.weight": 400, "blk.0.ffn_up.weight": 300, "blk.0.ffn_down.weight": 200}
    tensors = tuple(Tensor(name, (1,), "Q4_0", 0, size * MIB) for name, size in sizes.items())
    header = dataclasses.replace(made(LLAMA_3_2_1B), tensors=tensors)
    plan = planned(header, 900 * MIB, weights=Weights.COPIED)
    assert plan.peak == (900 + 900 + 300) * MIB + PROCESS_BYTES


def test_the_kv_cache_counts_for_the_peak_where_it_is_larger_than_the_file() -> None:
    plan = planned(made(PHI_2, {"F16": 100_000_000}), 101_000_000, context=2048, weights=Weights.COPIED)
    assert plan.kv_cache > 101_000_000
    assert plan.peak == plan.resident


def test_compute_buffers_grow_with_the_context_and_the_widest_layer() -> None:
    short, long = (planned(made(LLAMA_3_2_1B), context=context).compute_buffers for context in (BATCH_TOKENS, 4096))
    assert long - short == 4 * BATCH_TOKENS * (4096 - BATCH_TOKENS)
    wider = planned(made({**LLAMA_3_2_1B, "feed_forward_length": [*[8192] * 15, 16384]}), context=4096).compute_buffers
    assert wider - long == 4 * BATCH_TOKENS * 3 * 8192


# -- What fits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("numbers", [LLAMA_3_2_1B, GEMMA_3_1B, OPENELM_LIKE, MAMBA])
@pytest.mark.parametrize("kv_type", KVType)
@pytest.mark.parametrize("context", [BATCH_TOKENS, 1000, 2048])
def test_what_terraform_is_told_gives_the_same_sum(numbers: dict[str, Value], kv_type: KVType, context: int) -> None:
    header = made(numbers)
    told = memory_needs(header)
    tokens = -(-context // 256) * 256
    total = GB + tokens * told.kv_per_token[kv_type.value] + context * told.per_token + told.fixed
    assert total == planned(header, context=context, kv_type=kv_type, weights=Weights.MAPPED).peak
    assert told.context_length == numbers["context_length"]


def test_a_short_context_is_rather_told_to_need_too_much() -> None:
    header = made(LLAMA_3_2_1B)
    told = memory_needs(header)
    exact = planned(header, context=256, weights=Weights.MAPPED).peak
    assert exact <= GB + 256 * told.kv_per_token["f16"] + 256 * told.per_token + told.fixed


def test_what_terraform_is_told_of_an_encoder_suffices_for_its_longest_context() -> None:
    header = made({**LLAMA_3_2_1B, "pooling_type": 3})
    assert header.encodes
    told = memory_needs(header)
    longest = planned(header, context=DEFAULT_CONTEXT, weights=Weights.MAPPED).peak
    assert GB + DEFAULT_CONTEXT * told.kv_per_token["f16"] + told.fixed == longest
    assert told.per_token == 0


def test_where_each_token_sees_all_there_is_no_kv_cache() -> None:
    numbers = {**LLAMA_3_2_1B, "attention.causal": False}
    assert planned(made(numbers), context=2048).kv_cache == 0
    assert memory_needs(made(numbers)).kv_per_token == {"f16": 0, "q8_0": 0}


def test_a_model_fits_up_to_the_last_byte() -> None:
    header = made(LLAMA_3_2_1B, {"Q4_0": 700_000_000})
    peak = planned(header, 707_000_000, weights=Weights.MAPPED).peak
    exact = planned(header, 707_000_000, weights=Weights.MAPPED, memory=peak)
    exact.require()
    assert exact.fits
    short = planned(header, 707_000_000, weights=Weights.MAPPED, memory=peak - 1)
    assert not short.fits
    with pytest.raises(DoesNotFitError):
        short.require()


def test_the_refusal_has_every_number_and_what_helps() -> None:
    plan = MemoryPlan(
        options=ModelOptions(context_length=4096, placement=Weights.MAPPED),
        weights=5000 * MIB,
        kv_cache=600 * MIB,
        compute_buffers=300 * MIB,
        process=256 * MIB,
        peak=6156 * MIB,
        memory=6000 * MIB,
    )
    with pytest.raises(DoesNotFitError) as caught:
        plan.require()
    assert str(caught.value) == (
        "The model does not fit: weights 5,000 MB, KV cache for 4,096 tokens 600 MB, compute buffers 300 MB, process "
        "256 MB: at most 6,156 MB of 6,000 MB. Use a smaller quantization or a shorter LAMBDA_LLM_CONTEXT, set "
        "LAMBDA_LLM_KV_TYPE=q8_0, or give it more memory."
    )
    assert (
        "weights 5,000 MB (twice while they are repacked)"
        in dataclasses.replace(plan, options=ModelOptions(context_length=4096, placement=Weights.COPIED)).describe()
    )


# -- Where the weights lie --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "weights", "memory", "placement"),
    [
        pytest.param({"Q4_0": GB}, Weights.AUTO, 5 * GB, Weights.COPIED, id="repacking pays and both fit"),
        pytest.param({"Q4_0": GB}, Weights.AUTO, 2 * GB, Weights.MAPPED, id="repacking pays but both don't fit"),
        pytest.param({"Q4_0": GB}, Weights.AUTO, 1 * GB, Weights.MAPPED, id="nothing fits"),
        pytest.param({"F16": GB}, Weights.AUTO, 5 * GB, Weights.MAPPED, id="nothing can be repacked"),
        pytest.param({"F32": 9, "Q6_K": GB}, Weights.AUTO, 5 * GB, Weights.COPIED, id="some can be repacked"),
        pytest.param({"Q2_K": GB}, Weights.AUTO, 5 * GB, Weights.MAPPED, id="no layout for this type"),
        pytest.param({"F16": GB}, Weights.COPIED, 5 * GB, Weights.COPIED, id="copied as told"),
        pytest.param({"Q4_0": GB}, Weights.COPIED, 2 * GB, Weights.COPIED, id="copied as told though it doesn't fit"),
        pytest.param({"Q4_0": GB}, Weights.MAPPED, 5 * GB, Weights.MAPPED, id="mapped as told"),
    ],
)
def test_weights_lie_where_they_are_fastest_and_fit(
    kinds: dict[str, int], weights: Weights, memory: int, placement: Weights
) -> None:
    assert (
        planned(made(LLAMA_3_2_1B, kinds), GB, weights=weights, memory=memory, context=256).options.placement
        is placement
    )


@pytest.mark.parametrize(
    ("machine", "kind", "placement"),
    [
        ("arm64", "Q8_0", Weights.COPIED),
        ("aarch64", "Q8_0", Weights.COPIED),
        ("x86_64", "Q8_0", Weights.MAPPED),
        ("AMD64", "Q6_K", Weights.MAPPED),
        ("x86_64", "Q4_K", Weights.COPIED),
        ("riscv64", "Q4_0", Weights.MAPPED),
    ],
)
def test_whether_repacking_pays_depends_on_the_machine(machine: str, kind: str, placement: Weights) -> None:
    assert planned(made(LLAMA_3_2_1B, {kind: GB}), machine=machine).options.placement is placement


@pytest.mark.parametrize("machine", REPACKED_TYPES)
def test_repacked_types_are_types(machine: str) -> None:
    assert {name for name, _, _ in TENSOR_TYPES.values()} >= REPACKED_TYPES[machine]
