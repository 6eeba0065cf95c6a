"""`scripts/bench/batch.py` measures what it says; how much that is, docs/batch.md says."""

import json
import subprocess
import sys
from typing import Any

from lambda_llm.limits import BEDROCK_JOB_RECORDS, BEDROCK_JOBS, CONCURRENCY
from lambda_llm.openai_types.batches import WINDOW_HOURS_MAX
from scripts import ROOT


def ran(*options: str) -> Any:
    command = [sys.executable, "-m", "scripts.bench.batch", *options, "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_worker_is_compared_with_asking_directly() -> None:
    measured = ran("--records", "20", "--rounds", "2", "--seconds", "0")
    assert len(measured["rounds"]) == 2
    assert all(value > 0 for each in measured["rounds"] for value in each.values())
    ratios = [each["direct"] / each["worker"] for each in measured["rounds"]]
    assert min(ratios) <= measured["ratio"] <= max(ratios)


def test_a_hundred_million_records_on_paper() -> None:
    papers = {each["kind"]: each for each in ran("--paper", "100000000")["backends"]}
    assert papers.keys() == {"lambda", "bedrock", "gpu"}
    for each in papers.values():
        assert each["parts"] * each["part_records"] >= 100_000_000
        assert [use["used"] / use["most"] for use in each["uses"]] == sorted(
            (use["used"] / use["most"] for use in each["uses"]), reverse=True
        )
    # 200 tokens at 300 a second and 50 at 40, of a thousand environments:
    assert abs(papers["lambda"]["hours"] - 1e8 * (200 / 300 + 50 / 40) / CONCURRENCY / 3600) < 0.01
    assert papers["bedrock"]["parts"] == 100_000_000 // BEDROCK_JOB_RECORDS
    # In rounds of as many jobs as there may be, each of which may take a day:
    hours = 24 * papers["bedrock"]["parts"] / BEDROCK_JOBS
    assert papers["bedrock"]["hours"] == hours
    assert papers["bedrock"]["uses"][0] == {"limit": "hours of the window", "used": hours, "most": WINDOW_HOURS_MAX}
