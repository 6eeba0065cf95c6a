"""How many threads are worth having."""

import os
from pathlib import Path

import pytest

from lambda_llm.engine.threads import available_cpus, threads_for
from lambda_llm.limits import GIB, MIB

CPUS = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000", CPUS),
        ("100000 100000", 1),
        ("50000 100000", 1),
        ("199999 100000", 1),
        (f"{CPUS * 100000 + 70000} 100000", CPUS),
        ("", CPUS),
        ("nonsense", CPUS),
    ],
)
def test_a_thread_is_counted_only_when_the_quota_pays_for_all_of_it(tmp_path: Path, quota: str, expected: int) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    assert available_cpus(tmp_path / "cpu.max") == expected


def test_without_a_quota_every_cpu_that_this_process_may_run_on_counts(tmp_path: Path) -> None:
    assert available_cpus(tmp_path / "missing") == CPUS


def test_where_the_system_knows_no_affinity_every_cpu_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    assert available_cpus(tmp_path / "missing") == os.cpu_count()


@pytest.mark.parametrize(
    ("weights", "cpus", "expected"),
    [(4 * MIB, 6, 1), (100 * MIB, 6, 2), (700 * MIB, 6, 6), (5 * GIB, 6, 6), (5 * GIB, 1, 1)],
    ids=["tiny", "small", "1B", "8B", "one CPU"],
)
def test_a_thread_has_work_to_share(monkeypatch: pytest.MonkeyPatch, weights: int, cpus: int, expected: int) -> None:
    monkeypatch.setattr("lambda_llm.engine.threads.available_cpus", lambda: cpus)
    assert threads_for(weights) == expected
