"""Blaxel's SDK against its API on loopback: answers are of the SDK's own types, and lines as a kernel streams them."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from blaxel.core import SyncCodeInterpreter, client
from blaxel.core.authentication import auth
from blaxel.core.client.models import Metadata, Sandbox, SandboxSpec
from blaxel.core.client.models.error import Error
from blaxel.core.client.models.sandbox_error import SandboxError as CreationError
from blaxel.core.common.settings import settings
from blaxel.core.sandbox.names import is_valid_sandbox_name

from lambda_llm.agent.errors import AgentDefinitionError, SandboxError, SandboxUnavailableError
from lambda_llm.agent.tools.code import notebook
from lambda_llm.agent.tools.code.blaxel import BlaxelBackend
from lambda_llm.agent.tools.code.source import CodeSource
from support.kernel import executed, served
from unit.agent.tools.code.test_source import Execution

KEY = "bl_" + "0" * 40
BEARER = f"Bearer {KEY}"


class Blaxel:
    """Sandboxes by name, each with a kernel's names."""

    def __init__(self) -> None:
        self.url = ""
        self.kernels: dict[str, dict[str, Any]] = {}
        self.statuses: dict[str, str] = {}
        self.asked: list[tuple[str, str, Any]] = []
        self.instead: dict[str, tuple[int, bytes]] = {}

    def answer(self, method: str, path: str, headers: Any, body: Any) -> tuple[int, bytes]:
        assert (headers["x-blaxel-authorization"], headers["x-blaxel-workspace"]) == (BEARER, "space")
        self.asked.append((method, path, body))
        for part, answer in self.instead.items():
            if part in path:
                return answer
        match [method, *path.strip("/").split("/")]:
            case ["POST", "sandboxes"]:
                sandbox: Any = Sandbox.from_dict(body)
                assert is_valid_sandbox_name(sandbox.metadata.name)
                assert unknown(sandbox) == []
                self.kernels.setdefault(sandbox.metadata.name, {})
                return 200, self.told(sandbox.metadata.name)
            case ["GET", "sandboxes", name]:
                return (200, self.told(name)) if name in self.kernels else (404, error(404))
            case ["DELETE", "sandboxes", name]:
                return (200, self.told(name)) if self.kernels.pop(name, None) is not None else (404, error(404))
            case ["POST", "run", name, "port", "8888", "execute"]:
                return 200, executed(self.kernels[name], body["code"])
        raise AssertionError(f"{method} {path}")

    def told(self, name: str) -> bytes:
        sandbox = Sandbox(Metadata(name, url=f"{self.url}/run/{name}"), SandboxSpec()).to_dict()
        return json.dumps({**sandbox, "status": self.statuses.get(name, "DEPLOYED")}).encode()


def unknown(asked: Any) -> list[str]:
    """Fields that the SDK's types have no name for, in any depth."""
    if isinstance(asked, list):
        return [name for each in asked for name in unknown(each)]
    if not hasattr(asked, "additional_properties"):
        return []
    below = [name for each in type(asked).__slots__ for name in unknown(getattr(asked, each, None))]
    return [*asked.additional_properties, *below]


def error(status: int) -> bytes:
    return json.dumps(Error(KEY, code=status, message=KEY).to_dict()).encode()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Blaxel]:
    service = Blaxel()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BL_API_KEY", KEY)
    monkeypatch.setenv("BL_WORKSPACE", "space")
    with served(service.answer) as service.url:
        credentials = auth("prod", service.url)
        monkeypatch.setattr(settings, "auth", credentials)
        client.with_auth(credentials)
        client.with_base_url(service.url)
        # The SDK keeps one HTTP client, with the authentication of its first request.
        monkeypatch.setattr(client, "_client", None)
        yield service
        client.get_httpx_client().close()


@pytest.fixture
def backend(service: Blaxel, tmp_path: Path) -> BlaxelBackend:
    assert service.url
    return BlaxelBackend(internet=True, region="eu-fra-1", folder=str(tmp_path / "work"))


def test_a_sandbox_is_created_once_per_key(service: Blaxel, backend: BlaxelBackend) -> None:
    one, again = backend.open(None, "a"), backend.open(None, "a")
    assert one.id == again.id
    assert one.fresh
    assert list(service.kernels) == [one.id]
    (created, _) = [body for _, path, body in service.asked if path == "/sandboxes"]
    spec = created["spec"]
    assert {each: spec[each] for each in ("lifecycle", "region", "runtime")} == {
        "lifecycle": {"expirationPolicies": [{"type": "ttl-idle", "value": "1800s", "action": "delete"}]},
        "region": "eu-fra-1",
        "runtime": {
            "image": SyncCodeInterpreter.DEFAULT_IMAGE,
            "memory": 4096,
            "ports": SyncCodeInterpreter.DEFAULT_PORTS,
        },
    }
    assert "network" not in spec
    assert backend.open(one.id, "").fresh is False


def test_the_internet_is_a_choice(service: Blaxel, tmp_path: Path) -> None:
    for choice in ({}, {"internet": True, "domains": ("pypi.org",)}):
        with pytest.raises(AgentDefinitionError, match="reaches the internet unless its domains are listed"):
            BlaxelBackend(**choice)  # type: ignore[arg-type]
    backend = BlaxelBackend(domains=("pypi.org",), region="eu-fra-1", folder=str(tmp_path / "work"))
    backend.open(None, "a")
    assert service.asked[0][2]["spec"]["network"] == {
        "firewall": {"rulesets": ["proxy"]},
        "proxy": {"allowedDomains": ["pypi.org"], "routing": []},
    }


