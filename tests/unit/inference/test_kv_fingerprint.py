"""What makes another's keys and values unusable, and what does not."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from awscrt.checksums import crc64nvme

from lambda_llm.engine import backend
from lambda_llm.gguf.options import KVType, ModelOptions, Weights
from lambda_llm.inference.kv_fingerprint import kv_fingerprint
from lambda_llm.loading.load import Loaded
from support.loads import load_model
from support.rewrite import rewrite

OPTIONS = ModelOptions(context_length=256)


def of(model: Path, options: ModelOptions = OPTIONS) -> bytes:
    loaded = load_model(str(model), options=options)
    with loaded.file:
        return kv_fingerprint(loaded)


@pytest.mark.parametrize(
    "options",
    [
        replace(OPTIONS, threads=1),
        replace(OPTIONS, placement=Weights.COPIED),
        replace(OPTIONS, placement=Weights.MAPPED),
    ],
    ids=str,
)
def test_threads_and_the_place_of_the_weights_change_nothing(demo_model: Path, options: ModelOptions) -> None:
    assert of(demo_model, options) == of(demo_model)


@pytest.mark.parametrize(
    "options", [replace(OPTIONS, context_length=512), replace(OPTIONS, kv_type=KVType.Q8_0)], ids=str
)
def test_another_context_or_cache_is_another_place(demo_model: Path, options: ModelOptions) -> None:
    assert of(demo_model, options) != of(demo_model)


def test_another_model_is_another_place(demo_model: Path, tmp_path: Path) -> None:
    assert of(rewrite(demo_model, tmp_path / "m.gguf", {"general.name": "lambda-llm demO"})) != of(demo_model)


def test_another_llama_cpp_is_another_place(demo_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = of(demo_model)
    monkeypatch.setattr(backend, "version", lambda: "another")
    assert of(demo_model) != before


def test_a_checksum_that_the_store_tells_is_the_one_that_is_computed(demo_model: Path) -> None:
    def told_by_the_store(loaded: Loaded) -> Loaded:
        described = replace(loaded.inspection.described, crc64nvme=crc64nvme(demo_model.read_bytes()))
        return replace(loaded, inspection=replace(loaded.inspection, described=described))

    loaded = load_model(str(demo_model), options=OPTIONS)
    with loaded.file:
        assert loaded.inspection.described.crc64nvme is None
        assert kv_fingerprint(told_by_the_store(loaded)) == kv_fingerprint(loaded)


def test_the_pinned_digest_is_the_place_whatever_other_checksums_say(demo_model: Path) -> None:
    def pinned(digest: str | None, crc: int | None) -> bytes:
        inspection = loaded.inspection
        described = replace(inspection.described, crc64nvme=crc)
        reference = replace(inspection.reference, sha256=digest)
        return kv_fingerprint(replace(loaded, inspection=replace(inspection, described=described, reference=reference)))

    digest = sha256(demo_model.read_bytes()).hexdigest()
    loaded = load_model(str(demo_model), options=OPTIONS, sha256=digest.upper())
    with loaded.file:
        assert kv_fingerprint(loaded) == pinned(digest, 1) == pinned(digest.upper(), None)
        assert pinned(digest, 1) != pinned("0" * 64, 1), "a model made to have the same CRC64NVME"
        assert digest.encode() in pinned(digest, 1)
        assert pinned(None, 1) != pinned(None, 2)
