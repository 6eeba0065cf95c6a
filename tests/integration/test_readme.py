"""The README's commands and code are run, in order, as a person would."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import typer
from typer.core import TyperGroup

from lambda_llm.cli.app import app
from scripts.docs import readme as write_docs
from scripts.local_aws.server import local_aws

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(sh|console|python)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
PORT = "8080"
SERVE_SECONDS = 120


@dataclass
class Shell:
    environment: dict[str, str]
    servers: list[subprocess.Popen[bytes]]

    def run(self, command: str) -> str:
        if "lambda-llm proxy" in command:  # which needs a Function URL; test_proxy.py runs it in front of one
            name, *arguments = shlex.split(command)[1:]
            group = typer.main.get_command(app)
            assert isinstance(group, TyperGroup)
            group.commands[name].make_context(name, arguments)
            return ""
        if "lambda-llm serve" in command:
            self.servers.append(subprocess.Popen(command.split(), cwd=ROOT, env=self.environment))
            self._wait()
            return ""
        done = subprocess.run(
            shlex.split(command), cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _wait(self) -> None:
        deadline = time.monotonic() + SERVE_SECONDS
        while time.monotonic() < deadline:
            assert self.servers[-1].poll() is None
            try:
                httpx2.get(f"http://127.0.0.1:{self.environment['PORT']}/health")
            except httpx2.ConnectError:
                time.sleep(0.1)
            else:
                return
        pytest.fail("the server did not listen")


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    with local_aws(tmp_path) as aws:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**aws.environment, "PATH": path, "PORT": port, "LAMBDA_LLM_THREADS": "1"}
        aws.make_bucket("my-models")
        shell = Shell(environment, [])
        try:
            yield shell
        finally:
            for server in shell.servers:
                server.send_signal(signal.SIGINT)
                server.wait(timeout=30)


def test_every_command_and_program_of_the_readme_works(shell: Shell) -> None:
    run = 0
    for kind, block in BLOCKS:
        text = block.replace(PORT, shell.environment["PORT"])
        if kind == "python":
            code = subprocess.run(
                [sys.executable, "-c", text], env=shell.environment, capture_output=True, text=True, check=False
            )
            assert code.returncode == 0, code.stderr
            assert "10,240 MB" in code.stdout
            run += 1
        elif kind == "sh":
            for command in text.strip().splitlines():
                if command.startswith("make "):
                    assert shutil.which("make")
                    subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, check=True, capture_output=True)
                else:
                    shell.run(command)
                run += 1
        else:
            command, _, expected = text.partition("\n")
            assert shell.run(command.removeprefix("$ ")).strip() == expected.strip()
            run += 1
    assert run >= 8


def test_the_table_of_settings_is_the_code_s_own() -> None:
    assert write_docs.with_settings(README) == README, "run python -m scripts.docs.readme"


@pytest.mark.parametrize("target", re.findall(r"\]\((?!http|#)([^)#]+)", README))
def test_the_readme_links_to_what_exists(target: str) -> None:
    assert (ROOT / target).exists()
