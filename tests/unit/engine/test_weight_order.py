"""The order in which a token needs the weights, as llama.cpp computes one."""

import ctypes
from pathlib import Path

import pytest
from gguf import GGUFReader

from lambda_llm.engine.weight_order import Region, weights_in_order
from lambda_llm.gguf.options import Weights
from support.answers import OpenEngine, answer
from support.models import Shape, write_llama

LAYERS = 3


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in F32, which llama.cpp keeps as it is, with an output matrix of its own."""
    return write_llama(tmp_path_factory.mktemp("order") / "noise.gguf", Shape(layers=LAYERS))


def content(region: Region) -> bytes:
    return ctypes.string_at(region.address, region.size)


@pytest.mark.parametrize("placement", [Weights.COPIED, Weights.MAPPED])
def test_weights_come_layer_by_layer_each_once(open_engine: OpenEngine, noise: Path, placement: Weights) -> None:
    names = {tensor.data.tobytes(): tensor.name for tensor in GGUFReader(noise).tensors if "norm" not in tensor.name}
    found = [content(region) for region in weights_in_order(open_engine(noise, placement=placement).decoder)]
    order = [names[each].removesuffix(".weight") for each in found if each in names]
    first_layer = [f"blk.0.{part}" for part in ("attn_q", "attn_k", "attn_v", "attn_output")]
    assert sorted(order[:4]) == sorted(first_layer)
    assert order[3] == first_layer[3]
    layers = [int(name.split(".")[1]) for name in order if name.startswith("blk")]
    assert layers == sorted(layers)
    assert order[-1] == "output"
    assert sorted(order) == sorted(name.removesuffix(".weight") for name in names.values() if "embd" not in name)


def test_an_embedding_that_is_the_output_too_comes_last(open_engine: OpenEngine, demo_model: Path) -> None:
    sizes = {tensor.name: tensor.n_bytes for tensor in GGUFReader(demo_model).tensors}
    assert "output.weight" not in sizes
    found = weights_in_order(open_engine(demo_model).decoder)
    assert found[-1].size == sizes["token_embd.weight"]
    assert sum(region.size for region in found) == sum(sizes.values())


def test_looking_changes_nothing(open_engine: OpenEngine) -> None:
    engine = open_engine()
    expected = answer(engine)
    evaluated = list(engine.decoder.evaluated)
    first = weights_in_order(engine.decoder)
    assert weights_in_order(engine.decoder) == first
    assert engine.decoder.evaluated == evaluated
    assert answer(engine) == expected
