"""The zip as Lambda runs it: unpacked, on arm64 with Python 3.13, started and watched as the web adapter does it.

An instruction that a CPU lacks, a symbol that a library lacks, a file of this machine that the package leans on:
each of them ends the process here, and not in somebody's account. What qemu does not show is in docs/verified.md.
"""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import OpenAI

from lambda_llm.limits import MEMORY_MB
from lambda_llm.loading.push import push
from lambda_llm.packaging import archive
from lambda_llm.packaging.builder import IN_RUNTIME
from lambda_llm.packaging.manifest import NAME
from scripts.demo import MODEL
from scripts.local_aws.server import local_aws
from support.answers import EXPECTED, QUESTION
from support.debian import arm64_root, interpreter, needs_arm64
from support.package import Package
from support.servers import AFTER, BEFORE, Server, free_port

pytestmark = needs_arm64

LIMIT_SECONDS = 600
"""A machine of CI under load takes a minute for what Graviton does in a second."""


@dataclass(frozen=True)
class Expected:
    """What a CPU is for here, by qemu's name for it.

    Attributes:
        cpu: qemu's name.
        backend: variant of llama.cpp's CPU backend that suits it best.
        has: features that it has, of those that count.
        lacks: features that it lacks.
        placement: of the weights.
        without: a variant that is taken out of the package, because qemu's CPU has more than the real one.
    """

    cpu: str
    backend: str
    has: frozenset[str]
    lacks: frozenset[str]
    placement: str = "copied"
    without: str | None = None


N1 = frozenset({"asimd", "asimddp", "asimdhp"})
V1 = N1 | {"sve", "i8mm", "bf16"}
V2 = V1 | {"sve2", "svei8mm", "svebf16"}
MAX = "max,pauth-impdef=on"
"""All that qemu can; only the way in which pointers are signed is simplified: in software it takes minutes."""

CPUS = {
    # Graviton2, the oldest that Lambda has.
    "neoverse-n1": Expected("neoverse-n1", "armv8.2_2", N1, V2 - N1 | {"sme"}),
    # Graviton3. The qemu of Debian 12 does not know Neoverse V1, and can't take SVE2 from `max`: so the variant with
    # SVE2 is taken away, and the next best is the one that V1 takes. SVE's vectors are as long as V1's, which matters:
    # llama.cpp has kernels for this length alone.
    "like neoverse-v1": Expected(
        f"{MAX},sme=off,sve-max-vq=2", "armv8.6_1", V1, frozenset({"sme"}), without="armv8.6_2"
    ),
    # Graviton4: `max` without SME and with vectors as short as those of Neoverse V2.
    "like neoverse-v2": Expected(
        f"{MAX},sme=off,sve-max-vq=1", "armv8.6_2", V2, frozenset({"sme"}), placement="mapped"
    ),
}


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not (result := condition()):
        assert time.monotonic() < deadline, f"nothing after {LIMIT_SECONDS} s"
        time.sleep(0.05)
    return result


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Lambda's runtime has beside Python: the packages that are not in the zip, as the lock has them."""
    folder = tmp_path_factory.mktemp("var-runtime")
    for name in IN_RUNTIME:
        installed = distribution(name)
        for top in {file.parts[0] for file in installed.files or () if file.parts[0] not in {"..", "__pycache__"}}:
            (folder / top).symlink_to(Path(str(installed.locate_file(top))).resolve())
    return folder


@pytest.fixture(scope="session")
def pinned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The demo model in S3, and the function's variables that name it, held to its version and its SHA-256."""
    with local_aws(tmp_path_factory.mktemp("local-aws")) as aws, pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in aws.environment.items():
            monkeypatch.setenv(name, value)
        aws.make_bucket("packaged-models")
        pushed = push(MODEL, "s3://packaged-models/demo.gguf")
        assert pushed.version_id
        yield {
            **{name: value for name, value in aws.environment.items() if name.startswith("AWS_")},
            "LAMBDA_LLM_MODEL": pushed.uri,
            "LAMBDA_LLM_MODEL_VERSION_ID": pushed.version_id,
            "LAMBDA_LLM_MODEL_SHA256": pushed.sha256,
        }


