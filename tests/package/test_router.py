"""The router's zip: small, without a model's libraries, and started without AWS's SDK."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from support.package import Package, build_package

ZIP_BYTES_MAX = 12_000_000


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return build_package(tmp_path_factory.mktemp("router") / "router.zip", "router")


def test_it_is_small_and_has_no_model_s_libraries(router: Package) -> None:
    with zipfile.ZipFile(router.zip) as opened:
        names = opened.namelist()
        modes = {entry.filename: entry.external_attr >> 16 & 0o777 for entry in opened.infolist()}
    assert router.zip.stat().st_size <= ZIP_BYTES_MAX
    tops = {name.partition("/")[0] for name in names}
    assert not tops & {"llama_cpp", "numpy", "fastapi", "boto3", "botocore", "awscrt", "litellm"}
    assert "python_multipart" in tops, "Starlette reads no form without it"
    assert not {name.split("/")[1] for name in names if name.startswith("lambda_llm/")} & {
        "engine",
        "loading",
        "serving",
    }
    assert [name for name in names if name.startswith("bin/")] == ["bin/serve-router"]
    assert modes["bin/serve-router"] == 0o755
    assert "lambda_llm/router/worker.py" in names


def test_its_start_does_without_aws_s_sdk() -> None:
    """It is half of what importing everything would take, and is loaded with the first client, before the snapshot."""
    wanted = "{'boto3', 'botocore', 'awscrt', 'fastapi'}"
    code = f"import sys, lambda_llm.router.serve; print(sorted({wanted} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path("/"))
    assert done.stdout.strip() == "[]"
