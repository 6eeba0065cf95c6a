"""A request's id, its trace and Lambda's own id: in the answer, in what is written meanwhile, and in spans."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from mangum import Mangum
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Message, Scope

from lambda_llm.telemetry import spans
from lambda_llm.telemetry.context import correlation
from lambda_llm.web.correlation import Correlation

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
XRAY = f"Root=1-{TRACE[:8]}-{TRACE[8:]};Parent={PARENT};Sampled=0"


async def told(request: Request) -> Response:
    status = int(request.query_params.get("status", "200"))
    return JSONResponse(dict(correlation()), status, headers={"x-request-id": "an inner one"})


async def streamed(_: Request) -> Response:
    async def pieces() -> AsyncIterator[str]:
        yield "one "
        with spans.span("inner"):
            yield "two"

    return StreamingResponse(pieces())


INNER = Starlette(routes=[Route("/", told), Route("/stream", streamed)])
APP = Correlation(INNER)


@pytest.fixture
def memory() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    spans.configure("inference", exporter)
    yield exporter
    spans.configure("inference")


async def ask(path: str = "/", app: Correlation = APP, **headers: str) -> httpx2.Response:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        return await client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


async def test_a_caller_s_id_is_kept_and_answered() -> None:
    answer = await ask(x_request_id="mine-1", traceparent=f"00-{TRACE}-{PARENT}-01")
    assert answer.json() == {"request_id": "mine-1", "trace_id": TRACE}
    assert answer.headers.get_list("x-request-id") == ["mine-1"]


async def test_another_one_is_made_where_there_is_none_or_none_for_a_log_or_none_is_taken() -> None:
    own = Correlation(INNER, takes_ids=False)
    answers = [await ask(), await ask(x_request_id="no id"), await ask(app=own, x_request_id="mine-1")]
    ids = [answer.json()["request_id"] for answer in answers]
    assert len(set(ids)) == 3
    assert [answer.headers["x-request-id"] for answer in answers] == ids
    assert all(len(each) == 32 for each in ids)


async def test_the_adapter_s_header_has_lambda_s_id_and_its_trace() -> None:
    context = json.dumps({"request_id": "8476a536", "xray_trace_id": XRAY, "deadline": 1})
    answer = (await ask(x_amzn_lambda_context=context)).json()
    assert (answer["lambda_request_id"], answer["trace_id"]) == ("8476a536", TRACE)


@pytest.mark.parametrize("context", ["[]", "{", '{"request_id": 7, "xray_trace_id": null}', "[" * 100_000])
async def test_a_header_that_is_none_changes_nothing(context: str) -> None:
    assert (await ask(x_amzn_lambda_context=context)).json().keys() == {"request_id"}


def test_the_buffered_door_has_both_from_the_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", XRAY)
    event = {
        "version": "2.0",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {},
        "requestContext": {"http": {"method": "GET", "path": "/", "sourceIp": "192.0.2.1"}},
        "isBase64Encoded": False,
    }
    context: Any = SimpleNamespace(aws_request_id="id-1")
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        answer = json.loads(Mangum(APP, lifespan="off")(event, context)["body"])
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    assert (answer["lambda_request_id"], answer["trace_id"]) == ("id-1", TRACE)


async def test_a_request_is_a_span_below_its_caller_s(memory: InMemorySpanExporter) -> None:
    answer = await ask("/?status=503", x_amzn_trace_id=XRAY)
    (span,) = memory.get_finished_spans()
    assert (span.name, span.kind) == ("GET", SpanKind.SERVER)
    assert span.parent is not None
    assert (f"{span.parent.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)
    assert span.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 503,
        "error.type": "503",
    }
    assert span.status.status_code is StatusCode.ERROR
    assert answer.json()["trace_id"] == TRACE


async def test_lines_have_the_trace_that_spans_have(memory: InMemorySpanExporter) -> None:
    trace = (await ask()).json()["trace_id"]
    (span,) = memory.get_finished_spans()
    assert f"{span.context.trace_id:032x}" == trace


async def test_spans_are_sent_before_an_answer_ends(memory: InMemorySpanExporter) -> None:
    sent_then: list[tuple[bytes, int]] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            sent_then.append((message.get("body", b""), len(memory.get_finished_spans())))

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope: Scope = {
        "type": "http",
        "method": "GET",
        "path": "/stream",
        "raw_path": b"/stream",
        "query_string": b"",
        "headers": [],
        "root_path": "",
        "scheme": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
    }
    await APP(scope, receive, send)
    assert sent_then == [(b"one ", 0), (b"two", 0), (b"", 2)]
    inner, outer = memory.get_finished_spans()
    assert inner.parent is not None
    assert inner.parent.span_id == outer.context.span_id
