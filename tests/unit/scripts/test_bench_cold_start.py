"""The benchmark of cold starts says what it measured and simulated; how fast it was is no test's business."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from lambda_llm.inference.snapshot.prefetch import THREADS
from scripts import ROOT
from scripts.bench import cold_start
from scripts.bench.cold_start_storages import CACHED_CHUNKS, COLD_CHUNKS, EFS, PUBLISHED, S3, SOURCES, Storage

IMAGES = ["container image", f"container image, read by {THREADS} threads"]
FILES = [*(f"{name}{use}" for name in IMAGES for use in (", first use", "")), "EFS"]
FROM_S3 = ["download to /tmp", "memory file, no snapshot"]
SNAPSHOTS = ["memory file, SnapStart and our restore, first use", "memory file, SnapStart and our restore"]
STEPS = ["runtime", "fetch", "open", "answer"]


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    """The command line in this process."""
    return cold_start


def run(bench: Any, *arguments: object) -> Result:
    return CliRunner().invoke(bench.app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def measured(bench: Any, demo_model: Path) -> dict[str, Any]:
    """What --json prints; on a machine that does not allow it, without what it does not allow."""
    done = run(bench, demo_model, "--threads", 1, "--repeats", 1, "--json")
    assert done.exit_code == 0, done.output
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_each_packaging_is_measured_or_has_a_reason(bench: Any, measured: dict[str, Any]) -> None:
    reasons = dict.fromkeys(FILES, bench.lazy_file.unavailable())
    reasons |= dict.fromkeys(SNAPSHOTS, bench.lazy_memory.unavailable())
    assert measured["skipped"] == {name: reason for name, reason in reasons.items() if reason}
    expected = [name for name in [*FILES, *FROM_S3, *SNAPSHOTS] if not reasons.get(name)]
    assert [row["packaging"] for row in measured["rows"]] == expected


def test_the_steps_make_up_the_time_and_a_snapshot_has_one(measured: dict[str, Any]) -> None:
    for row in measured["rows"]:
        assert list(row["steps"]) == STEPS
        assert row["totals"] == [row["total"]]
        assert sum(row["steps"].values()) == pytest.approx(row["total"])
        from_snapshot = row["packaging"] in SNAPSHOTS
        assert [step for step in STEPS if row["steps"][step] > 0] == (["answer"] if from_snapshot else STEPS)


def test_nothing_comes_sooner_than_its_storage_delivers(measured: dict[str, Any], demo_model: Path) -> None:
    size = demo_model.stat().st_size
    rows = {row["packaging"]: row for row in measured["rows"]}

    def least(storage: Storage, requests: int) -> float:
        return requests * storage.latency + size / storage.bandwidth

    for name in FROM_S3:
        # At most what the token bucket lets through at once (BURST_SECONDS of s3_server.py) is for nothing.
        assert rows[name]["steps"]["fetch"] > least(S3, requests=2) - 0.005, "what describes the object, then it"
    if "EFS" in rows:
        assert rows["EFS"]["steps"]["fetch"] + rows["EFS"]["steps"]["open"] > least(EFS, requests=1)
        for name in IMAGES:
            for use, storage in ((", first use", COLD_CHUNKS), ("", CACHED_CHUNKS)):
                steps = rows[f"{name}{use}"]["steps"]
                assert steps["fetch"] + steps["open"] > least(storage, requests=1)


def taken(name: str, text: str = "a") -> dict[str, Any]:
    return {"runtime": 1.0, "fetch": 2.0, "open": 3.0, "answer": 4.0, "total": 10.0 + len(name), "text": text}


@pytest.fixture
def quick(bench: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Nothing is started; the names of what would have been, in order."""
    started: list[str] = []

    def start(packaging: Any, *_: object) -> dict[str, Any]:
        started.append(packaging.name)
        return taken(packaging.name)

    monkeypatch.setattr(bench, "_started", start)
    monkeypatch.setattr(bench.lazy_file, "unavailable", lambda: None)
    monkeypatch.setattr(bench.lazy_memory, "unavailable", lambda: None)
    return started


