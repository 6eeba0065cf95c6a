"""A configuration that is replaced while requests run."""

import asyncio
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lambda_llm.router import live as module
from lambda_llm.router.budget import Amount
from lambda_llm.router.live import Live
from lambda_llm.router.source import FileSource, Reloading
from support.budgets import Book
from support.event_streams import JSON, SILENCE, SSE, Answer, answering
from support.router import written
from support.routing import BODY, THROTTLED, WHOLE, Routing, configuration, delta, routing, sse
from support.servers import until

CHAT = "/v1/chat/completions"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request looks for another configuration, and waits for it."""
    monkeypatch.setattr(module, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.0)


def backend_of(router: Routing) -> str:
    with router.client() as asking:
        answer = asking.post(CHAT, json=BODY)
        assert answer.status_code == 200, answer.text
        return answer.headers["x-lambda-llm-backend"]


def renamed(written: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    return json.loads(json.dumps(written).replace(f'"{old}"', f'"{new}"'))  # type: ignore[no-any-return]


def test_the_next_request_has_the_new_configuration_and_the_running_one_keeps_its_own(tmp_path: Path) -> None:
    book = Book()
    slow = Answer([*sse(delta("Hel"), done=False), SILENCE], headers=SSE)
    with answering(slow) as old, answering(WHOLE) as new, routing(tmp_path, configuration(old.url), book) as router:
        with router.client() as asking, asking.stream("POST", CHAT, json={**BODY, "stream": True}) as running:
            lines = running.iter_lines()
            assert next(lines).startswith("data: ")
            router.path.write_text(json.dumps(renamed(configuration(new.url), "backend-0", "another")))
            assert backend_of(router) == "another"
            assert not old.left.wait(0.2)  # its client has not left
        assert old.left.wait(60)
    assert len(book.charged) == 2


@pytest.mark.parametrize("wrong", ["{", "{}", json.dumps({"version": 2}), ""])
def test_a_wrong_configuration_replaces_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture, wrong: str) -> None:
    with answering(WHOLE) as server, routing(tmp_path, configuration(server.url), Book()) as router:
        assert backend_of(router) == "backend-0"
        router.path.write_text(wrong)
        with caplog.at_level(logging.ERROR):
            assert backend_of(router) == "backend-0"
        assert "stays in use: The configuration" in caplog.text
        router.path.unlink()
        assert backend_of(router) == "backend-0"


def test_a_backend_that_stays_keeps_its_health(tmp_path: Path) -> None:
    with (
        answering(THROTTLED) as full,
        answering(WHOLE) as server,
        routing(tmp_path, configuration(full.url, server.url), Book()) as router,
    ):
        assert backend_of(router) == "backend-1"
        router.path.write_text(json.dumps(configuration(full.url, server.url, day={"tokens": 10_000})))
        assert backend_of(router) == "backend-1"
        assert len(full.asked) == 1  # it had asked for some seconds
        changed = configuration(full.url, server.url)
        changed["backends"]["backend-0"]["model"] = "another"
        router.path.write_text(json.dumps(changed))
        assert backend_of(router) == "backend-1"
        assert len(full.asked) == 2  # nothing is known of another one


def test_rights_and_prices_are_those_of_the_new_configuration(tmp_path: Path) -> None:
    book = Book()
    with answering(WHOLE) as server, routing(tmp_path, configuration(server.url), book) as router:
        assert backend_of(router) == "backend-0"
        dearer = configuration(server.url)
        dearer["backends"]["backend-0"]["price"] = {"input": 1_000_000, "output": 0}
        router.path.write_text(json.dumps(dearer))
        assert backend_of(router) == "backend-0"
        assert list(book.charged.values()) == [("acme", Amount(9, 17)), ("acme", Amount(9, 7_000_000))]
        router.path.write_text(json.dumps({**dearer, "tenants": {"other": {"models": ["*"]}}}))
        with router.client() as asking:
            assert asking.post(CHAT, json=BODY).status_code == 403


def test_after_closing_everything_it_begins_anew(tmp_path: Path) -> None:
    with answering(Answer(WHOLE.pieces, headers=JSON)) as server:
        with routing(tmp_path, configuration(server.url), Book()) as router:
            assert backend_of(router) == "backend-0"
            router.run(router.live.close())
            assert backend_of(router) == "backend-0"
        assert len(server.asked) == 2


def test_a_restored_router_has_the_newest_configuration_from_its_first_request_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However old its snapshot is, and whether its clock went on or not."""
    monkeypatch.setattr(module, "REFRESH_SECONDS", 60.0)
    monkeypatch.setattr(module, "WAIT_SECONDS", 300.0)
    with answering(WHOLE) as server, routing(tmp_path, configuration(server.url), Book()) as router:
        assert backend_of(router) == "backend-0"
        router.path.write_text(json.dumps(renamed(configuration(server.url), "backend-0", "another")))
        assert backend_of(router) == "backend-0"
        router.run(router.live.close())
        assert backend_of(router) == "another"


