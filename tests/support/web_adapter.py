"""The Lambda Web Adapter itself in front of `bin/serve`, with Lambda's side played by `support.runtime_api`.

It is built from crates.io, which has no later version than this one: the first without hooks for SnapStart's snapshots.
The program stays in .build, so that only the first run pays for it.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from lambda_llm.limits import MEMORY_MB
from lambda_llm.web.adapter import PORT
from scripts.build.llama import BUILD
from scripts.docs import hcl
from support.runtime_api import Report, RuntimeAPI
from support.servers import ROOT as REPOSITORY
from support.servers import Server, started, until

VERSION: Final = "1.0.0-rc1"
ROOT: Final = BUILD / "web-adapter"

# Not optimized: that takes thrice as long to compile and changes no answer.
INSTALL: Final = ("cargo", "install", "--locked", "--debug", "--version", VERSION, "lambda_web_adapter")
PROFILE: Final = {"CARGO_PROFILE_DEV_DEBUG": "0", "CARGO_INCREMENTAL": "0"}

needs_cargo: Final = pytest.mark.needs(
    "cargo", get="Rust 1.84 or later, https://rust-lang.org/tools/install, or apt-get install cargo-web on Debian 12"
)
"""Mark for tests that call what is here."""


def adapter() -> Path:
    """The program; built when it is missing or of another version."""
    stamp = ROOT / "complete"
    wanted = hashlib.sha256(repr((INSTALL, PROFILE)).encode()).hexdigest()
    BUILD.mkdir(exist_ok=True)
    with (BUILD / "web-adapter.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not (stamp.is_file() and stamp.read_text() == wanted):
            _build()
            stamp.write_text(wanted)
    return ROOT / "bin/lambda-adapter"


def _build() -> None:
    shutil.rmtree(ROOT, ignore_errors=True)
    target = ROOT / "target"
    done = subprocess.run(
        [*INSTALL, "--root", str(ROOT), "--target-dir", str(target)],
        env={**os.environ, **PROFILE},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(f"cargo did not build the web adapter:\n{done.stderr[-2000:]}", pytrace=False)
    shutil.rmtree(target)


def settings_of_the_module() -> dict[str, str]:
    """The adapter's variables as modules/inference sets them."""
    files = hcl.module(REPOSITORY / "modules/inference")
    (text,) = [block.attributes["web_adapter"] for block in files if "web_adapter" in block.attributes]
    return dict(re.findall(r'(AWS_LWA_\w+) += "([^"]*)"', text))


@dataclass
class Environment:
    """One environment of the function.

    Attributes:
        api: Lambda's side.
        server: `bin/serve`, reached without the adapter by its URL.
        adapter: its process.
    """

    api: RuntimeAPI
    server: Server
    adapter: subprocess.Popen[bytes]


@contextmanager
def behind_the_adapter(folder: Path, changes: Mapping[str, str]) -> Iterator[Environment]:
    """Start both as Lambda does, and give them when the adapter asks for the first event."""
    program, log = adapter(), folder / "adapter.log"
    settings = settings_of_the_module()
    del settings[PORT]
    lambda_s = {
        "AWS_LAMBDA_FUNCTION_NAME": "llm",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(MEMORY_MB),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/llm",
        "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
    }
    environment = {**os.environ, **settings, **lambda_s}
    with (
        RuntimeAPI() as api,
        started(folder, {**environment, **changes}) as server,
        log.open("wb") as output,
        subprocess.Popen(
            [program],
            env={**environment, PORT: str(server.port), "AWS_LAMBDA_RUNTIME_API": api.address},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:

            def asked() -> bool:
                assert server.process.poll() is None, server.log.read_text()
                assert process.poll() is None, log.read_text()
                return api.asked_for_events.is_set()

            until(asked)
            yield Environment(api, server, process)
        finally:
            process.kill()


@dataclass
class Answer:
    """An HTTP response as a function streams it to Lambda."""

    status: int
    headers: dict[str, str]
    body: bytes


def answer_of(report: Report) -> Answer:
    """Read it: a prelude of JSON, eight NUL bytes, the body.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html
    """
    assert report.path == "/invocation/id-1/response", report.content
    assert report.complete
    prelude, end, body = report.content.partition(b"\0" * 8)
    assert end
    read: dict[str, Any] = json.loads(prelude)
    assert read["cookies"] == []
    return Answer(read["statusCode"], read["headers"], body)
