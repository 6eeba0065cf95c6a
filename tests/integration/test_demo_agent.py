"""`make demo-agent`, as a person would see it."""

import re
import subprocess
import sys

import pytest

from scripts import ROOT


@pytest.mark.needs("bwrap", get="apt install bubblewrap")
def test_the_agent_reads_computes_asks_waits_and_answers() -> None:
    demo = subprocess.run(
        [sys.executable, "-m", "scripts.demo_agent"], cwd=ROOT, capture_output=True, text=True, timeout=180, check=False
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "Answer: The harbour had 40 visitors a day." in demo.stdout
    for shown in (
        "The agent asks: ",
        "find_document",
        "read_document",
        "run_code",
        "approved by demo",
        "259,200 seconds",
    ):
        assert shown in demo.stdout, demo.stdout
    assert re.search(r"suspended, for free\W+3\.0 d", demo.stdout)
