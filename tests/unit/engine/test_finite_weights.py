"""Weights that are no numbers are found wherever a tensor is small enough to be read."""

import math
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
from gguf.quants import quantize

from lambda_llm.engine.finite_weights import check_finite
from lambda_llm.gguf.errors import CorruptError
from lambda_llm.gguf.header import parse_header
from support.models import damaged

KINDS = [GGMLQuantizationType.F32, GGMLQuantizationType.F16, GGMLQuantizationType.BF16]


def written(path: Path, kind: GGMLQuantizationType, shape: tuple[int, ...], value: float) -> Path:
    """A model of one sound and one small tensor, the latter with this as its last number."""
    numbers = np.linspace(-3e38 if kind != GGMLQuantizationType.F16 else -65504, 1, math.prod(shape), dtype=np.float32)
    numbers[-1] = value
    writer = GGUFWriter(path, "llama")
    writer.add_tensor("sound.weight", np.ones(32, dtype=np.float32))
    writer.add_tensor("small.weight", quantize(numbers.reshape(shape), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def check(path: Path) -> None:
    content = path.read_bytes()
    check_finite(str(path), parse_header(content, len(content)).tensors)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("shape", [(64,), (4, 32), (300_000,)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_that_is_no_number_is_named(
    tmp_path: Path, kind: GGMLQuantizationType, shape: tuple[int, ...], value: float
) -> None:
    with pytest.raises(CorruptError, match=r"^Tensor 'small\.weight' has a weight that is not finite .*again"):
        check(written(tmp_path / "m.gguf", kind, shape, value))


@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_numbers_are_numbers(tmp_path: Path, kind: GGMLQuantizationType) -> None:
    check(written(tmp_path / "m.gguf", kind, (64,), 1))


def test_every_norm_of_a_model_is_read(demo_model: Path, tmp_path: Path) -> None:
    check(demo_model)
    norms = [each.name for each in GGUFReader(demo_model).tensors if len(each.shape) == 1]
    assert len(norms) > 2
    for name in norms:
        with pytest.raises(CorruptError, match=f"^Tensor '{name}' "):
            check(damaged(demo_model, tmp_path / "m.gguf", math.nan, name))
