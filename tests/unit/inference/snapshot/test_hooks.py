"""What happens around a snapshot, reached by HTTP as the web adapter does it."""

import logging
import weakref
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from logging.handlers import MemoryHandler

import httpx2
import pytest
from fastapi import FastAPI

from lambda_llm.engine.engine import Engine
from lambda_llm.inference.errors import CPUChangedError
from lambda_llm.inference.snapshot import cpu
from lambda_llm.inference.snapshot.hooks import SnapshotHooks
from lambda_llm.web.adapter import AFTER_PATH, BEFORE_PATH, add_hook_routes
from support.answers import EXPECTED, answer

PATHS = {BEFORE_PATH: "/snapshot/before", AFTER_PATH: "/snapshot/after"}


@asynccontextmanager
async def serving(hooks: SnapshotHooks, environment: Mapping[str, str]) -> AsyncIterator[httpx2.AsyncClient]:
    app = FastAPI()
    add_hook_routes(app, hooks, environment)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://server") as client:
        yield client


def on_another_cpu(monkeypatch: pytest.MonkeyPatch, features: set[str]) -> None:
    monkeypatch.setattr(cpu, "features", lambda: frozenset(features))


async def test_both_hooks_answer_without_content_and_leave_the_model_as_it_was(engine: Engine) -> None:
    expected = answer(engine)
    async with serving(SnapshotHooks(engine.context), PATHS) as adapter:
        for path in PATHS.values():
            response = await adapter.post(path)
            assert (response.status_code, response.content) == (204, b"")
            assert (await adapter.get(path)).status_code == 405
    assert answer(engine) == expected


async def test_without_paths_there_are_no_hooks_to_call(engine: Engine) -> None:
    async with serving(SnapshotHooks(engine.context), {AFTER_PATH: ""}) as adapter:
        for path in (*PATHS.values(), "/"):
            assert (await adapter.post(path)).status_code == 404


async def test_a_restore_on_a_lesser_cpu_fails_with_a_sentence(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    on_another_cpu(monkeypatch, {"asimd", "sve"})
    async with serving(SnapshotHooks(engine.context), PATHS) as adapter:
        assert (await adapter.post(PATHS[BEFORE_PATH])).status_code == 204
        on_another_cpu(monkeypatch, {"asimd"})
        response = await adapter.post(PATHS[AFTER_PATH])
        assert response.status_code == 500
        assert response.text.startswith("The snapshot was taken on a CPU with sve, which this one lacks")
        assert response.text in caplog.messages
        on_another_cpu(monkeypatch, {"asimd", "sve", "sve2"})
        assert (await adapter.post(PATHS[AFTER_PATH])).status_code == 204


def test_the_cpu_counts_on_which_the_model_was_loaded_even_when_no_one_announced_the_snapshot(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_another_cpu(monkeypatch, {"i8mm"})
    restored = SnapshotHooks(engine.context)
    on_another_cpu(monkeypatch, set())
    with pytest.raises(CPUChangedError, match="i8mm"):
        restored.after_restore()


def test_the_pages_are_read_beside_what_comes_next(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    expected = answer(engine)
    hooks = SnapshotHooks(engine.context)
    assert hooks.prefetch is None
    hooks.before_snapshot()
    hooks.after_restore()
    assert EXPECTED in answer(engine) == expected
    assert hooks.prefetch
    assert hooks.prefetch.wait()
    assert any(message.startswith("read ") for message in caplog.messages)


class Connection:
    """A resource that tells what it is asked, and fails when it is told to."""

    def __init__(self, said: list[str], failing: str = "") -> None:
        self._said = said
        self._failing = failing

    def before_snapshot(self) -> None:
        self._say("closed")

    def after_restore(self) -> None:
        self._say("opened")

    def _say(self, what: str) -> None:
        if what == self._failing:
            raise OSError("no line")
        self._said.append(what)


async def test_resources_are_put_away_and_made_ready_again(engine: Engine) -> None:
    said: list[str] = []
    async with serving(SnapshotHooks(engine.context, [Connection(said), Connection(said)]), PATHS) as adapter:
        assert (await adapter.post(PATHS[BEFORE_PATH])).status_code == 204
        assert said == ["closed"] * 2
        assert (await adapter.post(PATHS[AFTER_PATH])).status_code == 204
        assert said == ["closed"] * 2 + ["opened"] * 2


@pytest.mark.parametrize(("failing", "path"), [("closed", BEFORE_PATH), ("opened", AFTER_PATH)])
async def test_a_resource_that_fails_is_no_success(
    engine: Engine, caplog: pytest.LogCaptureFixture, failing: str, path: str
) -> None:
    async with serving(SnapshotHooks(engine.context, [Connection([], failing)]), PATHS) as adapter:
        response = await adapter.post(PATHS[path])
    assert response.status_code == 500
    assert "no line" in response.text
    assert any("no line" in (record.exc_text or record.getMessage()) for record in caplog.records)


def test_nothing_is_held_back_by_a_handler_of_the_log(engine: Engine) -> None:
    written: list[logging.LogRecord] = []

    class Target(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(record)

    held = MemoryHandler(1000, flushLevel=logging.CRITICAL + 1, target=Target())
    somewhere = logging.getLogger("somewhere")
    somewhere.addHandler(held)
    try:
        somewhere.error("half a line")
        assert written == []
        SnapshotHooks(engine.context).before_snapshot()
        assert [record.getMessage() for record in written] == ["half a line"]
    finally:
        somewhere.removeHandler(held)
        held.close()


def test_what_is_garbage_is_gone_before_the_snapshot(engine: Engine) -> None:
    class Secret:
        """In a circle, as clients of AWS are."""

        def __init__(self) -> None:
            self.own = self

    gone = weakref.ref(Secret())
    SnapshotHooks(engine.context).before_snapshot()
    assert gone() is None