def test_what_is_opened_after_closing_is_closed_at_its_end(tmp_path: Path) -> None:
    """A snapshot hook while a request runs, which then asks another backend."""
    with answering(Answer([SILENCE])) as slow, answering(WHOLE) as server:
        given = configuration(slow.url, server.url)
        with routing(tmp_path, given, Book()) as router, ThreadPoolExecutor(1) as pool:
            asked = pool.submit(backend_of, router)
            until(lambda: slow.asked)
            (current,) = router.live._in_use  # noqa: SLF001 - which backends it made
            closed: list[str] = []
            for name, backend in current.backends.items():
                noting_close(backend, name, closed)
            router.run(router.live.close())
            assert closed[:2] == ["backend-0", "backend-1"]  # the request may have ended meanwhile
            assert asked.result() == "backend-1"
            assert closed == ["backend-0", "backend-1"] * 2


def noting_close(backend: Any, name: str, closed: list[str]) -> None:
    """Have a backend note when it is closed."""
    close = backend.close

    async def told() -> None:
        closed.append(name)
        await close()

    backend.close = told


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_PROFILE"])
def test_a_configuration_that_can_t_be_used_here_replaces_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It needs credentials, and there are none, or none that can be read; it is told once."""
    for each in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for each in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(each, str(tmp_path / "nothing"))
    monkeypatch.setenv(name, "nobody")
    with answering(WHOLE) as server, routing(tmp_path, configuration(server.url), Book()) as router:
        assert backend_of(router) == "backend-0"
        signed = configuration(server.url)
        signed["backends"]["backend-0"]["auth"] = {"kind": "sigv4", "service": "lambda", "region": "us-east-1"}
        router.path.write_text(json.dumps(signed))
        for _ in range(2):
            assert backend_of(router) == "backend-0"
        assert caplog.text.count("stays in use instead of") == 1
        router.path.write_text(json.dumps(renamed(configuration(server.url), "backend-0", "another")))
        assert backend_of(router) == "another"


def test_whatever_happens_to_the_source_the_configuration_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(WHOLE) as server, routing(tmp_path, configuration(server.url), Book()) as router:
        assert backend_of(router) == "backend-0"
        monkeypatch.setattr(FileSource, "read", lambda _: 1 / 0)
        assert backend_of(router) == "backend-0"
    assert "stays in use" in caplog.text


class Measured:
    """Utilization that somebody has measured."""

    def __init__(self) -> None:
        self.due = True
        self.asked: list[dict[str, str]] = []

    def refresh(self, functions: dict[str, str]) -> dict[str, float]:
        self.due = False
        self.asked.append(functions)
        return {"small": 0.5}


async def test_what_is_measured_reaches_the_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "unused")
    path = tmp_path / "router.json"
    path.write_text(json.dumps({**written(), "backends": {"small": written()["backends"]["small"]},
                                "models": {"chat": {"backends": ["small"]}},
                                "tenants": {"*": {"models": ["*"]}}}))  # fmt: skip
    measured = Measured()
    live = Live(Reloading(FileSource(path)), Book(), utilization=measured)  # type: ignore[arg-type]
    async with asyncio.timeout(60), live.request() as current:
        while "small" not in current.dispatcher.health:  # noqa: ASYNC110 - a thread measures
            await asyncio.sleep(0.01)
    assert current.dispatcher.health["small"].utilization == 0.5
    assert measured.asked == [{"small": written()["backends"]["small"]["function"]}]
    await live.close()
