"""The zip itself: what is in it, how large it is, and that the same inputs give the same bytes."""

import io
import json
import os
import subprocess
import sys
import zipfile
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from elftools.elf.elffile import ELFFile

from lambda_llm import __version__
from lambda_llm.packaging import archive
from lambda_llm.packaging.builder import IN_RUNTIME
from lambda_llm.packaging.closure import PACKAGE, closure
from lambda_llm.packaging.functions import FUNCTIONS
from lambda_llm.packaging.manifest import NAME, SBOM_NAME
from scripts.build.llama import BUILD
from scripts.build.llama_edits import EDITS
from support.package import Build, Package

ZIPPED_MAX_BYTES = 30_000_000
UNZIPPED_MAX_BYTES = 100_000_000
PRUNER_MAX_BYTES = 20_000
QUEUE_WORKER_MAX_BYTES = 20_000
CANARY_ROLLBACK_MAX_BYTES = 20_000
AUTHORIZER_MAX_BYTES = 30_000
AUTHORIZER_JWT_MAX_BYTES = 8_000_000

VARIANTS = ["armv8.2_2", "armv8.6_1", "armv8.6_2"]
"""For Graviton2, 3 and 4."""


@pytest.fixture(scope="module")
def contents(package: Package) -> dict[str, bytes]:
    with zipfile.ZipFile(package.zip) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def test_it_is_small(package: Package, capsys: pytest.CaptureFixture[str]) -> None:
    said = package.said
    zipped, unzipped = (f"{said[name] / 1e6:.1f} MB" for name in ("zip_bytes", "unzipped_bytes"))
    largest = "".join(f"{size / 1e6:8.2f} MB  {name}\n" for name, size in said["largest"])
    with capsys.disabled():
        sys.stdout.write(f"\n{zipped} zipped, {unzipped} unzipped; the ten largest files:\n{largest}")
    assert len(package.said["largest"]) == 10
    assert package.zip.stat().st_size == package.said["zip_bytes"] < ZIPPED_MAX_BYTES
    with zipfile.ZipFile(package.zip) as opened:
        assert sum(entry.file_size for entry in opened.infolist()) < UNZIPPED_MAX_BYTES


def test_its_manifest_says_what_it_is(package: Package, contents: dict[str, bytes]) -> None:
    inside = json.loads(contents[NAME])
    digest = sha256(package.zip.read_bytes())
    assert package.manifest.items() >= inside.items()
    assert package.manifest["zip_sha256"] == package.said["zip_sha256"] == digest.hexdigest()
    assert package.manifest["zip_bytes"] == package.said["zip_bytes"]
    assert inside["files"] == {name: sha256(data).hexdigest() for name, data in contents.items() if name != NAME}
    assert inside["unzipped_bytes"] == sum(len(data) for name, data in contents.items() if name != NAME)
    assert (inside["version"], inside["architecture"], inside["runtime"]) == (__version__, "arm64", "python3.13")
    native = inside["native"]
    assert native["llama_cpp_python"] == version("llama-cpp-python")
    assert native["compiler"].startswith("zig ")
    assert native["build_options"]["GGML_CPU_ALL_VARIANTS"] == "ON"
    assert native["cpu_variants"] == VARIANTS
    assert list(native["source_edits"]) == [path.stem for path in sorted(EDITS.glob("*.toml"))]
    assert inside["function"] == package.said["function"] == "inference"
    assert inside["glibc"] == "2.34"
    assert inside["exec_wrapper"] in contents
    assert inside["handler"].rpartition(".")[0].replace(".", "/") + ".py" in contents


