"""Spans: what is recorded, whose children they are, and where they go to."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator

import httpx2
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.trace import SpanKind, StatusCode

from lambda_llm.telemetry import spans
from lambda_llm.telemetry.context import traceparent
from lambda_llm.telemetry.otlp import OTLPExporter
from support.collector import attributes, collecting

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
W3C = f"00-{TRACE}-{PARENT}-01"


@pytest.fixture(autouse=True)
def _off_again(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"):
        monkeypatch.delenv(name, raising=False)
    yield
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    spans.configure("test")
    assert not spans.enabled()


@pytest.fixture
def memory() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    spans.configure("inference", exporter)
    return exporter


def finished(memory: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    spans.flush(10)
    return {span.name: span for span in memory.get_finished_spans()}


def ids(span: ReadableSpan) -> tuple[str, str]:
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


def test_without_an_endpoint_nothing_of_opentelemetry_is_imported() -> None:
    program = """
import sys
from lambda_llm.telemetry import spans
spans.configure("inference")
with spans.span("chat", parent={"traceparent": "x"}, attributes={"gen_ai.operation.name": "chat"}) as span:
    span.set("a", 1)
    span.fail("b")
    assert spans.headers() == {}
spans.record("prefill", 1.0, 2.0)
spans.flush(1)
spans.close()
assert not spans.enabled()
assert not [name for name in sys.modules if name.startswith(("opentelemetry", "httpx2", "google.protobuf"))]
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_span_has_its_attributes_its_kind_and_its_children(memory: InMemorySpanExporter) -> None:
    with spans.span(
        "chat", kind="server", parent={"traceparent": W3C}, attributes={"gen_ai.request.model": "tiny"}
    ) as outer:
        outer.set("gen_ai.response.finish_reasons", ["stop"])
        outer.set("gen_ai.usage.output_tokens", None)
        sent = spans.headers()
        with spans.span("decode"):
            pass
        spans.record("prefill", 1000.25, 1000.5, attributes={"gen_ai.usage.input_tokens": 7, "unknown": None})
    assert spans.headers() == {}
    told = finished(memory)
    chat, prefill = told["chat"], told["prefill"]
    assert chat.attributes == {"gen_ai.request.model": "tiny", "gen_ai.response.finish_reasons": ("stop",)}
    assert chat.kind is SpanKind.SERVER
    assert chat.parent is not None
    assert (f"{chat.parent.trace_id:032x}", f"{chat.parent.span_id:016x}") == (TRACE, PARENT)
    assert sent == {"traceparent": "00-{}-{}-01".format(*ids(chat))}
    for child in (prefill, told["decode"]):
        assert child.parent is not None
        assert child.parent.span_id == chat.context.span_id
        assert child.kind is SpanKind.INTERNAL
    assert (prefill.start_time, prefill.end_time) == (1_000_250_000_000, 1_000_500_000_000)
    assert prefill.attributes == {"gen_ai.usage.input_tokens": 7}


def test_the_attributes_of_this_project_are_those_of_the_conventions() -> None:
    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}
    assert {
        "gen_ai.provider.name",
        "gen_ai.operation.name",
        "gen_ai.request.model",
        "gen_ai.request.stream",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.response.finish_reasons",
        "gen_ai.tool.name",
    } <= known


def test_an_exception_fails_its_span_by_its_type_alone(memory: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="secret"), spans.span("chat"):
        raise ValueError("a prompt that is secret")
    with spans.span("decode") as span:
        span.fail("out_of_memory")
    spans.record("download", 1.0, 2.0, error="timeout")
    told = finished(memory)
    assert {name: (span.attributes or {})["error.type"] for name, span in told.items()} == {
        "chat": "ValueError",
        "decode": "out_of_memory",
        "download": "timeout",
    }
    assert all(span.status.status_code is StatusCode.ERROR for span in told.values())
    assert "secret" not in "".join(span.to_json() for span in told.values())


def test_a_replay_gives_the_same_ids(memory: InMemorySpanExporter) -> None:
    execution = spans.identity("arn:aws:lambda:x:execution/1")
    step = spans.identity("arn:aws:lambda:x:execution/1#step", TRACE)
    assert execution == spans.identity("arn:aws:lambda:x:execution/1")
    assert step.split("-")[1] == TRACE
    spans.record("execution", 1.0, 9.0, identity=execution)
    spans.record("step", 2.0, 3.0, parent={"traceparent": execution}, identity=step)
    told = finished(memory)
    assert ids(told["execution"]) == (execution.split("-")[1], execution.split("-")[2])
    assert ids(told["step"])[1] == step.split("-")[2]
    assert told["step"].parent is not None
    assert told["step"].parent.span_id == told["execution"].context.span_id


