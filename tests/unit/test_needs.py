"""What a test run says about programs that it had to do without."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
EXAMPLE = """
import pytest

@pytest.mark.needs("no-such-program", get="make something")
def test_one():
    pass

@pytest.mark.needs("sh", get="make shell")
def test_two():
    pass
"""


def run_example(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_example.py").write_text(EXAMPLE)
    kept = {name: value for name, value in os.environ.items() if name != "CI"}
    command = [sys.executable, "-m", "pytest", "-p", "support.needs", "-p", "no:cacheprovider", *arguments, str(folder)]
    return subprocess.run(
        command,
        cwd=folder,
        env=kept | {"PYTHONPATH": str(TESTS)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("processes", ["0", "1"])
def test_a_missing_program_leaves_its_tests_out_and_says_how_to_add_it(tmp_path: Path, processes: str) -> None:
    result = run_example(tmp_path, f"--numprocesses={processes}")
    assert result.returncode == 0
    assert "Left out for want of no-such-program: 1. To add it: make something" in result.stdout
    assert "1 passed, 1 skipped" in result.stdout


def test_in_ci_a_missing_program_is_a_failure(tmp_path: Path) -> None:
    result = run_example(tmp_path, CI="true")
    assert result.returncode == pytest.ExitCode.TESTS_FAILED
    assert "no-such-program is missing, and CI leaves nothing out: make something" in result.stdout
