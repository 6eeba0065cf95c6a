"""The benchmark of lazily loaded snapshots says what it measured; how fast it was is no test's business."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from lambda_llm.inference.snapshot.prefetch import THREADS
from scripts.bench import restore

WAYS = ["on demand", "one thread, in order", f"{THREADS} threads, by address", f"{THREADS} threads, in order"]


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    """The command line in this process."""
    return restore


def run(bench: Any, *arguments: object) -> Result:
    return CliRunner().invoke(bench.app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def measured(bench: Any, demo_model: Path) -> dict[str, Any]:
    """What --json prints: a result, or why there is none on a machine that does not allow it."""
    few = ["--threads", 1, "--latency", 0, "--latency", 0.5, "--bandwidth", 1, "--repeats", 2]
    done = run(bench, demo_model, *few, "--json")
    assert done.exit_code == 0, done.output
    result: dict[str, Any] = json.loads(done.stdout)
    if reason := bench.lazy_memory.unavailable():
        assert result == {"skipped": reason}
        assert f"measured or drawn. {reason}" in done.stderr
        return drawable()
    return result


def drawable() -> dict[str, Any]:
    """A result as it would be."""
    rows = [
        {
            "latency": latency,
            "bandwidth": 1e9,
            "first_token": dict.fromkeys(WAYS, 0.1),
            "first_tokens": {way: [0.1, 0.1] for way in WAYS},
            "bytes": dict.fromkeys(WAYS, 2e6),
            "bound": 2e6 / 1e9,
            "faster": 1.0,
        }
        for latency in (0.0, 0.0005)
    ]
    here = {"cpu": "a CPU", "cpus": 1, "load_before": 0.0}
    given = {"machine": here, "model": "m.gguf", "threads": 1, "repeats": 2, "bandwidths": [1e9], "target": 2.5}
    return given | {"chunk": 2**19, "dropped": 2_500_000, "warm": 0.01, "rows": rows}


def test_each_latency_has_every_way_and_the_bound(measured: dict[str, Any], demo_model: Path) -> None:
    assert [row["latency"] for row in measured["rows"]] == [0, 0.0005]
    size = demo_model.stat().st_size
    assert size / 2 < measured["dropped"] < size
    for row in measured["rows"]:
        for ways in (row["first_token"], row["first_tokens"], row["bytes"]):
            assert list(ways) == WAYS
        assert all(len(times) == 2 for times in row["first_tokens"].values())
        assert 0 < row["bound"] * row["bandwidth"] <= row["bytes"]["on demand"]
        assert max(row["bytes"].values()) <= measured["dropped"]
        ratios = [
            one / ours for one, ours in zip(*(row["first_tokens"][way] for way in (WAYS[0], WAYS[3])), strict=True)
        ]
        assert min(ratios) <= row["faster"] <= max(ratios)


def test_a_saved_result_is_shown_and_drawn(bench: Any, measured: dict[str, Any], tmp_path: Path) -> None:
    saved, figure = tmp_path / "measured.json", tmp_path / "figure.svg"
    saved.write_text(json.dumps(measured))
    shown = run(bench, "--show", saved, "--markdown", "--figure", figure)
    assert shown.exit_code == 0, shown.output
    assert sum(line.startswith("|") for line in shown.stdout.splitlines()) == 2 + 2
    assert "</svg>" in figure.read_text()


def test_where_it_is_not_allowed_it_says_so_and_draws_nothing(
    bench: Any, demo_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.lazy_memory, "DEVICE", tmp_path / "missing")
    skipped = run(bench, demo_model, "--figure", tmp_path / "figure.svg")
    assert skipped.exit_code == 0
    assert "Nothing was measured" in skipped.stderr
    assert not skipped.stdout
    assert not list(tmp_path.iterdir())


def test_a_model_that_does_not_load_is_an_error(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.lazy_memory, "unavailable", lambda: None)
    (tmp_path / "broken.gguf").write_bytes(b"nothing")
    failed = run(bench, tmp_path / "broken.gguf", "--json")
    assert failed.exit_code == 1
    assert "could not be restored" in failed.stderr


def test_help_teaches_with_examples(bench: Any) -> None:
    assert "scripts.bench.restore --synthesize llama-3.2-1b:Q4_0" in run(bench, "--help").stdout
