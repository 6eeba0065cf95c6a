"""From settings to a warm model, and nothing left of one that could not be."""

from pathlib import Path

import pytest

from lambda_llm.engine.errors import ContextOverflowError, NotGenerativeError
from lambda_llm.gguf.errors import CorruptError, DoesNotFitError, UnsupportedModelError
from lambda_llm.gguf.options import Weights
from lambda_llm.inference.errors import InvariantError
from lambda_llm.inference.init import init
from lambda_llm.inference.settings import Settings
from lambda_llm.inference.snapshot.memory import resident
from lambda_llm.loading.errors import NotFoundError
from support.answers import EXPECTED, answer
from support.encoders import CONTEXT, ENCODERS
from support.leftovers import leftovers
from support.models import damaged
from support.rewrite import rewrite


def settings(model: Path, **changes: object) -> Settings:
    return Settings.load(model=str(model), threads=1, **changes)


@pytest.mark.parametrize("weights", [Weights.COPIED, Weights.MAPPED])
def test_a_warm_environment_has_what_the_api_needs(demo_model: Path, weights: Weights) -> None:
    environment = init(settings(demo_model, weights=weights, context=512, memory_mb=2000))
    engine = environment.engine
    try:
        assert environment.serving.model_id == "lambda-llm-demo"
        assert engine.plan.options.placement is weights
        assert (engine.decoder.context_length, engine.decoder.threads) == (512, 1)
        assert environment.loaded.file.closed
        assert engine.plan == environment.loaded.plan
        # Not more is certain: what earlier tests gave back to the allocator is used again.
        assert 0 < environment.serving.resident_before <= resident()
        assert 0 < environment.warm_tokens == len(engine.decoder.evaluated)
        assert EXPECTED in answer(engine)
    finally:
        engine.close()
    assert leftovers() == []


@pytest.mark.parametrize(
    ("changes", "name", "expected"),
    [
        ({}, {}, "lambda-llm-demo"),
        ({}, {"general.name": None}, "my-model"),
        ({"model_name": "my own"}, {}, "my-own"),
    ],
)
def test_the_model_s_id_is_the_setting_its_own_name_or_the_file_s(
    demo_model: Path, tmp_path: Path, changes: dict[str, str], name: dict[str, None], expected: str
) -> None:
    model = rewrite(demo_model, tmp_path / "my-model.gguf", name)
    environment = init(settings(model, context=256, **changes))
    environment.engine.close()
    assert environment.serving.model_id == expected


def test_progress_is_told_to_the_end(demo_model: Path) -> None:
    told: list[tuple[int, int]] = []
    init(settings(demo_model, context=256), lambda done, total: told.append((done, total))).engine.close()
    size = demo_model.stat().st_size
    assert told[-1] == (size, size)


@pytest.mark.parametrize("weights", [Weights.COPIED, Weights.MAPPED])
def test_a_start_that_fails_late_leaves_nothing_behind(demo_model: Path, tmp_path: Path, weights: Weights) -> None:
    with pytest.raises(ContextOverflowError):
        init(settings(demo_model, context=64, system_prompt="word " * 100, weights=weights))
    strange = tmp_path / "strange.gguf"
    strange.write_bytes(demo_model.read_bytes().replace(b"0.attn_norm", b"0.lost_norm"))
    with pytest.raises(UnsupportedModelError, match=r"strange\.gguf: llama.cpp can't run .*attn_norm"):
        init(settings(strange, context=64, weights=weights))
    assert leftovers() == []


def test_a_model_that_can_t_be_served_is_refused(demo_model: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        init(settings(tmp_path / "missing.gguf"))
    with pytest.raises(DoesNotFitError, match="does not fit"):
        init(settings(demo_model, memory_mb=64))


def test_a_model_with_a_damaged_norm_is_never_served(demo_model: Path, tmp_path: Path) -> None:
    """The warm-up alone doesn't see it: the logits are numbers."""
    broken = damaged(demo_model, tmp_path / "broken.gguf", float("nan"), "output_norm.weight")
    with pytest.raises(CorruptError, match=r"broken\.gguf: Tensor 'output_norm\.weight' has .* not finite"):
        init(settings(broken))
    encoder = damaged(
        ENCODERS / "embeddings.gguf", tmp_path / "encoder.gguf", float("inf"), "blk.0.layer_output_norm.bias"
    )
    with pytest.raises(CorruptError, match=r"encoder\.gguf: Tensor 'blk\.0\.layer_output_norm\.bias' has"):
        init(settings(encoder))
    assert leftovers() == []


def test_a_function_with_the_wrong_configuration_loads_nothing(
    demo_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "llm")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
    told: list[int] = []
    with pytest.raises(InvariantError, match="memory is 128 MB"):
        init(settings(demo_model), lambda done, _: told.append(done))
    assert told == []


def test_an_encoder_is_known_by_its_header_and_warm() -> None:
    environment = init(settings(ENCODERS / "classifier.gguf"))
    engine = environment.engine
    try:
        assert environment.engine.encodes
        assert environment.serving.model_id == "lambda-llm-demo-classifier"
        assert (engine.encoder.context_length, environment.warm_tokens, engine.plan.kv_cache) == (CONTEXT, 0, 0)
    finally:
        engine.close()


def test_an_encoder_has_no_use_for_a_system_prompt() -> None:
    with pytest.raises(NotGenerativeError, match="is an encoder and can't generate text"):
        init(settings(ENCODERS / "embeddings.gguf", system_prompt="Be brief."))
    assert leftovers() == []
