"""The lines of an inference function: what was answered, how fast, for whom and for how much."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.types import Message, Receive, Scope

from lambda_llm.cost import prices
from lambda_llm.engine import backend
from lambda_llm.engine.generate import Generation
from lambda_llm.inference.figures import Figures, RequestLines, always, through_the_adapter
from lambda_llm.inference.init import Environment, init
from lambda_llm.inference.settings import Settings
from lambda_llm.inference.snapshot import cpu
from lambda_llm.inference.snapshot.hooks import SnapshotHooks
from lambda_llm.serving.app import create_app
from lambda_llm.telemetry import emf, spans
from lambda_llm.web.correlation import Correlation
from lambda_llm.web.front_door import FrontDoor
from support import emf_schema
from support.answers import LONG_QUESTION, QUESTION, user
from support.chat import PATH
from support.encoders import ENCODERS

MODEL = "lambda-llm-demo"
WORD = "sesame"


@pytest.fixture(scope="module")
def environment(demo_model: Path) -> Iterator[Environment]:
    environment = init(Settings.load(model=str(demo_model), threads=1, context=1024))
    yield environment
    environment.engine.close()


@pytest.fixture(autouse=True)
def _on_lambda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "10240")


@pytest.fixture
async def app(environment: Environment) -> AsyncIterator[FastAPI]:
    app = create_app(environment.engine, environment.serving)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
def figures(environment: Environment, app: FastAPI) -> Figures:
    return Figures(environment, app)


@pytest.fixture
async def client(app: FastAPI, figures: Figures) -> AsyncIterator[httpx2.AsyncClient]:
    def context(scope: Scope) -> Any:
        given = dict(scope["headers"]).get(b"x-context")
        return json.loads(given) if given else {}

    door = Correlation(RequestLines(FrontDoor(app, context, tenants=False), figures, always))
    transport = httpx2.ASGITransport(door, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://server") as client:
        yield client


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    def lines() -> list[dict[str, Any]]:
        return [emf_schema.check(line) for line in capsys.readouterr().out.splitlines()]

    return lines


Written = Callable[[], list[dict[str, Any]]]


def asked(question: str = f"{QUESTION} {WORD}", **changes: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [user(question)], "temperature": 0, "max_tokens": 8} | changes


async def test_an_answer_has_its_tokens_times_and_price(client: httpx2.AsyncClient, written: Written) -> None:
    answer = await client.post(PATH, json=asked(), headers={"x-request-id": "mine", "x-lambda-llm-application": "shop"})
    usage = answer.json()["usage"]
    (line,) = written()
    assert line["InputTokens"] == usage["prompt_tokens"]
    assert line["OutputTokens"] == usage["completion_tokens"] == 8
    assert line["CachedTokens"] == usage["prompt_tokens_details"]["cached_tokens"]
    assert 0 < line["FirstTokenSeconds"] < line["seconds"]
    assert line["DecodeRate"] > 0
    assert line["prefill_rate"] > 0
    assert 0 <= line["queue_seconds"] < line["FirstTokenSeconds"]
    assert line["Dollars"] == pytest.approx(
        prices.invocation(line["seconds"], restored=False, memory_mb=10240, region="eu-west-1")
    )
    assert (line["Errors"], line["Restores"], line["restored"], line["stream"]) == (0, 0, False, False)
    assert (line["status"], line["finish_reason"], line["operation"]) == (200, "length", PATH)
    assert (line["model"], line["cpu"], line["cpu_variant"]) == (MODEL, cpu.name(), backend.variant())
    assert (line["request_id"], line["application"]) == ("mine", "shop")
    assert min(line[name] for name in ("weights_bytes", "kv_cache_bytes", "compute_bytes", "resident_bytes")) > 0
    assert "error" not in line
    assert "tenant" not in line
    assert WORD not in json.dumps(line)
    assert answer.json()["choices"][0]["message"]["content"] not in json.dumps(line)


async def test_a_prompt_that_is_known_is_cached_and_counted_once_for_all_choices(
    client: httpx2.AsyncClient, written: Written
) -> None:
    await client.post(PATH, json=asked())
    answer = await client.post(PATH, json=asked(n=2, temperature=1, seed=1))
    usage = answer.json()["usage"]
    line = written()[-1]
    assert line["InputTokens"] == usage["prompt_tokens"]
    assert line["OutputTokens"] == usage["completion_tokens"]
    assert line["CachedTokens"] == usage["prompt_tokens"] - 1


async def test_an_encoder_s_tokens_are_counted(written: Written) -> None:
    environment = init(Settings.load(model=str(ENCODERS / "embeddings.gguf"), threads=1))
    app = create_app(environment.engine, environment.serving)
    try:
        door = RequestLines(app, Figures(environment, app), always)
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(door), base_url="http://server") as client:
            answer = await client.post("/v1/embeddings", json={"input": ["one text", WORD]})
    finally:
        app.state.service.worker.close()
        environment.engine.close()
    (line,) = written()
    assert line["InputTokens"] == answer.json()["usage"]["prompt_tokens"] > 0
    assert (line["operation"], line["Errors"]) == ("/v1/embeddings", 0)
    assert not {"OutputTokens", "FirstTokenSeconds"} & line.keys()


async def test_a_stream_has_its_line_before_its_last_piece(app: FastAPI, figures: Figures, written: Written) -> None:
    lines: list[list[dict[str, Any]]] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body"):
            lines.append(written())

    await RequestLines(app, figures, always)(scope(), body(asked(stream=True), asyncio.Event()), send)
    ((line,),) = lines
    assert (line["stream"], line["OutputTokens"], line["Errors"]) == (True, 8, 0)
    assert written() == []


@pytest.mark.parametrize(
    ("path", "sent", "status", "error", "operation"),
    [
        (PATH, asked(model="gpt-5"), 404, "model_not_found", PATH),
        (PATH, {}, 400, "missing_required_parameter", PATH),
        (f"/{WORD}", {}, 404, "not_found", "other"),
    ],
)
async def test_a_refusal_is_no_error_of_ours(
    client: httpx2.AsyncClient, written: Written, path: str, sent: Any, status: int, error: str, operation: str
) -> None:
    answer = await client.post(path, json=sent)
    (line,) = written()
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, error)
    assert (line["status"], line["error"], line["operation"], line["Errors"]) == (status, error, operation, 0)
    assert "InputTokens" not in line
    assert WORD not in json.dumps(line)


async def test_an_engine_that_fails_is_one(
    client: httpx2.AsyncClient, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: Generation) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(Generation, "_prefill", fails)
    assert (await client.post(PATH, json=asked())).status_code == 500
    await client.post(PATH, json=asked(stream=True))
    whole, stream = written()
    assert (whole["status"], whole["Errors"], whole["level"]) == (500, 1, "ERROR")
    assert (stream["status"], stream["error"], stream["Errors"]) == (200, "engine_failed", 1)


async def test_a_client_that_leaves_has_a_line(app: FastAPI, figures: Figures, written: Written) -> None:
    left, sent = asyncio.Event(), 0

    async def send(message: Message) -> None:
        nonlocal sent
        sent += message["type"] == "http.response.body"
        if sent > 3:
            left.set()

    receive = body(asked(LONG_QUESTION, max_tokens=400, stream=True), left)
    await RequestLines(app, figures, always)(scope(spec="2.3"), receive, send)
    (line,) = written()
    assert (line["status"], line["error"], line["Errors"], line["finish_reason"]) == (
        200,
        "client_left",
        0,
        "cancelled",
    )
    assert 0 < line["OutputTokens"] < 400


async def test_the_first_request_behind_a_restore_is_the_restore_s(
    environment: Environment, client: httpx2.AsyncClient, figures: Figures, written: Written
) -> None:
    before = emf.environment()
    hooks = SnapshotHooks(environment.engine.context, environment.resources, figures.restored)
    hooks.before_snapshot()
    hooks.after_restore()
    for _ in range(2):
        await client.post(PATH, json=asked())
    restore, first, second = written()
    assert (restore["event"], restore["model"]) == ("restore", MODEL)
    assert restore["RestoreSeconds"] > 0
    assert (first["Restores"], second["Restores"], first["restored"], second["restored"]) == (1, 0, True, True)
    assert first["seconds_since_restore"] < second["seconds_since_restore"]
    alone = [prices.invocation(each["seconds"], restored=False, region="eu-west-1") for each in (first, second)]
    assert first["Dollars"] - alone[0] == pytest.approx(prices.load("eu-west-1")["lambda.snapstart.restore"].first * 10)
    assert second["Dollars"] == pytest.approx(alone[1])
    assert before != restore["environment"] == first["environment"] == second["environment"]


async def test_who_asks_is_who_the_front_door_says(client: httpx2.AsyncClient, written: Written) -> None:
    context = {
        "authorizer": {
            "lambda": {"tenant": "acme"},
            "iam": {"userArn": "arn:aws:sts::123456789012:assumed-role/app/session"},
        }
    }
    await client.get("/health", headers={"x-context": json.dumps(context)})
    (line,) = written()
    assert (line["tenant"], line["application"]) == ("acme", "arn:aws:iam::123456789012:role/app")
    assert (line["operation"], line["status"], line["Errors"]) == ("/health", 200, 0)


@pytest.mark.parametrize("variable", ["AWS_REGION", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"])
async def test_without_a_price_there_are_no_dollars(
    environment: Environment, app: FastAPI, written: Written, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, {"AWS_REGION": "xx-nowhere-1"}.get(variable, "0"))
    figures = Figures(environment, app)
    for _ in range(2):
        figures.end(figures.begin(), scope())
    assert all("Dollars" not in line and "FirstTokenSeconds" not in line for line in written())


def test_an_init_has_its_parts(figures: Figures, written: Written) -> None:
    figures.init()
    (line,) = written()
    assert line["InitSeconds"] > line["open_seconds"] + line["warm_seconds"] + line["download_seconds"]
    assert (line["model"], line["event"]) == (MODEL, "init")
    assert line["warm_tokens"] > 0


def test_the_adapter_s_own_requests_are_no_invocations() -> None:
    assert not through_the_adapter(scope())
    for name in (b"x-amzn-request-context", b"x-amzn-lambda-context"):
        assert through_the_adapter({**scope(), "headers": [(name, b"{}")]})


async def test_a_request_s_spans_are_a_tree_with_the_conventions_names(
    client: httpx2.AsyncClient, written: Written
) -> None:
    memory = InMemorySpanExporter()
    spans.configure("inference", memory)
    try:
        await client.post(PATH, json=asked())
    finally:
        spans.configure("inference")
    (line,) = written()
    told = {span.name: span for span in memory.get_finished_spans()}
    chat = told[f"chat {MODEL}"]
    assert chat.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "lambda_llm",
        "gen_ai.request.model": MODEL,
        "gen_ai.response.model": MODEL,
        "gen_ai.request.stream": False,
        "gen_ai.usage.input_tokens": line["InputTokens"],
        "gen_ai.usage.output_tokens": line["OutputTokens"],
        "gen_ai.usage.cache_read.input_tokens": line["CachedTokens"],
        "gen_ai.response.finish_reasons": ("length",),
        "gen_ai.server.time_to_first_token": line["FirstTokenSeconds"],
    }
    assert chat.parent is not None
    assert chat.parent.span_id == told["POST"].context.span_id
    assert line["trace_id"] == f"{chat.context.trace_id:032x}"
    for name in ("queue", "prefill", "decode"):
        child = told[name]
        assert child.parent is not None
        assert child.parent.span_id == chat.context.span_id
    prefill, decode = told["prefill"], told["decode"]
    times = [chat.start_time, prefill.start_time, prefill.end_time, decode.start_time, decode.end_time, chat.end_time]
    assert times == sorted(time or 0 for time in times)
    assert WORD not in "".join(span.to_json() for span in memory.get_finished_spans())


def scope(*, spec: str = "2.4") -> Scope:
    return {
        "type": "http",
        "method": "POST",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "root_path": "",
        "scheme": "http",
        "http_version": "1.1",
        "asgi": {"version": "3.0", "spec_version": spec},
    }


def body(sent: Any, left: asyncio.Event) -> Receive:
    """A request's body, and then nothing until its client has left."""
    given = False

    async def receive() -> Message:
        nonlocal given
        if given:
            await left.wait()
            return {"type": "http.disconnect"}
        given = True
        return {"type": "http.request", "body": json.dumps(sent).encode(), "more_body": False}

    return receive
