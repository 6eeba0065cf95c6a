"""`make demo-router`, as a person would see it."""

import os
import subprocess
import sys

from scripts import ROOT


def test_each_request_goes_where_it_belongs() -> None:
    demo = subprocess.run(
        [sys.executable, "-m", "scripts.demo_router"],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    for shown in ("gpu=throttled → function", "10,240 MB", "a budget that ends", "of 6,000 tokens a day", "reserved"):
        assert shown in demo.stdout, demo.stdout