def test_packagings_alternate_and_a_first_use_is_measured_once(bench: Any, quick: list[str], demo_model: Path) -> None:
    done = run(bench, demo_model, "--repeats", 3, "--json")
    assert done.exit_code == 0, done.output
    every = [*FILES, *FROM_S3, *SNAPSHOTS]
    assert quick == every + 2 * [name for name in every if "first use" not in name]
    assert [len(row["totals"]) for row in json.loads(done.stdout)["rows"]] == [1, 3, 1, 3, 3, 3, 3, 1, 3]


def test_medians_are_of_rounds_and_of_ratios_within_each(bench: Any) -> None:
    packaging = next(each for each in bench.PACKAGINGS if each.name == "EFS")

    def round_of(efs: float, ours: float) -> dict[str, Mapping[str, Any]]:
        return {"EFS": taken("") | {"total": efs}, SNAPSHOTS[1]: taken("") | {"total": ours}}

    summary = bench.summary(packaging, [round_of(10, 1), round_of(40, 2), round_of(30, 10)])
    assert (summary["total"], summary["slower"]) == (30, 10)
    assert summary["totals"] == [10, 40, 30]
    assert bench.summary(packaging, [{"EFS": taken("")}])["slower"] is None


def test_what_answers_otherwise_is_not_compared(
    bench: Any, quick: list[str], demo_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert quick == []
    monkeypatch.setattr(bench, "_started", lambda each, *_: taken("", "b" if each.name == "EFS" else "a"))
    failed = run(bench, demo_model, "--json")
    assert failed.exit_code == 1
    assert "different first tokens" in failed.stderr
    assert "EFS: 'b'" in failed.stderr


def test_what_is_not_allowed_is_left_out_with_a_sentence(
    bench: Any, quick: list[str], demo_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.lazy_file, "unavailable", lambda: "FUSE is not allowed here.")
    monkeypatch.setattr(bench.lazy_memory, "unavailable", lambda: "userfaultfd is not allowed here.")
    done = run(bench, demo_model, "--repeats", 1)
    assert done.exit_code == 0, done.output
    assert quick == FROM_S3
    for name in FILES:
        assert f"Left out: {name}. FUSE is not allowed here." in done.stdout
    for name in SNAPSHOTS:
        assert f"Left out: {name}. userfaultfd is not allowed here." in done.stdout


def test_a_saved_result_is_shown_and_drawn(bench: Any, measured: dict[str, Any], tmp_path: Path) -> None:
    saved, figure = tmp_path / "measured.json", tmp_path / "figure.svg"
    saved.write_text(json.dumps(measured))
    shown = run(bench, "--show", saved, "--markdown", "--figure", figure)
    assert shown.exit_code == 0, shown.output
    rows = [line for line in shown.stdout.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(measured["rows"]) + len(PUBLISHED)
    assert [f"{each.seconds} s" in row for each, row in zip(PUBLISHED, rows[-2:], strict=True)] == [True, True]
    for source in SOURCES:
        assert f"- {source}." in shown.stdout
    assert "</svg>" in figure.read_text()


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        ([], 2, "name a model"),
        (["model.gguf", "--synthesize", "tiny:Q4_0"], 2, "name a model"),
        (["missing.gguf"], 1, "There is no file missing.gguf: name a GGUF file."),
    ],
)
def test_what_can_t_be_measured_is_said_before_anything_is(
    bench: Any, arguments: list[str], status: int, sentence: str
) -> None:
    refused = run(bench, *arguments)
    assert refused.exit_code == status
    assert sentence in " ".join(refused.stderr.split())


def test_a_model_that_does_not_load_is_an_error_with_its_reason(bench: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"nothing")
    failed = run(bench, tmp_path / "broken.gguf", "--json")
    assert failed.exit_code == 1
    assert "A cold start failed: " in failed.stderr
    assert "is not a GGUF file" in " ".join(failed.stderr.split())


def test_help_teaches_with_examples(bench: Any) -> None:
    assert "scripts.bench.cold_start --synthesize llama-3.2-1b:Q4_0" in run(bench, "--help").stdout


def test_the_document_has_the_packagings_and_every_source_as_the_command_prints_them(bench: Any) -> None:
    document = (ROOT / "docs/cold-start.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip() for line in document.splitlines() if line.startswith("|")][2:]
    assert rows == [
        *(packaging.name for packaging in bench.PACKAGINGS),
        *(f"{each.name}, published" for each in PUBLISHED),
    ]
    for source in SOURCES:
        assert f"- {source}.\n" in document
