"""`scripts/bench/router.py` measures what it says; how much that is, docs/router.md says."""

import json
import subprocess
import sys

from scripts import ROOT


def test_every_way_answers_and_is_measured() -> None:
    command = [sys.executable, "-m", "scripts.bench.router", "--requests", "20", "--streams", "5", "--tokens", "4"]
    done = subprocess.run([*command, "--json"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    ways = {way["name"]: way for way in measured["ways"]}
    assert ways.keys() == {"direct", "router", "router (Converse)", "boto3 in threads (Converse)"}
    assert {way["streams"] for way in ways.values()} == {5}
    assert all(way["median_ms"] > 0 for way in ways.values())
    assert measured["import_cpu_seconds"] > 0
