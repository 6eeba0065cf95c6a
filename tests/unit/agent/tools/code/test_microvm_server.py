"""The server of the image, as its own process's module and over HTTP, without isolation: the code is this test's."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from lambda_llm.agent.tools.code import microvm_server


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    server = microvm_server.server(str(tmp_path / "work"), "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_state_is_kept_and_told(url: str) -> None:
    assert httpx2.get(url).json() == {"ready": True, "used": False}
    assert httpx2.post(f"{url}/run", json={"code": "x = 20", "seconds": 9}).json()["ok"]
    said = httpx2.post(f"{url}/run", json={"code": "print(x)\nx + 1", "seconds": 9}).json()
    assert (said["stdout"], said["value"], said["error"]) == ("20\n", "21", "")
    assert httpx2.get(url).json() == {"ready": True, "used": True}


@pytest.mark.parametrize("code", ["import os; os._exit(0)", "import os; os.write(4, b'\\0' * 8)"])
def test_code_that_ends_its_interpreter_ends_no_server(url: str, code: str) -> None:
    assert httpx2.post(f"{url}/run", json={"code": code, "seconds": 9}).json() == {"ended": True}
    assert httpx2.get(url).json() == {"ready": True, "used": False}
    assert httpx2.post(f"{url}/run", json={"code": "1 + 1", "seconds": 9}).json()["value"] == "2"


def test_code_that_does_not_end(url: str) -> None:
    deaf = "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True: pass"
    assert httpx2.post(f"{url}/run", json={"code": deaf, "seconds": 0.1}, timeout=30).json() == {"ended": True}


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"seconds": "x"}'])
def test_requests_that_are_none(url: str, body: bytes) -> None:
    answer = httpx2.post(f"{url}/run", content=body)
    assert (answer.status_code, answer.json()) == (400, {"refused": "The request is not what this server takes."})
    assert httpx2.post(f"{url}/run", json={"code": "1", "seconds": 9}).json()["ok"]


def test_a_request_that_is_too_long(url: str) -> None:
    answer = httpx2.post(f"{url}/run", content=b" " * (17 << 20))
    assert answer.status_code == 413


def test_what_there_is_not(url: str) -> None:
    assert httpx2.post(f"{url}/rm", json={}).json() == {"refused": "There is no operation rm."}
