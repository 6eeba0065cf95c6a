"""The one home of AWS's numbers: sane, sourced, and not copied elsewhere."""

import ast
import inspect
import itertools
import math
from pathlib import Path

import pytest

from lambda_llm import limits

ASSIGNED = ast.parse(inspect.getsource(limits)).body
DOCUMENTED = {
    statement.target.id: following.value.value
    for statement, following in itertools.pairwise(ASSIGNED)
    if isinstance(statement, ast.AnnAssign)
    and isinstance(statement.target, ast.Name)
    and isinstance(following, ast.Expr)
    and isinstance(following.value, ast.Constant)
}
NAMES = sorted(name for name in vars(limits) if name.isupper())
UNITS = {"MIB", "GIB"}
CHOICES = {"ARCHITECTURE", "PACKAGE_TYPE"}
"""Not limits but the project's own choice among what AWS offers."""


@pytest.mark.parametrize("name", [name for name in NAMES if name not in UNITS])
def test_every_number_says_what_it_is_and_where_it_comes_from(name: str) -> None:
    text = str(DOCUMENTED[name])
    assert len(text.partition("Source:")[0]) > 10
    if name not in CHOICES:
        assert "Source: https://docs.aws.amazon.com/" in text or text.endswith("Source: as above.")


def test_the_numbers_fit_together() -> None:
    assert limits.MEMORY_MB == 10 * 1024
    assert math.ceil(limits.MEMORY_MB / 1769) == limits.VCPUS
    assert limits.RESTORE_SECONDS < limits.SNAPSTART_INIT_SECONDS < limits.TIMEOUT_MAX_SECONDS
    assert limits.ASYNC_PAYLOAD_BYTES < limits.BUFFERED_PAYLOAD_BYTES < limits.STREAMED_RESPONSE_BYTES
    assert limits.PACKAGE_DIRECT_UPLOAD_BYTES < limits.PACKAGE_UNZIPPED_BYTES < limits.EPHEMERAL_STORAGE_MB * limits.MIB
    assert limits.GIB == 1024 * limits.MIB == 1024**3


def test_snapstart_can_take_what_is_chosen() -> None:
    assert (limits.RUNTIME, limits.PACKAGE_TYPE) == ("python3.13", "Zip")
    assert limits.EPHEMERAL_STORAGE_MB <= 512
    assert limits.SNAPSTART_APPLY_ON == "PublishedVersions"
    assert limits.ARCHITECTURE in {"arm64", "x86_64"}


def test_no_number_is_written_down_a_second_time() -> None:
    package = Path(limits.__file__).parent
    for path in package.rglob("*.py"):
        if path.name == "limits.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, int):
                assert node.value != limits.MEMORY_MB, path
