"""How many threads are worth having."""

import os
from pathlib import Path

import pytest

from lambda_llm.engine.threads import available_cpus

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