def test_the_command_finds_it_sound(package: Package, command: Path) -> None:
    done = subprocess.run([command, "package", "--verify", package.zip], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "is consistent with its manifest" in done.stdout


def test_its_sbom_names_everything_in_it(package: Package, contents: dict[str, bytes]) -> None:
    assert package.zip.with_suffix(".sbom.cdx.json").read_bytes() == contents[SBOM_NAME]
    document: dict[str, Any] = json.loads(contents[SBOM_NAME])
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(contents[SBOM_NAME].decode())
    assert problem is None, problem
    bom = Bom.from_json(document)  # type: ignore[attr-defined]  # made by a decorator
    assert bom.metadata.component.version == __version__
    components = {component.name: component.version for component in bom.components}
    assert components["llama.cpp"] == f"llama-cpp-python-{version('llama-cpp-python')}"
    (changed,) = [component for component in bom.components if component.pedigree]
    assert changed.name == "llama.cpp"
    diffs = {sha256(patch.diff.text.content.encode()).hexdigest() for patch in changed.pedigree.patches}
    assert diffs == set(json.loads(contents[NAME])["native"]["source_edits"].values())
    folders = {name.partition("/")[0] for name in contents}
    installed = {name.removesuffix(".dist-info") for name in folders if name.endswith(".dist-info")}
    named = {f"{name.replace('-', '_')}-{number}" for name, number in components.items()}
    assert {name.lower() for name in installed} == named - {f"llama.cpp-llama-cpp-python-{version('llama-cpp-python')}"}
    assert components.keys() >= {"numpy", "pydantic-core", "awscrt", "llama-cpp-python", "llguidance"}
    assert all(str(component.purl).startswith("pkg:") for component in bom.components)


def test_what_lambda_has_or_never_reads_is_not_in_it(contents: dict[str, bytes]) -> None:
    tops = {name.partition("/")[0] for name in contents}
    assert not tops & {"boto3", "botocore", "urllib3", "six.py", "dateutil", "snapshot_restore_py"}
    assert not {top for top in tops if top.startswith(tuple(f"{name.replace('-', '_')}-" for name in IN_RUNTIME))}
    assert not tops & {"openai", "prometheus_client", "requests", "rich", "typer"}
    own = {name for name in contents if name.startswith("lambda_llm/") and name.endswith(".py")}
    modules = closure(FUNCTIONS["inference"].entries).values()
    assert own == {path.relative_to(PACKAGE.parent).as_posix() for path in modules}
    assert not [name for name in own if name.split("/")[1] in {"cli", "packaging", "policies", "pruner", "usage"}]
    assert "lambda_llm/serving/page.html" in contents
    assert not [name for name in contents if "__pycache__" in name or name.endswith((".pyc", ".a", ".h"))]
    assert [name for name in contents if name.startswith("bin/")] == ["bin/serve"]


def test_the_modes_are_lambda_s(package: Package) -> None:
    with zipfile.ZipFile(package.zip) as opened:
        modes = {entry.filename: entry.external_attr >> 16 & 0o777 for entry in opened.infolist()}
    assert modes.pop("bin/serve") == 0o755
    assert set(modes.values()) <= {0o644, 0o755}
    assert not [name for name, mode in modes.items() if mode == 0o755 and name.endswith((".py", ".so"))]


def test_every_binary_is_for_arm64(contents: dict[str, bytes]) -> None:
    machines = {
        name: ELFFile(io.BytesIO(data)).header.e_machine
        for name, data in contents.items()
        if data.startswith(b"\x7fELF")
    }
    assert set(machines.values()) == {"EM_AARCH64"}
    assert {name for name in contents if name.endswith(".so") or ".so." in name} == machines.keys()
    others = (b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"!<arch>")
    assert not [name for name, data in contents.items() if data.startswith(others)]


def test_no_file_names_the_machine_that_built_it(contents: dict[str, bytes]) -> None:
    """Paths of the build would give away whose machine it was, and differ from one to the next."""
    here = str(BUILD.parent).encode()
    assert not [name for name, data in contents.items() if here in data]


def test_building_it_again_gives_the_same_bytes(package: Package, build: Build, tmp_path: Path) -> None:
    """Elsewhere, under another umask, in another time zone and with other hashes of Python's."""
    environment = {**os.environ, "TZ": "Pacific/Auckland", "PYTHONHASHSEED": "7", "LC_ALL": "C"}
    again = build(tmp_path / "again.zip", env=environment, umask=0o077, cwd=tmp_path)
    assert again.said["zip_sha256"] == package.said["zip_sha256"]
    assert again.zip.read_bytes() == package.zip.read_bytes()
    assert (
        again.zip.with_suffix(".sbom.cdx.json").read_bytes() == package.zip.with_suffix(".sbom.cdx.json").read_bytes()
    )
    assert again.manifest == package.manifest
    # Not the folder that it was made from, which tests beside this one may be building again.
    with zipfile.ZipFile(package.zip) as opened:
        for entry in opened.infolist():
            (path := tmp_path / "unpacked" / entry.filename).parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(opened.read(entry))
            path.chmod(entry.external_attr >> 16 & 0o777)
    archive.write(tmp_path / "unpacked", tmp_path / "zipped again.zip")
    assert archive.sha256(tmp_path / "zipped again.zip") == package.said["zip_sha256"]


def test_the_pruner_s_zip_has_some_kilobytes(build: Build, tmp_path: Path) -> None:
    pruner = build(tmp_path / "pruner.zip", "pruner")
    assert pruner.said["zip_bytes"] < PRUNER_MAX_BYTES
    assert (pruner.manifest["function"], pruner.manifest["native"], pruner.manifest["glibc"]) == ("pruner", None, None)
    with zipfile.ZipFile(pruner.zip) as opened:
        assert {name for name in opened.namelist() if name.endswith(".py")} == {
            "lambda_llm/__init__.py",
            "lambda_llm/pruner/__init__.py",
            "lambda_llm/pruner/handler.py",
            *(f"lambda_llm/telemetry/{name}.py" for name in ("__init__", "context", "emf", "lines", "logs")),
        }


def test_the_queue_worker_s_zip_has_some_kilobytes_too(build: Build, tmp_path: Path) -> None:
    worker = build(tmp_path / "queue-worker.zip", "queue-worker")
    assert worker.said["zip_bytes"] < QUEUE_WORKER_MAX_BYTES
    assert (worker.manifest["function"], worker.manifest["native"]) == ("queue-worker", None)
    with zipfile.ZipFile(worker.zip) as opened:
        assert {name for name in opened.namelist() if name.endswith(".py")} == {
            "lambda_llm/__init__.py",
            "lambda_llm/aws/__init__.py",
            "lambda_llm/aws/errors.py",
            "lambda_llm/aws/invoke.py",
            "lambda_llm/errors.py",
            "lambda_llm/limits.py",
            "lambda_llm/queue_worker/__init__.py",
            "lambda_llm/queue_worker/errors.py",
            "lambda_llm/queue_worker/handler.py",
            "lambda_llm/queue_worker/settings.py",
            "lambda_llm/queue_worker/worker.py",
        }


def test_so_does_that_of_the_rollback(build: Build, tmp_path: Path) -> None:
    rollback = build(tmp_path / "canary-rollback.zip", "canary-rollback")
    assert rollback.said["zip_bytes"] < CANARY_ROLLBACK_MAX_BYTES
    assert (rollback.manifest["function"], rollback.manifest["native"]) == ("canary-rollback", None)
    with zipfile.ZipFile(rollback.zip) as opened:
        assert {name for name in opened.namelist() if name.endswith(".py")} == {
            "lambda_llm/__init__.py",
            "lambda_llm/canary_rollback/__init__.py",
            "lambda_llm/canary_rollback/handler.py",
            "lambda_llm/canary_rollback/rollback.py",
        }


def test_the_authorizer_s_zip_has_some_kilobytes_too(build: Build, tmp_path: Path) -> None:
    """Keys need nothing but what Lambda's runtime has."""
    authorizer = build(tmp_path / "authorizer.zip", "authorizer")
    assert authorizer.said["zip_bytes"] < AUTHORIZER_MAX_BYTES
    assert (authorizer.manifest["function"], authorizer.manifest["glibc"]) == ("authorizer", None)
    with zipfile.ZipFile(authorizer.zip) as opened:
        names = set(opened.namelist())
    assert {name.partition("/")[0] for name in names} == {"lambda_llm", NAME, SBOM_NAME}
    assert not [name for name in names if "jwt" in name]


def test_the_authorizer_for_jwts_has_at_most_8_mb(build: Build, tmp_path: Path) -> None:
    authorizer = build(tmp_path / "authorizer-jwt.zip", "authorizer-jwt")
    assert authorizer.said["zip_bytes"] <= AUTHORIZER_JWT_MAX_BYTES
    assert (authorizer.manifest["function"], authorizer.manifest["native"]) == ("authorizer-jwt", None)
    with zipfile.ZipFile(authorizer.zip) as opened:
        names = set(opened.namelist())
    assert names >= {
        "jwt/jwks_client.py",
        "cryptography/hazmat/bindings/_rust.abi3.so",
        "lambda_llm/authorizer/jwts.py",
    }
    assert not {name.partition("/")[0] for name in names} & {"boto3", "botocore", "pydantic", "numpy", "llama_cpp"}
