"""E2B's SDK against its API on loopback: answers are of the SDK's own types, and lines as a kernel streams them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2b.api.client.models import Sandbox

from lambda_llm.agent.errors import SandboxError, SandboxUnavailableError
from lambda_llm.agent.tools.code.e2b import E2BBackend
from lambda_llm.agent.tools.code.source import CodeSource
from support.kernel import executed, served
from unit.agent.tools.code.test_source import Execution

KEY = "e2b_" + "0" * 40


class E2B:
    """Sandboxes by idempotency key, each with a kernel's names."""

    def __init__(self) -> None:
        self.keys: dict[str, str] = {}
        self.kernels: dict[str, dict[str, Any]] = {}
        self.paused: list[str] = []
        self.asked: list[tuple[str, str, Any]] = []
        self.instead: dict[str, tuple[int, bytes]] = {}

    def answer(self, method: str, path: str, headers: Any, body: Any) -> tuple[int, bytes]:
        self.asked.append((method, path, body))
        for part, answer in self.instead.items():
            if part in path:
                return answer
        match [method, *path.strip("/").split("/")]:
            case ["POST", *_, "sandboxes"]:
                assert headers["x-api-key"] == KEY
                name = self.keys.setdefault(headers["idempotency-key"], f"sandbox{len(self.keys)}")
                self.kernels.setdefault(name, {})
                return 201, self.told(name)
            case ["POST", *_, name, "connect"]:
                return (200, self.told(name)) if name in self.kernels else (404, b'{"code": 404, "message": "none"}')
            case ["POST", *_, name, "pause"]:
                self.paused.append(name)
                return 204, b""
            case ["DELETE", *_, name]:
                return (204, b"") if self.kernels.pop(name, None) is not None else (404, b'{"code":404,"message":"no"}')
            case ["POST", "execute"]:
                return 200, executed(self.kernels[headers["e2b-sandbox-id"]], body["code"])
        raise AssertionError(f"{method} {path}")

    def told(self, name: str) -> bytes:
        sandbox = Sandbox("code-interpreter-v1", name, "client", "0.6.2", envd_access_token="token-of-envd")  # noqa: S106
        return json.dumps(sandbox.to_dict()).encode()


@pytest.fixture
def service() -> Iterator[tuple[E2B, str]]:
    e2b = E2B()
    with served(e2b.answer) as url:
        yield e2b, url


@pytest.fixture
def e2b(service: tuple[E2B, str]) -> E2B:
    return service[0]


@pytest.fixture
def backend(service: tuple[E2B, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> E2BBackend:
    monkeypatch.chdir(tmp_path)
    url = service[1]
    return E2BBackend(
        KEY, folder=str(tmp_path / "work"), options={"api_url": url, "sandbox_url": url, "http_version": "1.1"}
    )


def test_a_sandbox_is_created_once_per_key_and_without_the_internet(e2b: E2B, backend: E2BBackend) -> None:
    one, again = backend.open(None, "a"), backend.open(None, "a")
    assert (one.id, again.id, one.fresh) == ("sandbox0", "sandbox0", True)
    (created, _) = [body for _, path, body in e2b.asked if path.endswith("/sandboxes")]
    assert (created["allow_internet_access"], created["timeout"]) == (False, 300)
    assert created["templateID"] == "code-interpreter-v1"
    assert backend.open(one.id, "").fresh is False


def test_state_files_and_a_wait(e2b: E2B, backend: E2BBackend) -> None:
    execution = Execution(CodeSource(backend))
    code = "from pathlib import Path; x = 5; Path('d').mkdir(); Path('d/a').write_bytes(bytes([255]))"
    outcome = execution.call(f"{code}; Path('l').symlink_to('/etc/passwd')")
    assert outcome.content == {"output": "", "files": ["d/a"]}
    assert [execution.store.get(each, 9) for each in outcome.references] == [b"\xff"]
    execution.source.suspend(execution.memory)
    assert e2b.paused == ["sandbox0"]
    assert execution.call("print(x)").content == {"output": "5\n"}
    execution.source.close(execution.memory)
    assert e2b.kernels == {}
    outcome = execution.call("from pathlib import Path; print(Path('d/a').read_bytes(), 'x' in dir())")
    assert outcome.content == {
        "output": "b'\\xff' False\n",
        "note": "This is a new session: variables of earlier calls are gone, its files are back: d/a.",
    }


def test_an_exception_of_the_code(backend: E2BBackend) -> None:
    outcome = Execution(CodeSource(backend)).call("print('before'); 1/0")
    assert outcome.content == {"error": "ZeroDivisionError: division by zero", "output": "before\n"}


@pytest.mark.parametrize("answer", [(500, b"oh"), (502, b"gone"), (200, b"no json\n"), (200, b'{"no": "type"}\n')])
def test_answers_that_are_none(e2b: E2B, backend: E2BBackend, answer: tuple[int, bytes]) -> None:
    session = backend.open(None, "a")
    e2b.instead["execute"] = answer
    with pytest.raises(SandboxError, match="gave no usable answer; the code may have run") as caught:
        session.run("1", 9)
    assert caught.value.unknown
    assert KEY not in str(caught.value)
    assert len([path for _, path, _ in e2b.asked if path == "/execute"]) == 2


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (401, SandboxUnavailableError, "E2B refused the key: set E2B_API_KEY, or api_key of the backend."),
        (429, SandboxError, "E2B is busy (429), the code was not run: try again in a while."),
        (500, SandboxError, "E2B failed (500)."),
    ],
)
def test_refusals(e2b: E2B, backend: E2BBackend, status: int, kind: type[Exception], text: str) -> None:
    e2b.instead["sandboxes"] = (status, json.dumps({"code": status, "message": KEY}).encode())
    with pytest.raises(kind) as caught:
        backend.open(None, "a")
    assert str(caught.value) == text


def test_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "e2b_code_interpreter", None)
    with pytest.raises(SandboxUnavailableError) as caught:
        E2BBackend(KEY)
    assert str(caught.value) == "Code in E2B takes its SDK: pip install 'lambda-llm[agent-e2b]'."
