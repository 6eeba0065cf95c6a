"""The memory that a model takes: what `plan_memory` says, against what llama.cpp reserves."""

import dataclasses
import logging
import platform
import re
from pathlib import Path

import pytest
from gguf import GGMLQuantizationType

from lambda_llm.gguf.header import parse_header
from lambda_llm.gguf.memory_plan import MemoryPlan, plan_memory, repacked_types
from lambda_llm.gguf.options import KVType, ModelOptions, Weights
from lambda_llm.limits import MIB
from lambda_llm.loading.memory_file import MemoryFile
from support.answers import EXPECTED, OpenEngine, answer
from support.architectures import ARCHITECTURES, write_architecture
from support.encoders import CONTEXT, ENCODERS, OpenEncoder
from support.models import Shape, write_llama

HUGE_VOCABULARY = Shape(
    layers=2,
    width=128,
    heads=4,
    kv_heads=2,
    feed_forward=256,
    vocabulary=128_256,
    context=4096,
    weights=GGMLQuantizationType.Q8_0,
)
WIDE = Shape(layers=1, width=1024, heads=16, kv_heads=16, feed_forward=4096, context=2048)
TIED = Shape(vocabulary=8192, width=256, tied=True)
UNEVEN = Shape(layers=3, width=192, heads=3, kv_heads=1, feed_forward=640, context=1024)


def planned(path: Path, context: int, kv_type: KVType) -> MemoryPlan:
    data = path.read_bytes()
    options = ModelOptions(context_length=context, kv_type=kv_type, placement=Weights.MAPPED)
    return plan_memory(parse_header(data, len(data)), len(data), options, memory=1 << 40)


class Reserved:
    """What llama.cpp says that it reserves, in MiB."""

    def __init__(self, log: str) -> None:
        self.kv = self._sum(r"llama_kv_cache: size = +([\d.]+) MiB", log)
        self.compute = self._sum(r"compute buffer size = +([\d.]+) MiB", log)
        self.weights = self._sum(r"model buffer size = +([\d.]+) MiB", log)
        self.output = self._sum(r"output buffer size = +([\d.]+) MiB", log)

    @staticmethod
    def _sum(pattern: str, log: str) -> float:
        found = re.findall(pattern, log)
        assert found, f"llama.cpp no longer says {pattern!r}"
        return sum(map(float, found))


@pytest.fixture(scope="module", params=[None, HUGE_VOCABULARY, WIDE, UNEVEN], ids=["demo", "huge", "wide", "uneven"])
def path(request: pytest.FixtureRequest, demo_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of different shapes."""
    return write_llama(tmp_path_factory.mktemp("shapes") / "m.gguf", request.param) if request.param else demo_model


@pytest.mark.parametrize("kv_type", KVType)
@pytest.mark.parametrize("context", [300, 1024])
def test_what_is_planned_is_what_llama_cpp_reserves(
    open_engine: OpenEngine, path: Path, caplog: pytest.LogCaptureFixture, context: int, kv_type: KVType
) -> None:
    plan = planned(path, context, kv_type)
    with caplog.at_level(logging.INFO, "llama.cpp"):
        open_engine(path, context_length=context, kv_type=kv_type)
    reserved = Reserved(caplog.text)
    assert plan.kv_cache / MIB == pytest.approx(reserved.kv, abs=0.01)
    took = reserved.compute + reserved.output
    assert took <= plan.compute_buffers / MIB <= 2 * took + 32


@pytest.mark.parametrize("kv_type", KVType)
@pytest.mark.parametrize("context", [300, 1024])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_windows_and_states_are_planned_as_llama_cpp_reserves_them(
    open_engine: OpenEngine, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, context: int, kv_type: KVType
) -> None:
    path = write_architecture(tmp_path / "m.gguf", name)
    plan = planned(path, context, kv_type)
    with caplog.at_level(logging.INFO, "llama.cpp"):
        open_engine(path, context_length=context, kv_type=kv_type)
    sizes = re.findall(r"llama_(?:kv_cache|memory_recurrent): size = +([\d.]+) MiB", caplog.text)
    assert plan.kv_cache / MIB == pytest.approx(sum(map(float, sizes)), abs=0.02)
    reserved = re.findall(r"(?:compute|output) buffer size = +([\d.]+) MiB", caplog.text)
    assert sum(map(float, reserved)) <= plan.compute_buffers / MIB


@pytest.mark.parametrize("name", ["embeddings", "classifier"])
def test_an_encoder_reserves_what_is_planned_and_no_kv_cache(
    open_encoder: OpenEncoder, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    plan = planned(ENCODERS / f"{name}.gguf", CONTEXT, KVType.F16)
    with caplog.at_level(logging.INFO, "llama.cpp"):
        open_encoder(name)
    assert plan.kv_cache == 0
    assert "llama_kv_cache" not in caplog.text
    took = sum(map(float, re.findall(r"(?:compute|output) buffer size = +([\d.]+) MiB", caplog.text)))
    assert 0 < took <= plan.compute_buffers / MIB <= 2 * took + 32


@pytest.mark.parametrize("kind", ["Q4_0", "Q8_0", "F32"])
@pytest.mark.parametrize("shape", [TIED, dataclasses.replace(TIED, tied=False)], ids=["tied", "untied"])
def test_copied_weights_exist_once_even_where_the_embedding_is_the_output(
    open_engine: OpenEngine, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, shape: Shape
) -> None:
    path = write_llama(tmp_path / "m.gguf", dataclasses.replace(shape, weights=GGMLQuantizationType[kind]))
    with caplog.at_level(logging.INFO, "llama.cpp"):
        engine = open_engine(path, context_length=256, placement=Weights.COPIED)
    weights = parse_header(path.read_bytes(), path.stat().st_size).weight_bytes / MIB
    assert Reserved(caplog.text).weights == pytest.approx(weights, rel=0.02)
    repacked = "CPU_REPACK model buffer" in caplog.text
    assert repacked is (kind in repacked_types(platform.machine())), "the table of types is llama.cpp's"
    engine.decoder.evaluate([1, 2, 3])


@pytest.mark.parametrize("placement", [Weights.COPIED, Weights.MAPPED])
def test_a_model_outlives_the_memory_file_that_it_was_opened_from(
    open_engine: OpenEngine, demo_model: Path, placement: Weights
) -> None:
    data = demo_model.read_bytes()
    with MemoryFile(len(data)) as file:
        file.write(data, 0)
        file.seal()
        engine = open_engine(file.path, placement=placement)
    assert file.closed
    mapped = "/memfd:lambda-llm-model" in Path("/proc/self/maps").read_text()
    assert mapped is (placement is Weights.MAPPED), "one copy of the weights, where the placement says"
    assert EXPECTED in answer(engine)
    engine.close()
    assert "/memfd:lambda-llm-model" not in Path("/proc/self/maps").read_text()