async def test_a_generator_that_is_closed_elsewhere_ends_its_span(
    memory: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    async def pieces() -> AsyncGenerator[int, None]:
        with spans.span("answer"):
            yield 1
            yield 2

    answer = pieces()

    async def begin() -> int:
        return await anext(answer)

    async def end() -> None:
        await answer.aclose()

    assert await asyncio.create_task(begin()) == 1
    await asyncio.create_task(end())
    assert "answer" in finished(memory)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"traceparent": W3C}, W3C),
        (
            {"x-amzn-trace-id": f"Root=1-{TRACE[:8]}-{TRACE[8:]};Parent={PARENT};Sampled=0;Lineage=1:a:0"},
            f"00-{TRACE}-{PARENT}-01",
        ),
        (
            {"traceparent": W3C, "x-amzn-trace-id": "Root=1-00000001-000000000000000000000002;Parent=0000000000000003"},
            W3C,
        ),
        ({"traceparent": "00-" + "0" * 32 + f"-{PARENT}-01"}, None),
        ({"x-amzn-trace-id": f"Root=1-{TRACE[:8]}-{TRACE[8:]}"}, None),
        ({}, None),
    ],
)
def test_the_parent_is_in_either_header(given: dict[str, str], expected: str | None) -> None:
    assert traceparent(given) == expected


def test_a_parent_that_is_none_begins_a_trace(memory: InMemorySpanExporter) -> None:
    with spans.span("outer"), spans.span("caller's", kind="server", parent={"traceparent": "nonsense"}):
        pass
    told = finished(memory)
    assert told["caller's"].parent is None
    assert told["caller's"].context.trace_id != told["outer"].context.trace_id


def test_a_collector_gets_them_with_its_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20token")
        monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "chat-function")
        monkeypatch.setenv("AWS_LAMBDA_FUNCTION_VERSION", "7")
        spans.configure("inference")
        with spans.span(
            "chat", attributes={"gen_ai.request.model": "tiny", "gen_ai.response.finish_reasons": ["stop"]}
        ):
            pass
        spans.flush(10)
        spans.close()
        with spans.span("after the snapshot"):
            pass
        spans.flush(10)
        assert [span.name for span in collector.spans] == ["chat", "after the snapshot"]
        assert attributes(collector.named("chat")) == {
            "gen_ai.request.model": "tiny",
            "gen_ai.response.finish_reasons": ["stop"],
        }
        resource = {
            each.key: each.value.string_value for each in collector.requests[0].resource_spans[0].resource.attributes
        }
        assert resource["service.name"] == resource["faas.name"] == "chat-function"
        assert resource["faas.version"] == "7"
        assert collector.headers[0]["api-key"] == "a token"
        assert collector.headers[0]["content-type"] == "application/x-protobuf"


def test_a_collector_that_fails_is_left_alone_for_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{collector.url}/v1/traces")
        spans.configure("inference")
        collector.status = 503
        for _ in range(3):
            with spans.span("chat"):
                pass
            spans.flush(10)
        assert len(collector.headers) == 1
        (record,) = [record for record in caplog.records if record.name == "lambda_llm.telemetry.otlp"]
        assert record.levelno == logging.WARNING
        collector.status = 200
        spans.close()  # a restored environment tries again
        with spans.span("chat"):
            pass
        spans.flush(10)
        assert [span.name for span in collector.spans] == ["chat"]


def test_another_protocol_than_ours_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    spans.configure("inference")
    assert "http/protobuf, not as grpc" in caplog.text


def test_what_goes_to_x_ray_is_signed(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200)

    credentials = Credentials("AKIAEXAMPLE", "a secret", "a token")
    exporter = OTLPExporter(
        "https://xray.eu-west-1.amazonaws.com/v1/traces", {}, httpx2.MockTransport(answer), lambda: credentials
    )
    spans.configure("inference", exporter)
    with spans.span("chat"):
        pass
    spans.flush(10)
    (request,) = seen
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    again = AWSRequest(
        method="POST",
        url=str(request.url),
        data=request.content,
        headers={name: request.headers[name] for name in ("content-type", "host", "x-amz-content-sha256")},
    )
    again.context["timestamp"] = request.headers["x-amz-date"]
    again.headers["X-Amz-Date"] = request.headers["x-amz-date"]
    again.headers["X-Amz-Security-Token"] = "a token"
    signer = SigV4Auth(credentials, "xray", "eu-west-1")
    expected = signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again)
    assert "/eu-west-1/xray/aws4_request" in request.headers["authorization"]
    assert request.headers["authorization"].endswith(f"Signature={expected}")
