"""OpenAI's JSON as tests write and read it."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
from fastapi import FastAPI

from lambda_llm.engine.engine import Engine
from lambda_llm.serving import metrics
from lambda_llm.serving.app import create_app
from lambda_llm.serving.service import ServingOptions
from support.answers import QUESTION, user

PATH = "/v1/chat/completions"
MODEL_ID = "demo"


def made(engine: Engine, *, with_metrics: bool = False, **changes: Any) -> FastAPI:
    """The application over `engine`; `changes` are fields of `ServingOptions`."""
    app = create_app(engine, ServingOptions(MODEL_ID, **changes))
    if with_metrics:
        metrics.install(app)
    return app


@contextmanager
def answering(app: FastAPI) -> Iterator[Callable[[str, str | bytes], httpx2.Response]]:
    """Run an application for a test that has no event loop of its own; gives what posts JSON to a path."""
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    client = httpx2.AsyncClient(transport=transport, base_url="http://server")
    lifespan = app.router.lifespan_context(app)
    with asyncio.Runner() as runner:
        runner.run(lifespan.__aenter__())
        try:
            yield lambda path, content: runner.run(
                client.post(path, content=content, headers={"content-type": "application/json"})
            )
        finally:
            runner.run(client.aclose())
            runner.run(lifespan.__aexit__(None, None, None))


def body(question: str = QUESTION, **changes: Any) -> dict[str, Any]:
    """A request for the greedy answer; a value of None leaves a field out."""
    given = {"model": MODEL_ID, "messages": [user(question)], "temperature": 0} | changes
    return {name: value for name, value in given.items() if value is not None}


def events(stream: str) -> list[Any]:
    """The data of each server-sent event, in order; `[DONE]` as it is, and no comments."""
    parts = [part for part in stream.split("\n\n") if not part.startswith(":")]
    assert parts.pop() == "", "every event ends with an empty line"
    assert all(part.startswith("data: ") for part in parts)
    data = [part.removeprefix("data: ") for part in parts]
    return [each if each == "[DONE]" else json.loads(each) for each in data]


def text_of(chunks: list[Any]) -> str:
    """What a stream's chunks add up to."""
    choices = [choice for chunk in chunks if chunk != "[DONE]" for choice in chunk["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)
