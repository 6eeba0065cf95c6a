"""boto3 against a code interpreter on loopback, whose answers botocore's model checks."""

import base64
import contextlib
import io
import subprocess
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambda_llm.agent.errors import AgentDefinitionError, SandboxError, SandboxUnavailableError
from lambda_llm.agent.tools.code.agentcore import AgentCoreBackend
from lambda_llm.agent.tools.code.backend import SessionGoneError
from lambda_llm.agent.tools.code.source import CodeSource
from support.aws_service import AWSService, ServiceError, aws_service
from unit.agent.tools.code.test_source import Execution

pytestmark = pytest.mark.usefixtures("aws")

PATH = "from pathlib import Path; W = Path(WORK)"
NOW = "2026-11-27T00:00:00Z"


class CodeInterpreter:
    """Sessions by client token, each with variables of its own and one folder for all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tokens: dict[str, str] = {}
        self.sessions: dict[str, dict[str, Any]] = {}
        self.instead: Any = None
        self.service = AWSService(
            "bedrock-agentcore",
            {
                "StartCodeInterpreterSession": self.start,
                "GetCodeInterpreterSession": self.get,
                "InvokeCodeInterpreter": self.invoke,
                "StopCodeInterpreterSession": self.stop,
            },
        )

    def start(self, asked: dict[str, Any]) -> dict[str, Any]:
        name = self.tokens.setdefault(asked["clientToken"], f"session{len(self.tokens)}")
        self.sessions.setdefault(name, {"WORK": str(self.folder)})
        return {"codeInterpreterIdentifier": asked["codeInterpreterIdentifier"], "sessionId": name, "createdAt": NOW}

    def get(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["sessionId"] not in self.sessions:
            raise ServiceError("ResourceNotFoundException")
        return {**asked, "createdAt": NOW, "status": "READY"}

    def stop(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self.sessions.pop(asked["sessionId"], None) is None:
            raise ServiceError("ResourceNotFoundException")
        return {
            "codeInterpreterIdentifier": asked["codeInterpreterIdentifier"],
            "sessionId": asked["sessionId"],
            "lastUpdatedAt": NOW,
        }

    def invoke(self, asked: dict[str, Any]) -> Any:
        if isinstance(self.instead, Exception):
            raise self.instead
        if self.instead is not None:
            return self.instead
        if asked["sessionId"] not in self.sessions:
            raise ServiceError("ResourceNotFoundException")
        return getattr(self, asked["name"])(self.sessions[asked["sessionId"]], asked["arguments"])

    def executeCode(self, names: dict[str, Any], arguments: dict[str, Any]) -> list[Any]:  # noqa: N802 - AWS's
        assert arguments["language"] == "python"
        out, error = io.StringIO(), ""
        with contextlib.redirect_stdout(out):
            try:
                exec(arguments["code"], names)  # noqa: S102 - this test's code
            except Exception:  # noqa: BLE001
                error = traceback.format_exc()
        return [result(out.getvalue(), error, code=int(bool(error)))]

    def executeCommand(self, _: dict[str, Any], arguments: dict[str, Any]) -> list[Any]:  # noqa: N802
        done = subprocess.run(
            ["/bin/sh", "-c", arguments["command"]], cwd=self.folder, capture_output=True, text=True, check=True
        )
        return [result(done.stdout, done.stderr)]

    def writeFiles(self, _: dict[str, Any], arguments: dict[str, Any]) -> list[Any]:  # noqa: N802
        for each in arguments["content"]:
            path = self.folder / each["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(base64.b64decode(each["blob"]))
        return [{"result": {"content": [{"type": "text", "text": "Successfully wrote all files"}], "isError": False}}]

    def readFiles(self, _: dict[str, Any], arguments: dict[str, Any]) -> list[Any]:  # noqa: N802
        contents: list[Any] = []
        for path in arguments["paths"]:
            found = self.folder / path
            if not found.is_file():
                return [{"result": {"content": [{"type": "text", "text": f"no {path}"}], "isError": True}}]
            resource: dict[str, Any] = {"type": "blob", "uri": f"file:///{path}", "blob": found.read_bytes()}
            if found.suffix == ".txt":
                resource = {"type": "text", "uri": f"file:///{path}", "text": found.read_text(encoding="utf-8")}
            contents.append({"type": "resource", "resource": resource})
        return [{"result": {"content": contents, "isError": False}}]


def result(stdout: str, stderr: str = "", *, code: int = 0) -> dict[str, Any]:
    return {
        "result": {
            "content": [{"type": "text", "text": stdout or stderr}],
            "structuredContent": {"stdout": stdout, "stderr": stderr, "exitCode": code, "executionTime": 0.01},
            "isError": code != 0,
        }
    }


@pytest.fixture
def interpreter(tmp_path: Path) -> Iterator[CodeInterpreter]:
    interpreter = CodeInterpreter(tmp_path)
    with aws_service(interpreter.service):
        yield interpreter


@pytest.fixture
def backend(interpreter: CodeInterpreter) -> AgentCoreBackend:
    return AgentCoreBackend(endpoint=interpreter.service.url, seconds=20)


def test_a_session_is_started_once_per_key(interpreter: CodeInterpreter, backend: AgentCoreBackend) -> None:
    one, again, other = backend.open(None, "a"), backend.open(None, "a"), backend.open(None, "b")
    assert (one.id, again.id, other.id, one.fresh) == ("session0", "session0", "session1", True)
    (first, second, _) = interpreter.service.of("StartCodeInterpreterSession")
    assert first == second
    assert (first["codeInterpreterIdentifier"], first["sessionTimeoutSeconds"]) == ("aws.codeinterpreter.v1", 3600)
    found = backend.open(one.id, "c")
    assert (found.id, found.fresh) == ("session0", False)
    assert len(interpreter.service.of("StartCodeInterpreterSession")) == 3


def test_state_files_and_a_wait(interpreter: CodeInterpreter, backend: AgentCoreBackend) -> None:
    execution = Execution(CodeSource(backend))
    outcome = execution.call(f"{PATH}; x = 5; (W / 'a.txt').write_text('abc'); (W / 'b').write_bytes(bytes([255]))")
    assert outcome.content == {"output": "", "files": ["a.txt", "b"]}
    assert [execution.store.get(each, 9) for each in outcome.references] == [b"abc", b"\xff"]
    assert execution.call("print(x)").content == {"output": "5\n"}
    execution.source.close(execution.memory)
    assert interpreter.sessions == {}
    for path in interpreter.folder.iterdir():
        path.unlink()
    outcome = execution.call(f"{PATH}; print((W / 'a.txt').read_text(), 'x' in dir())")
    assert outcome.content == {
        "output": "abc False\n",
        "note": "This is a new session: variables of earlier calls are gone, its files are back: a.txt, b.",
    }


def test_an_exception_of_the_code(backend: AgentCoreBackend) -> None:
    outcome = Execution(CodeSource(backend)).call("print('before')\n1/0")
    assert (outcome.status, outcome.content["error"]) == ("error", "ZeroDivisionError: division by zero")
    assert outcome.content["output"] == "before\n"


def test_links_are_not_listed(interpreter: CodeInterpreter, backend: AgentCoreBackend) -> None:
    (interpreter.folder / "l").symlink_to("/etc/passwd")
    (interpreter.folder / "d").mkdir()
    (interpreter.folder / "d/é").write_bytes(b"12")
    assert {path: file.size for path, file in backend.open(None, "a").files().items()} == {"d/é": 2}


@pytest.mark.parametrize(
    ("events", "status", "text"),
    [
        ([{"throttlingException": {"message": "slow down"}}], "error", "is busy (throttlingException)"),
        ([{"serviceQuotaExceededException": {"message": "none left"}}], "error", "is busy"),
        ([{"internalServerException": {"message": "oh"}}], "unknown", "failed; the code may have run"),
        (
            [{"validationException": {"message": "no", "reason": "CannotParse"}}],
            "error",
            "refused (validationException)",
        ),
        ([], "unknown", "gave no result; the code may have run"),
        ([b"\0\0\0\x10 is no frame"], "unknown", "gave no answer; the code may have run"),
        ([result("x"), {"internalServerException": {"message": "oh"}}], "unknown", "the code may have run"),
    ],
)
def test_streams_that_end_otherwise(
    interpreter: CodeInterpreter, backend: AgentCoreBackend, events: Any, status: str, text: str
) -> None:
    interpreter.instead = events
    outcome = Execution(CodeSource(backend)).call("print(1)")
    assert outcome.status == status
    assert text in outcome.content["error"]
    assert len(interpreter.service.of("InvokeCodeInterpreter")) == 1


@pytest.mark.parametrize(
    ("error", "kind", "unknown", "text"),
    [
        (
            ServiceError("ThrottlingException", headers={"retry-after": "7"}),
            SandboxError,
            False,
            "AgentCore Code Interpreter is busy (ThrottlingException), the code was not run: try again after 7 s.",
        ),
        (ServiceError("ThrottlingException"), SandboxError, False, "try again in a while."),
        (ServiceError("InternalServerException"), SandboxError, True, "failed; the code may have run"),
        (ServiceError("ConflictException"), SandboxError, False, "refused (ConflictException), the code was not run"),
        (ServiceError("AccessDeniedException"), SandboxUnavailableError, False, "the role may not: so it is"),
        (ServiceError("ResourceNotFoundException"), SessionGoneError, False, "The session has ended"),
    ],
)
def test_refusals(
    interpreter: CodeInterpreter,
    backend: AgentCoreBackend,
    error: ServiceError,
    kind: type[Exception],
    *,
    unknown: bool,
    text: str,
) -> None:
    session = backend.open(None, "a")
    interpreter.instead = error
    with pytest.raises(kind) as caught:
        session.run("1", 9)
    assert text in str(caught.value)
    assert getattr(caught.value, "unknown", False) == unknown
    assert "secret-of-the-account" not in str(caught.value)
    assert len(interpreter.service.of("InvokeCodeInterpreter")) == 1


def test_an_answer_that_never_comes(interpreter: CodeInterpreter) -> None:
    backend = AgentCoreBackend(endpoint=interpreter.service.url, seconds=0.2)
    session = backend.open(None, "a")
    interpreter.executeCode = lambda *_: __import__("time").sleep(1) or [result("")]  # type: ignore[method-assign]
    with pytest.raises(SandboxError, match="gave no answer; the code may have run") as caught:
        session.run("1", 9)
    assert caught.value.unknown


def test_a_service_that_is_not_there() -> None:
    with pytest.raises(SandboxError, match="can't be reached") as caught:
        AgentCoreBackend(endpoint="http://127.0.0.1:9").open(None, "a")
    assert not caught.value.unknown


def test_a_closed_session_closes_again(interpreter: CodeInterpreter, backend: AgentCoreBackend) -> None:
    session = backend.open(None, "a")
    session.close()
    session.close()
    assert interpreter.sessions == {}
    assert backend.find(session.id) is None


@pytest.mark.parametrize("seconds", [1, 28_801])
def test_a_life_that_cannot_be(seconds: int) -> None:
    with pytest.raises(AgentDefinitionError, match="lives 60 to 28,800 s"):
        AgentCoreBackend(session_seconds=seconds)


def test_without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    with pytest.raises(SandboxUnavailableError, match="because there are no AWS credentials"):
        AgentCoreBackend(endpoint="http://127.0.0.1:9").open(None, "a")
