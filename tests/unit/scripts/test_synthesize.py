"""The synthesizer's files are what llama.cpp takes for a model, whatever the types of their tensors."""

import dataclasses
import math
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
import pytest

from scripts.models import synthesize as script
from support.synthetic import TOKENIZER, write_source


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def shape() -> script.Shape:
    """The tiny shape over the small vocabulary."""
    return dataclasses.replace(script.SHAPES["tiny"], tokenizer=TOKENIZER)


@pytest.mark.parametrize(
    ("quantization", "attention", "embedding"),
    [
        ("F32", "F32", "F32"),
        ("F16", "F16", "F16"),
        ("BF16", "BF16", "BF16"),
        ("Q8_0", "Q8_0", "Q8_0"),
        ("Q4_0", "Q4_0", "Q6_K"),
        ("Q5_1", "Q5_1", "Q6_K"),
        ("q4_k_m", "Q4_K", "Q6_K"),
        ("Q2_K", "Q2_K", "Q6_K"),
        ("Q3_K_M", "Q3_K", "Q6_K"),
        ("IQ4_XS", "IQ4_XS", "Q6_K"),
    ],
)
def test_a_model_of_any_quantization_loads_and_makes_tokens(
    source: Path, shape: script.Shape, tmp_path: Path, quantization: str, attention: str, embedding: str
) -> None:
    path = tmp_path / "model.gguf"
    script.synthesize(shape, quantization, path, source=source)

    types = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(path).tensors}
    assert types["blk.0.attn_q.weight"] == attention
    assert types["token_embd.weight"] == embedding
    assert types["blk.0.attn_norm.weight"] == types["rope_freqs.weight"] == "F32"
    assert "output.weight" not in types

    model = llama_cpp.Llama(str(path), n_ctx=64, n_threads=1, n_threads_batch=1, verbose=False, logits_all=True)
    prompt = model.tokenize(b"<new>hello", special=True)
    assert prompt[0] == 257
    assert prompt[1] == 259
    generated = [token for token, _ in zip(model.generate(prompt, temp=0.0), range(4), strict=False)]
    assert len(generated) == 4
    scores = np.array(model.scores[: len(prompt)])
    assert np.isfinite(scores).all()
    assert 0 < scores.std() < 10
    model.close()


def test_the_header_has_sizes_tokenizer_and_template(source: Path, shape: script.Shape, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    script.synthesize(shape, "Q8_0", path, source=source)

    fields = {name: field.contents() for name, field in gguf.GGUFReader(path).fields.items()}
    assert fields["general.architecture"] == "llama"
    assert fields["general.file_type"] == gguf.LlamaFileType.MOSTLY_Q8_0
    assert fields["llama.attention.head_count_kv"] == 2
    assert fields["tokenizer.chat_template"].startswith("{{ bos_token }}")
    assert fields["tokenizer.ggml.tokens"][259] == "<new>"
    assert fields["tokenizer.ggml.merges"] == ["h e"]


def test_the_seed_decides_every_byte(source: Path, shape: script.Shape, tmp_path: Path) -> None:

    def made(name: str, seed: int) -> bytes:
        script.synthesize(shape, "Q4_0", tmp_path / name, source=source, seed=seed)
        return (tmp_path / name).read_bytes()

    first = made("first", 1)
    assert made("again", 1) == first
    assert made("other", 2) != first


def test_progress_ends_at_the_whole(source: Path, shape: script.Shape, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    script.synthesize(
        shape, "Q4_0", tmp_path / "model", source=source, progress=lambda done, total: told.append((done, total))
    )
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1]


def test_a_mix_that_wants_an_importance_matrix_is_refused(shape: script.Shape) -> None:
    with pytest.raises(ValueError, match="IQ1_S"):
        script.tensor_types(shape, "IQ1_S")


def test_an_unknown_quantization_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="Q4_K_M"):
        script.file_type("Q4_9")


@pytest.mark.parametrize(
    "kind",
    ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ3_S", "IQ4_XS", "TQ2_0", "F16"],
)
def test_random_blocks_are_small_numbers_about_zero(kind: str) -> None:
    wanted = gguf.GGMLQuantizationType[kind]
    data = script.random_tensor(wanted, (256, 1024), np.random.default_rng(0))
    stored = data.reshape(256, -1).view(np.float16) if kind == "F16" else data.reshape(256, -1)
    values = gguf.quants.dequantize(stored, wanted)
    assert values.shape == (256, 1024)
    assert abs(values.mean()) < 0.01
    assert 0.015 < values.std() < 0.025


def test_types_without_known_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match="MXFP4"):
        script.random_tensor(gguf.GGMLQuantizationType.MXFP4, (1, 32), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("llama-3.2-1b", 1_235_814_400),
        ("llama-3.2-3b", 3_212_749_824),
        ("deepseek-r1-distill-qwen-1.5b", 1_777_088_000),
        ("deepseek-r1-distill-llama-8b", 8_030_261_248),
    ],
)
def test_shapes_have_the_published_number_of_parameters(name: str, parameters: int) -> None:
    shapes = script.tensor_shapes(script.SHAPES[name])
    # The divisors of RoPE are no parameters.
    shapes.pop("rope_freqs.weight", None)
    assert sum(map(math.prod, shapes.values())) == parameters


def test_rope_keeps_short_wavelengths_and_stretches_long_ones() -> None:
    factors = script.rope_factors(script.SHAPES["llama-3.2-1b"])
    assert factors.shape == (32,)
    assert factors[0] == 1
    assert factors[-1] == 32
    assert (np.diff(factors) >= 0).all()
