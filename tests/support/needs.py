"""Tests that need a program: left out where it is missing and said so at the end; in CI a missing one is a failure.

@pytest.mark.needs("terraform", get="make terraform")
"""

import os
import shutil

import pytest

MISSING = pytest.StashKey[dict[tuple[str, str], int]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(program, get): left out where the program is missing, but for CI")
    config.stash[MISSING] = {}


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        program, get = marker.args[0], marker.kwargs["get"]
        if shutil.which(program):
            continue
        if os.environ.get("CI"):
            pytest.fail(f"{program} is missing, and CI leaves nothing out: {get}", pytrace=False)
        missing = item.config.stash[MISSING]
        missing[program, get] = missing.get((program, get), 0) + 1
        pytest.skip(f"{program} is missing")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for (program, get), count in config.stash[MISSING].items():
        terminalreporter.write_line(f"Left out for want of {program}: {count}. To add it: {get}")