@pytest.fixture(scope="session")
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled once for all CPUs: Python under qemu takes its time."""
    return tmp_path_factory.mktemp("bytecode")


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return interpreter(arm64_root(), tmp_path_factory.mktemp("arm64") / "python3.13")


@pytest.fixture(scope="module", params=list(CPUS))
def expected(request: pytest.FixtureRequest) -> Expected:
    return CPUS[request.param]


@pytest.fixture(scope="module")
def server(
    expected: Expected,
    task: Path,
    python: Path,
    runtime: Path,
    bytecode: Path,
    pinned: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """The package on one CPU, with a function's environment and nothing of this machine's; ended as Lambda does it."""
    folder = tmp_path_factory.mktemp("function")
    port = free_port()
    environment = {
        **pinned,
        "PATH": "/usr/bin:/bin",
        "LANG": "en_US.UTF-8",
        "LAMBDA_TASK_ROOT": str(task),
        "LAMBDA_RUNTIME_DIR": str(runtime),
        "PYTHONPATH": str(runtime),
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_LAMBDA_EXEC_WRAPPER": str(task / "bin/serve"),
        "AWS_LAMBDA_FUNCTION_NAME": "lambda-llm",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(MEMORY_MB),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
        "AWS_LWA_INVOKE_MODE": "response_stream",
        "AWS_LWA_PORT": str(port),
        "AWS_LWA_READINESS_CHECK_PATH": "/health",
        "AWS_LWA_SNAPSTART_BEFORE_CHECKPOINT_PATH": BEFORE,
        "AWS_LWA_SNAPSTART_AFTER_RESTORE_PATH": AFTER,
        "LAMBDA_LLM_CONTEXT": "512",
        "LAMBDA_LLM_LOAD_SECONDS": str(LIMIT_SECONDS),
        "LAMBDA_LLM_THREADS": "1",
        "LAMBDA_LLM_WEIGHTS": expected.placement,
        "QEMU_CPU": expected.cpu,
        # A symbol that is missing is missed at once, not by whoever first calls it.
        "LD_BIND_NOW": "1",
        "PYTHONPYCACHEPREFIX": str(bytecode),
    }
    if expected.without:
        libraries = folder / "lib"
        libraries.mkdir()
        for library in (task / "llama_cpp/lib").iterdir():
            (libraries / library.name).symlink_to(library)
        (libraries / f"libggml-cpu-{expected.without}.so").unlink()
        environment["LLAMA_CPP_LIB_PATH"] = str(libraries)
    log = folder / "log"
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(
                [environment["AWS_LAMBDA_EXEC_WRAPPER"], python, "/var/runtime/bootstrap.py"],
                env=environment,
                cwd=task,
                stdin=subprocess.DEVNULL,
                stdout=stack.enter_context(log.open("wb")),
                stderr=subprocess.STDOUT,
            )
        )
        stack.callback(process.kill)
        running = Server(process, port, log)
        until(running.ready)
        yield running
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_SECONDS) in {0, -signal.SIGTERM}
        assert not [line for line in running.lines() if line["level"] not in {"INFO", "WARNING"}]


def test_the_variant_for_the_cpu_is_chosen(server: Server, expected: Expected, package: Package) -> None:
    assert server.health()["backend"] == expected.backend
    assert expected.backend in package.manifest["native"]["cpu_variants"]
    assert any(line["message"].endswith(f"CPU backend {expected.backend}") for line in server.lines())


def test_a_question_is_answered_as_a_stream(server: Server) -> None:
    with OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0, timeout=LIMIT_SECONDS) as client:
        (model,) = [model.id for model in client.models.list()]
        with client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": QUESTION}], temperature=0, stream=True
        ) as stream:
            pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
    assert EXPECTED in "".join(pieces)
    assert len(pieces) > 3


def test_the_model_came_from_s3_through_a_memory_file_and_was_verified(
    server: Server, expected: Expected, pinned: dict[str, str]
) -> None:
    (loaded,) = [line["message"] for line in server.lines() if line["message"].startswith("loaded ")]
    assert pinned["LAMBDA_LLM_MODEL"] in loaded
    assert "verified by CRC64NVME and SHA-256" in loaded
    assert server.health()["placement"] == expected.placement
    mapped = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert ("/memfd:lambda-llm" in mapped) == (expected.placement == "mapped")


def test_the_snapshot_s_hooks_answer(server: Server, expected: Expected) -> None:
    for path in (BEFORE, AFTER):
        assert httpx2.post(f"{server.url}{path}", timeout=LIMIT_SECONDS).status_code == 204
    messages = [line["message"] for line in server.lines()]
    (taken,) = [message for message in messages if "taken on a CPU with" in message]
    features = set(taken.partition("taken on a CPU with ")[2].split(", "))
    assert features >= expected.has
    assert not features & expected.lacks
    assert any(message.startswith("restored in ") for message in messages)


def test_libraries_come_from_the_package_and_the_system_alone(server: Server, task: Path) -> None:
    maps = Path(f"/proc/{server.process.pid}/maps").read_text().splitlines()
    names = {line.split(maxsplit=5)[5] for line in maps if ".so" in line}
    foreign = {name for name in names if not name.startswith((f"{task}/", f"{arm64_root()}/"))}
    assert not foreign
    assert {Path(name).name for name in names} >= {"libllama.so", "libggml.so", "libggml-base.so"}


def test_nothing_is_written_into_the_package(server: Server, task: Path) -> None:
    assert server.health()["status"] == "ok"
    manifest = json.loads((task / NAME).read_bytes())
    now = archive.files(task)
    assert now.keys() == {*manifest["files"], NAME}
    assert {name: archive.sha256(now[name]) for name in manifest["files"]} == manifest["files"]
