"""What happens around a snapshot, reached by HTTP as the web adapter does it."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx2
import pytest
from fastapi import FastAPI

from lambda_llm.engine.model import Model
from lambda_llm.lifecycle import cpu, hooks
from lambda_llm.lifecycle.errors import CPUChangedError
from lambda_llm.lifecycle.hooks import SnapshotHooks
from lambda_llm.lifecycle.serve import AFTER_PATH, BEFORE_PATH, add_hook_routes
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


async def test_both_hooks_answer_without_content_and_leave_the_model_as_it_was(model: Model) -> None:
    expected = answer(model)
    async with serving(SnapshotHooks(model), PATHS) as adapter:
        for path in PATHS.values():
            response = await adapter.post(path)
            assert (response.status_code, response.content) == (204, b"")
            assert (await adapter.get(path)).status_code == 405
    assert answer(model) == expected


async def test_without_paths_there_are_no_hooks_to_call(model: Model) -> None:
    async with serving(SnapshotHooks(model), {AFTER_PATH: ""}) as adapter:
        for path in (*PATHS.values(), "/"):
            assert (await adapter.post(path)).status_code == 404


async def test_a_restore_on_a_lesser_cpu_fails_with_a_sentence(
    model: Model, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    on_another_cpu(monkeypatch, {"asimd", "sve"})
    async with serving(SnapshotHooks(model), PATHS) as adapter:
        assert (await adapter.post(PATHS[BEFORE_PATH])).status_code == 204
        on_another_cpu(monkeypatch, {"asimd"})
        response = await adapter.post(PATHS[AFTER_PATH])
        assert response.status_code == 500
        assert response.text.startswith("The snapshot was taken on a CPU with sve, which this one lacks")
        assert response.text in caplog.messages
        on_another_cpu(monkeypatch, {"asimd", "sve", "sve2"})
        assert (await adapter.post(PATHS[AFTER_PATH])).status_code == 204


def test_the_cpu_counts_on_which_the_model_was_loaded_even_when_no_one_announced_the_snapshot(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_another_cpu(monkeypatch, {"i8mm"})
    restored = SnapshotHooks(model)
    on_another_cpu(monkeypatch, set())
    with pytest.raises(CPUChangedError, match="i8mm"):
        restored.after_restore()


def test_reading_pages_ends_in_time(
    model: Model, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class AtOnce:
        """A timer that has run out when it starts."""

        def __init__(self, _: float, function) -> None:
            self.start = function
            self.cancel = lambda: None

    caplog.set_level(logging.INFO)
    expected = answer(model)
    restored = SnapshotHooks(model)
    with monkeypatch.context() as patched:
        patched.setattr(hooks.threading, "Timer", AtOnce)
        restored.after_restore()
    assert "restored: pages read for 5 s" in caplog.messages
    restored.after_restore()
    assert "restored: all pages read" in caplog.messages
    assert EXPECTED in expected
    assert answer(model) == expected
