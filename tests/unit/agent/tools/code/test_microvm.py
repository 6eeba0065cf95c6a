"""boto3 against a service that botocore's model checks, and the image's server behind a proxy that wants a token."""

import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lambda_llm.agent.errors import AgentDefinitionError, SandboxError, SandboxUnavailableError
from lambda_llm.agent.tools.code import microvm_server
from lambda_llm.agent.tools.code.microvm import TOKEN_HEADER, MicroVMBackend
from lambda_llm.agent.tools.code.source import CodeSource
from support.aws_service import AWSService, ServiceError, aws_service
from unit.agent.tools.code.test_source import Execution

pytestmark = pytest.mark.usefixtures("aws")

IMAGE = "arn:aws:lambda:eu-central-1:123456789012:microvm-image:code"
CONNECTOR = "arn:aws:lambda:eu-central-1:123456789012:network-connector:closed"
TOKEN = "token-of-the-proxy"  # noqa: S105 - nobody's


class MicroVMs:
    """MicroVMs by client token, each the image's server."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.servers: dict[str, ThreadingHTTPServer] = {}
        self.tokens: dict[str, str] = {}
        self.states: dict[str, str] = {}
        self.unready = 0
        self.instead: tuple[int, bytes] | None = None
        self.error: ServiceError | None = None
        self.service = AWSService(
            "lambda-microvms",
            {
                "RunMicrovm": self.run,
                "GetMicrovm": self.get,
                "CreateMicrovmAuthToken": self.token,
                "SuspendMicrovm": lambda asked: self.move(asked, "SUSPENDED"),
                "TerminateMicrovm": lambda asked: self.move(asked, "TERMINATED"),
            },
        )

    def told(self, name: str) -> dict[str, Any]:
        return {
            "microvmId": name,
            "state": self.states[name],
            "endpoint": f"127.0.0.1:{self.servers[name].server_port}",
            "imageArn": IMAGE,
            "imageVersion": "1",
            "maximumDurationInSeconds": 28_800,
            "startedAt": "2026-11-27T00:00:00Z",
        }

    def run(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self.error:
            raise self.error
        name = self.tokens.setdefault(asked["clientToken"], f"mvm-{len(self.tokens)}")
        if name not in self.servers:
            self.states[name] = "PENDING"
            self.servers[name] = self.server(name)
        return self.told(name)

    def server(self, name: str) -> ThreadingHTTPServer:
        server = microvm_server.server(str(self._folder / name), "127.0.0.1", 0)
        vms = self
        plain: Any = server.RequestHandlerClass

        class Proxy(plain):  # type: ignore[misc]
            def parse_request(self) -> bool:
                if not super().parse_request():
                    return False
                if self.headers.get(TOKEN_HEADER) != TOKEN:
                    self.send_error(403)
                    return False
                if vms.unready:
                    vms.unready -= 1
                    self.send_error(503)
                    return False
                if vms.instead and self.command == "POST":
                    # What was not read when the connection ends resets it, and takes the answer along.
                    self.rfile.read(int(self.headers["content-length"]))
                    self.send_response(vms.instead[0])
                    self.end_headers()
                    self.wfile.write(vms.instead[1])
                    self.close_connection = True
                    return False
                return True

        server.RequestHandlerClass = Proxy
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server

    def get(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["microvmIdentifier"] not in self.states:
            raise ServiceError("ResourceNotFoundException")
        return self.told(asked["microvmIdentifier"])

    def token(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert asked["allowedPorts"] == [{"port": 8080}]
        return {"authToken": {TOKEN_HEADER: TOKEN}}

    def move(self, asked: dict[str, Any], state: str) -> None:
        if asked["microvmIdentifier"] not in self.states:
            raise ServiceError("ResourceNotFoundException")
        self.states[asked["microvmIdentifier"]] = state

    def close(self) -> None:
        for server in self.servers.values():
            server.shutdown()
            server.server_close()


@pytest.fixture
def microvms(tmp_path: Path) -> Iterator[MicroVMs]:
    microvms = MicroVMs(tmp_path)
    with aws_service(microvms.service):
        yield microvms
    microvms.close()


@pytest.fixture
def backend(microvms: MicroVMs) -> MicroVMBackend:
    return MicroVMBackend(IMAGE, egress=(CONNECTOR,), endpoint=microvms.service.url, scheme="http")


def test_a_microvm_is_run_once_per_key(microvms: MicroVMs, backend: MicroVMBackend) -> None:
    one, again = backend.open(None, "a"), backend.open(None, "a")
    assert (one.id, again.id, one.fresh) == ("mvm-0", "mvm-0", True)
    first, second = microvms.service.of("RunMicrovm")
    assert first == second
    assert first["idlePolicy"] == {
        "maxIdleDurationSeconds": 60,
        "suspendedDurationSeconds": 28_800,
        "autoResumeEnabled": True,
    }
    assert first["logging"] == {"disabled": {}}
    assert first["egressNetworkConnectors"] == [CONNECTOR]
    assert one.run("1", 9).value == "1"
    assert backend.open(one.id, "").fresh is False


def test_it_waits_until_the_server_is_there(microvms: MicroVMs, backend: MicroVMBackend) -> None:
    microvms.unready = 2
    assert backend.open(None, "a").run("6 * 7", 9).value == "42"


def test_state_files_and_a_wait(microvms: MicroVMs, backend: MicroVMBackend) -> None:
    execution = Execution(CodeSource(backend))
    assert execution.call("x = 5\nopen('a', 'w').write('abc')").content == {"output": "3\n", "files": ["a"]}
    execution.source.suspend(execution.memory)
    assert microvms.states == {"mvm-0": "SUSPENDED"}
    assert execution.call("x").content == {"output": "5\n"}
    execution.source.close(execution.memory)
    assert microvms.states == {"mvm-0": "TERMINATED"}
    outcome = execution.call("open('a').read(), 'x' in dir()")
    assert outcome.content == {
        "output": "('abc', False)\n",
        "note": "This is a new session: variables of earlier calls are gone, its files are back: a.",
    }
    assert outcome.memory["session"] == "mvm-1"


def test_code_that_ends_its_interpreter(backend: MicroVMBackend) -> None:
    execution = Execution(CodeSource(backend))
    execution.call("x = 1")
    outcome = execution.call("import os; os._exit(1)")
    assert (outcome.status, outcome.content) == (
        "error",
        {"error": "The code ended its interpreter, or was stopped with it; variables are gone."},
    )
    assert execution.call("'x' in dir()").content == {
        "output": "False\n",
        "note": "This is a new session: variables of earlier calls are gone, there were no files.",
    }


@pytest.mark.parametrize(
    ("answer", "unknown", "text"),
    [
        ((502, b""), True, "failed with status 502"),
        ((200, b"{"), True, "is no JSON object"),
        ((200, b"[1]"), True, "is no JSON object"),
        ((200, b"x" * (9 << 20)), True, "is too long"),
        ((400, b"{}"), False, "failed with status 400"),
        ((403, b""), False, "refused the token (403)"),
        ((200, b'{"refused": "no"}'), False, "The MicroVM refused it: no."),
    ],
)
def test_answers_that_are_none(
    microvms: MicroVMs, backend: MicroVMBackend, answer: tuple[int, bytes], *, unknown: bool, text: str
) -> None:
    session = backend.open(None, "a")
    microvms.instead = answer
    with pytest.raises(SandboxError) as caught:
        session.run("1", 9)
    assert text in str(caught.value)
    assert caught.value.unknown == unknown
    assert TOKEN not in repr(caught.value)


def test_an_answer_that_does_not_come(backend: MicroVMBackend) -> None:
    session = backend.open(None, "a")
    session.run("import signal; signal.signal = lambda *a: None; signal.setitimer = lambda *a: None", 9)
    with pytest.raises(SandboxError, match="gave no answer; the code may have run") as caught:
        session.run("import time; time.sleep(2)", 0.2)
    assert caught.value.unknown


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("ThrottlingException", SandboxError, "Lambda MicroVMs is busy (ThrottlingException), the code was not run"),
        ("InsufficientCapacityException", SandboxError, "is busy (InsufficientCapacityException)"),
        ("ServiceQuotaExceededException", SandboxError, "is busy (ServiceQuotaExceededException)"),
        ("ResourceNotFoundException", SandboxError, f"There is no image {IMAGE}"),
        ("AccessDeniedException", SandboxUnavailableError, "refused, because the role may not: so it is"),
    ],
)
def test_refusals(microvms: MicroVMs, backend: MicroVMBackend, name: str, kind: type[Exception], text: str) -> None:
    microvms.error = ServiceError(name)
    with pytest.raises(kind) as caught:
        backend.open(None, "a")
    assert text in str(caught.value)
    assert getattr(caught.value, "unknown", False) is False


@pytest.mark.parametrize(
    "settings", [{"life_seconds": 28_801}, {"idle_seconds": 59}, {"life_seconds": 60, "idle_seconds": 61}]
)
def test_lives_that_cannot_be(settings: dict[str, Any]) -> None:
    with pytest.raises(AgentDefinitionError, match="lives at most 28,800 s and idles at least 60 s"):
        MicroVMBackend(IMAGE, internet=True, **settings)


def test_the_internet_is_a_choice(microvms: MicroVMs) -> None:
    with pytest.raises(AgentDefinitionError, match="reaches the internet unless"):
        MicroVMBackend(IMAGE)
    MicroVMBackend(IMAGE, internet=True, endpoint=microvms.service.url, scheme="http").open(None, "a")
    assert "egressNetworkConnectors" not in microvms.service.of("RunMicrovm")[0]
