"""One copy of the model is resident, and loading takes no more than was said before it began."""

import dataclasses
import importlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from scripts.bench import measurement
from scripts.models import synthesize as synthesize_model
from support.synthetic import TOKENIZER, write_source

SHAPE = dataclasses.replace(
    synthesize_model.SHAPES["tiny"],
    tokenizer=TOKENIZER,
    layers=12,
    width=1024,
    heads=16,
    kv_heads=4,
    feed_forward=4096,
)
"""100 to 200 MB: a second copy of it could not hide behind the rest."""

MOST = 1.15
"""Of file, KV cache and compute buffers. Python's 90 MB are a tenth of a model of 1 GB, and belong to the ratio there
(scripts/bench/resident.py); they are as much as all of this one, so what was resident before the model is left out.
"""


@pytest.fixture(scope="module")
def bench() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.syspath_prepend(Path(measurement.__file__).parent)
        yield importlib.import_module("resident")


@pytest.fixture(scope="module", params=["Q4_0", "Q4_K_M", "Q8_0"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resident")
    output = folder / f"{request.param}.gguf"
    synthesize_model.synthesize(SHAPE, request.param, output, source=write_source(folder))
    return output


@pytest.mark.parametrize("weights", ["copied", "mapped"])
def test_what_is_resident_and_what_loading_took_are_as_planned(bench: Any, path: Path, weights: str) -> None:
    environment = {**os.environ, "LAMBDA_LLM_WEIGHTS": weights, "LAMBDA_LLM_THREADS": "1", "LAMBDA_LLM_CONTEXT": "512"}
    memory = bench.occupied(path, environment)
    assert memory["file"] == path.stat().st_size
    assert memory["model_file"] == (memory["file"] if weights == "mapped" else 0)
    assert memory["kv_cache"] == memory["kv"]
    assert memory["weights"] < memory["resident"] - memory["process"]
    assert memory["resident"] - memory["process"] <= MOST * (memory["file"] + memory["kv"] + memory["compute"])
    assert memory["weights"] < memory["seen"] <= memory["peak"]


def test_the_command_line_measures_a_file(bench: Any, demo_model: Path) -> None:
    done = CliRunner().invoke(bench.app, [str(demo_model), "--weights", "mapped", "--json"])
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)
    assert (row["model"], row["placement"]) == (demo_model.stem, "mapped")
    assert row["ratio"] == row["resident"] / (row["file"] + row["kv"] + row["compute"])