def test_it_idles_a_minute_at_least() -> None:
    with pytest.raises(AgentDefinitionError, match="idles at least 60 s, not 59"):
        BlaxelBackend(internet=True, idle_seconds=59)


def test_state_and_files(service: Blaxel, backend: BlaxelBackend) -> None:
    execution = Execution(CodeSource(backend))
    code = "from pathlib import Path; x = 5; Path('d').mkdir(); Path('d/a').write_bytes(bytes([255]))"
    outcome = execution.call(f"{code}; Path('l').symlink_to('/etc/passwd')")
    assert outcome.content == {"output": "", "files": ["d/a"]}
    assert [execution.store.get(each, 9) for each in outcome.references] == [b"\xff"]
    assert execution.call("print(x)").content == {"output": "5\n"}
    execution.source.close(execution.memory)
    execution.source.close(execution.memory)
    assert service.kernels == {}
    outcome = execution.call("from pathlib import Path; print(Path('d/a').read_bytes(), 'x' in dir())")
    assert outcome.content == {
        "output": "b'\\xff' False\n",
        "note": "This is a new session: variables of earlier calls are gone, its files are back: d/a.",
    }


@pytest.mark.parametrize("status", ["TERMINATED", "DELETING", "FAILED"])
def test_a_record_of_a_sandbox_that_is_gone(service: Blaxel, backend: BlaxelBackend, status: str) -> None:
    one = backend.open(None, "a")
    service.statuses[one.id] = status
    assert backend.find(one.id) is None


def test_an_exception_of_the_code(backend: BlaxelBackend) -> None:
    outcome = Execution(CodeSource(backend)).call("print('before'); 1/0")
    assert outcome.content == {"error": "ZeroDivisionError: division by zero", "output": "before\n"}


def test_code_that_prints_without_end(service: Blaxel, backend: BlaxelBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    session = backend.open(None, "a")
    line = json.dumps({"type": "stdout", "text": "x" * 10, "timestamp": 1}).encode() + b"\n"
    service.instead["execute"] = (200, line * 11)
    assert session.run("1", 9).stdout == "x" * 110
    with monkeypatch.context() as patch:
        clock = iter([0.0, 5.0, 10.0])
        patch.setattr(notebook, "time", SimpleNamespace(monotonic=lambda: next(clock)))
        with pytest.raises(SandboxError, match="took more than 9 s; it ran") as caught:
            session.run("1", 9)
    assert caught.value.unknown
    monkeypatch.setattr(notebook, "STREAM_MOST", 100)
    with pytest.raises(SandboxError, match="printed more than 100 characters; it ran") as caught:
        session.run("1", 9)
    assert caught.value.unknown


@pytest.mark.parametrize("answer", [(500, KEY.encode()), (502, b"gone"), (200, b'{"no": "type"}\n'), (200, b"[1]\n")])
def test_answers_that_are_none(service: Blaxel, backend: BlaxelBackend, answer: tuple[int, bytes]) -> None:
    session = backend.open(None, "a")
    service.instead["execute"] = answer
    with pytest.raises(SandboxError, match="gave no usable answer; the code may have run") as caught:
        session.run("1", 9)
    assert caught.value.unknown
    assert KEY not in str(caught.value)
    assert len([path for _, path, _ in service.asked if path.endswith("/execute")]) == 2


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (401, SandboxUnavailableError, "Blaxel refused the key: set BL_API_KEY and BL_WORKSPACE."),
        (429, SandboxError, "Blaxel is busy (429), the code was not run: try again in a while."),
        (500, SandboxError, "Blaxel failed (500)."),
        (503, SandboxError, "Blaxel failed (503)."),
    ],
)
def test_refusals(service: Blaxel, backend: BlaxelBackend, status: int, kind: type[Exception], text: str) -> None:
    said = CreationError("CODE", KEY, status_code=status).to_dict()
    service.instead["sandboxes"] = (status, json.dumps(said).encode())
    with pytest.raises(kind) as caught:
        backend.open(None, "a")
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (403, SandboxUnavailableError, "Blaxel refused the key: set BL_API_KEY and BL_WORKSPACE."),
        (404, SandboxError, "The session has ended: Blaxel does not know it."),
        (429, SandboxError, "Blaxel is busy (429), the code was not run: try again in a while."),
    ],
)
def test_refusals_of_a_run(
    service: Blaxel, backend: BlaxelBackend, status: int, kind: type[Exception], text: str
) -> None:
    session = backend.open(None, "a")
    service.instead["execute"] = (status, KEY.encode())
    with pytest.raises(kind) as caught:
        session.run("1", 9)
    assert str(caught.value) == text
    assert not getattr(caught.value, "unknown", False)


def test_without_a_key(
    service: Blaxel, backend: BlaxelBackend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("BL_API_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    client.with_auth(auth("prod", service.url))
    monkeypatch.setattr(client, "_client", None)
    with pytest.raises(SandboxUnavailableError, match=r"^Blaxel refused the key: set BL_API_KEY and BL_WORKSPACE\.$"):
        backend.open(None, "a")
    assert service.asked == []


def test_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "blaxel.core", None)
    with pytest.raises(SandboxUnavailableError) as caught:
        BlaxelBackend(internet=True)
    assert str(caught.value) == "Code in Blaxel takes its SDK: pip install 'lambda-llm[agent-blaxel]'."
