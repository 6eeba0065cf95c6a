"""Which locked packages go into a zip, and what is refused before one is built."""

from pathlib import Path

import pytest

from lambda_llm.packaging.builder import IN_RUNTIME, Destination, build, packages, requirements
from lambda_llm.packaging.closure import PACKAGE, closure
from lambda_llm.packaging.errors import PackageError
from lambda_llm.packaging.functions import FUNCTIONS, Function
from scripts.build.package import LOCK

ARM64, X86_64 = (Destination(architecture).markers for architecture in ("arm64", "x86_64"))
HASHES = ["sha256:" + digit * 64 for digit in "ab"]
LOCKED = f"""# This file is written by a program.
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


WANTED = {"fastapi", "numpy", "only-here", "elsewhere"}


def test_markers_are_evaluated_for_lambda_and_not_for_this_machine() -> None:
    assert requirements(LOCKED, WANTED, ARM64).splitlines() == [
        f"fastapi==0.165.0 --hash={HASHES[0]} --hash={HASHES[1]}",
        f"numpy==2.5.5 --hash={HASHES[1]}",
        f"only-here==1 --hash={HASHES[0]}",
    ]
    assert "only-here" not in requirements(LOCKED, WANTED, X86_64)


def test_for_this_machine_markers_are_left_to_pip() -> None:
    assert requirements(LOCKED, WANTED).count("numpy==") == 2
    assert "elsewhere==1 ; sys_platform" in requirements(LOCKED, WANTED)


def test_what_is_not_wanted_is_left_out() -> None:
    assert requirements(LOCKED, {"fastapi"}, ARM64).startswith("fastapi==0.165.0")
    assert requirements(LOCKED, set(), ARM64) == ""


def test_what_the_runtime_has_is_left_out() -> None:
    here, lambda_s = Destination("arm64", local=True), Destination("arm64")
    assert packages(FUNCTIONS["inference"], here) >= IN_RUNTIME
    assert not packages(FUNCTIONS["inference"], lambda_s) & IN_RUNTIME
    assert packages(FUNCTIONS["pruner"], lambda_s) == set()


def test_an_agent_has_an_sdk_of_its_own_with_all_that_this_takes() -> None:
    assert packages(FUNCTIONS["agent"], Destination("arm64")) >= IN_RUNTIME - {"snapshot-restore-py"}


def test_an_agent_may_use_every_tool_of_the_package() -> None:
    """Of which the server in a MicroVM's image runs elsewhere."""
    tools = [path for path in (PACKAGE / "agent/tools").rglob("*.py") if path.name != "microvm_server.py"]
    assert set(closure(FUNCTIONS["agent"].entries).values()) >= set(tools)


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_every_package_that_a_function_imports_is_locked_with_hashes(function: Function) -> None:
    wanted = packages(function, Destination("arm64"))
    chosen = requirements(LOCK.read_text(encoding="utf-8"), wanted, ARM64).splitlines()
    assert all("==" in line and "--hash=sha256:" in line for line in chosen)
    # The bindings of llama.cpp are installed from their source package.
    assert {line.partition("==")[0] for line in chosen} == wanted - {"llama-cpp-python"}


def test_a_package_has_llama_cpp_exactly_when_its_function_needs_it(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="The package of 'inference' is built with llama"):
        build(FUNCTIONS["inference"], Destination("arm64"), lock=LOCK, stage=tmp_path / "s", output=tmp_path / "z.zip")


def test_a_package_that_can_t_be_installed_is_refused_in_pip_s_words(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(f"botocore @ file:///nowhere/botocore-1-py3-none-any.whl \\\n    --hash={HASHES[0]}\n")
    here = Destination("arm64", local=True)
    with pytest.raises(PackageError, match=r"could not be installed: .*nowhere/botocore-1-py3-none-any\.whl"):
        build(FUNCTIONS["pruner"], here, lock=lock, stage=tmp_path / "stage", output=tmp_path / "pruner.zip")
