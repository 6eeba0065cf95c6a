"""Which locked packages go into the zip."""

import pytest

from scripts import ROOT
from scripts.build.package import IN_RUNTIME, NOT_ON_LAMBDA, requirements

HASHES = ["sha256:" + digit * 64 for digit in "ab"]
LOCK = f"""# This file is written by a program.
fastapi==0.165.0 \\
    --hash={HASHES[0]} \\
    --hash={HASHES[1]}
    # via lambda-llm
numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash={HASHES[0]}
numpy==2.5.5 ; python_full_version >= '3.12' \\
    --hash={HASHES[1]}
only-here==1 ; platform_machine == 'aarch64' \\
    --hash={HASHES[0]}
elsewhere==1 ; sys_platform == 'darwin' or sys_platform == 'win32' \\
    --hash={HASHES[0]}
"""


def test_markers_are_evaluated_for_lambda_and_not_for_this_machine() -> None:
    assert requirements(LOCK, "aarch64").splitlines() == [
        f"fastapi==0.165.0 --hash={HASHES[0]} --hash={HASHES[1]}",
        f"numpy==2.5.5 --hash={HASHES[1]}",
        f"only-here==1 --hash={HASHES[0]}",
    ]
    assert "only-here" not in requirements(LOCK, "x86_64")


@pytest.mark.parametrize("name", sorted(IN_RUNTIME))
def test_what_the_runtime_has_is_left_out(name: str) -> None:
    assert requirements(f"{name}==1.0 \\\n    --hash={HASHES[0]}\n", "aarch64") == ""


def test_every_package_of_the_lock_goes_in_with_its_hashes_or_is_the_runtime_s() -> None:
    lock = (ROOT / "requirements/runtime.txt").read_text()
    chosen = requirements(lock, "aarch64").splitlines()
    assert all("==" in line and "--hash=sha256:" in line for line in chosen)
    names = {line.partition("==")[0] for line in chosen}
    assert names >= {"awscrt", "fastapi", "jinja2", "mangum", "numpy", "pydantic", "psutil", "tenacity", "uvicorn"}
    locked = {line.partition("==")[0] for line in lock.splitlines() if "==" in line}
    assert names | IN_RUNTIME == locked
    assert not names & IN_RUNTIME


@pytest.mark.parametrize("name", NOT_ON_LAMBDA)
def test_what_is_left_out_of_this_package_is_still_called_so(name: str) -> None:
    assert (ROOT / "functions/lambda_llm" / name).exists()
