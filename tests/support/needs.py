"""Tests that need a program: left out where it is missing and said so at the end; in CI a missing one is a failure.

@pytest.mark.needs("terraform", get="make terraform")
"""

import os
import shutil
from collections import Counter
from typing import NoReturn

import pytest

MISSING = "needs"
"""Under this name a report tells what its test was left out for: also that of another process, where several test."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(program, get): left out where the program is missing, but for CI")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        program, get = marker.args[0], marker.kwargs["get"]
        if program == "terraform":
            from scripts.local_aws import terraform  # noqa: PLC0415 - other projects' tests use this plugin too

            program = terraform.program()
        if shutil.which(program):
            continue
        if os.environ.get("CI"):
            pytest.fail(f"{program} is missing, and CI leaves nothing out: {get}", pytrace=False)
        leave_out(item, program, get)


def leave_out(item: pytest.Item, missing: str, get: str) -> NoReturn:
    """Skip a test, and say so at the end.

    Args:
        item: the test.
        missing: what it needs.
        get: how to have it.
    """
    item.user_properties.append((MISSING, f"for want of {missing}: {{}}. To add it: {get}"))
    pytest.skip(f"{missing} is missing")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", ())
    missing = Counter(why for report in skipped for name, why in report.user_properties if name == MISSING)
    for why, count in missing.items():
        terminalreporter.write_line(f"Left out {why.format(count)}")
