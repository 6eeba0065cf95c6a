"""The real web adapter in front of `bin/serve`, from Lambda's invocation to what Lambda is streamed back.

What it calls at a snapshot, which its version on crates.io can't, is in test_web_adapter.py, with a stand-in.
"""

import base64
import gzip
import io
import json
import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import httpx2
import psutil
import pytest

from lambda_llm.aws.invoke import ask
from support import chat
from support.answers import user
from support.endless import CONTEXT, NAME
from support.function import function_url_event
from support.runtime_api import Report
from support.servers import AFTER, BEFORE, LIMIT_SECONDS, until
from support.service_events import EVENTS
from support.web_adapter import Environment, answer_of, behind_the_adapter, needs_cargo

pytestmark = needs_cargo

TOKENS = 20
NULS = b"\0" * 8
TIMEOUT_SECONDS = 3
"""The model takes many times as long for its context."""


@pytest.fixture(scope="module")
def environment(endless_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """One environment for all of these tests."""
    folder = tmp_path_factory.mktemp("real-web-adapter")
    with behind_the_adapter(folder, {"LAMBDA_LLM_MODEL": str(endless_model)}) as started:
        yield started


def asked(question: str = "Hello", **changes: Any) -> dict[str, Any]:
    return chat.body(question, **{"model": NAME, "max_tokens": TOKENS} | changes)


def url_event(body: Any, path: str = chat.PATH, **headers: str) -> Any:
    event = function_url_event(json.dumps(body), path=path)
    event["headers"] |= headers
    return event


def without_adapter(environment: Environment, body: Any, path: str = chat.PATH) -> httpx2.Response:
    return httpx2.post(f"{environment.server.url}{path}", json=body, timeout=LIMIT_SECONDS)


def said(answer: bytes) -> tuple[str, str]:
    """Text and finish reason of an unstreamed chat completion."""
    (choice,) = json.loads(answer)["choices"]
    return choice["message"]["content"], choice["finish_reason"]


# -- init -------------------------------------------------------------------------------------------


def test_it_registers_as_an_extension_and_asks_for_events_when_the_model_is_ready(environment: Environment) -> None:
    assert environment.api.extensions == ["lambda-adapter"]
    assert any(line["message"].startswith("ready: ") for line in environment.server.lines())


# -- answers ----------------------------------------------------------------------------------------

STREAMS = {
    "chat": (chat.PATH, asked(), b"\n\n"),
    "completions": ("/v1/completions", asked(messages=None, prompt="Hello"), b"\n\n"),
    "responses": (
        "/v1/responses",
        asked(messages=None, max_tokens=None, input="Hello", max_output_tokens=TOKENS),
        b"\n\n",
    ),
    "messages": ("/v1/messages", asked(), b"\n\n"),
    "ollama": (
        "/api/chat",
        asked(max_tokens=None, temperature=None, options={"num_predict": TOKENS, "temperature": 0}),
        b"\n",
    ),
}
"""A request to each API that streams, and what an event of it ends with."""


def is_event(part: bytes) -> bool:
    """Comments fill a silence, as long as it may be."""
    return not part.startswith(b":")


@pytest.mark.parametrize(("path", "body", "end"), STREAMS.values(), ids=STREAMS)
def test_a_stream_arrives_as_one_chunk_for_each_event(
    environment: Environment, path: str, body: dict[str, Any], end: bytes
) -> None:
    body = body | {"stream": True}
    report = environment.api.invoke(url_event(body, path))
    assert report.headers["lambda-runtime-function-response-mode"] == "streaming"
    assert report.headers["content-type"] == "application/vnd.awslambda.http-integration-response"
    prelude, separator, *events = (chunk.data for chunk in report.chunks)
    directly = without_adapter(environment, body, path)
    assert json.loads(prelude)["statusCode"] == directly.status_code == HTTPStatus.OK
    assert separator == NULS
    assert all(event.count(end) == 1 and event.endswith(end) for event in events)
    assert sum(map(is_event, events)) == sum(map(is_event, directly.content.split(end)[:-1])) > TOKENS
    assert report.trailers == {}


def test_tokens_arrive_while_the_next_are_computed(environment: Environment) -> None:
    body = asked(stream=True, stream_options={"include_usage": True}, max_tokens=300)
    so_far = len(environment.api.begun)
    environment.api.give(url_event(body))
    (report,) = until(lambda: environment.api.begun[so_far:])
    until(lambda: len(report.chunks) > 5)
    assert environment.server.requests()["active"] == 1
    assert not report.complete
    assert environment.api.report() is report
    *_, usage, done = chat.events(answer_of(report).body.decode())
    assert usage["usage"]["completion_tokens"] == 300
    assert done == "[DONE]"


def test_an_answer_is_the_one_that_the_server_gives(environment: Environment) -> None:
    answer = answer_of(environment.api.invoke(url_event(asked())))
    assert answer.status == HTTPStatus.OK
    assert said(answer.body) == said(without_adapter(environment, asked()).content)
    assert said(answer.body)[1] == "length"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/health", None, HTTPStatus.OK),
        ("GET", "/v1/models", None, HTTPStatus.OK),
        ("GET", "/none-such", None, HTTPStatus.NOT_FOUND),
        ("GET", chat.PATH, None, HTTPStatus.METHOD_NOT_ALLOWED),
        ("POST", chat.PATH, asked(none_such=1), HTTPStatus.BAD_REQUEST),
        ("POST", chat.PATH, asked(model="other"), HTTPStatus.NOT_FOUND),
        ("POST", "/v1/messages", asked(max_tokens=0), HTTPStatus.BAD_REQUEST),
        ("POST", "/tokenize", {"content": "Hello"}, HTTPStatus.OK),
    ],
)
def test_status_headers_and_body_are_the_server_s(
    environment: Environment, method: str, path: str, body: Any, status: int
) -> None:
    event = function_url_event(None if body is None else json.dumps(body), method=method, path=path)
    answer = answer_of(environment.api.invoke(event))
    directly = httpx2.request(method, f"{environment.server.url}{path}", json=body, timeout=LIMIT_SECONDS)
    assert answer.status == directly.status_code == status
    assert answer.headers.keys() == directly.headers.keys()
    assert answer.headers["content-type"] == directly.headers["content-type"]
    if path != "/health":  # it counts
        assert answer.body == directly.content


def test_lambda_s_largest_request_is_answered(environment: Environment) -> None:
    # Servers take no notice of such a field of a message.
    earlier = {"role": "assistant", "content": "Hi", "parsed": "x" * 5_900_000}
    small = asked(messages=[earlier | {"parsed": None}, user("Hello")])
    answer = answer_of(environment.api.invoke(url_event(asked(messages=[earlier, user("Hello")]))))
    assert answer.status == HTTPStatus.OK
    assert said(answer.body) == said(without_adapter(environment, small).content)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_body_in_base64_is_answered(environment: Environment, *, compressed: bool) -> None:
    earlier = {"role": "assistant", "content": "Grüezi", "parsed": "x" * 4_000_000}
    body = asked(messages=[earlier, user("Ça va?")])
    content = json.dumps(body, ensure_ascii=False).encode()
    sent = base64.b64encode(gzip.compress(content) if compressed else content).decode()
    event = function_url_event(sent, encoded=True)
    if compressed:
        event["headers"]["content-encoding"] = "gzip"
    assert said(answer_of(environment.api.invoke(event)).body) == said(without_adapter(environment, body).content)


def test_a_server_that_dies_ends_its_answer_with_an_error(
    endless_model: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("dying")
    with behind_the_adapter(folder, {"LAMBDA_LLM_MODEL": str(endless_model)}) as dying:
        dying.api.give(url_event(asked(stream=True, max_tokens=None)))
        (report,) = until(lambda: list(dying.api.begun))
        until(lambda: len(report.chunks) > 5)
        dying.server.process.kill()
        assert dying.api.report() is report
        assert b"[DONE]" not in report.content
        # Announced as trailers, which this version sends as data.
        assert report.chunks[-1].data.startswith(b"Lambda-Runtime-Function-Error-Type: ")


# -- events that are no HTTP request ----------------------------------------------------------------


def errors(environment: Environment) -> int:
    return sum(line["level"] == "ERROR" for line in environment.server.lines())


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_an_event_of_a_service_fails_the_invocation(environment: Environment, event: Any) -> None:
    before = errors(environment)
    report = environment.api.invoke(event)
    assert report.path == "/invocation/id-1/error"
    assert "555" in report.body["errorMessage"]
    assert errors(environment) == before + 1


def test_a_body_that_is_invoked_directly_is_answered(environment: Environment) -> None:
    answer = answer_of(environment.api.invoke(asked(stream=True)))
    assert answer.status == HTTPStatus.OK
    assert said(answer.body) == said(without_adapter(environment, asked()).content)


class Invoking:
    """Lambda's client, in front of one environment: an invocation returns a streamed response as it is."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803 - as Lambda's client has it
        assert FunctionName == "chat:live"
        report = self._environment.api.invoke(json.loads(Payload))
        return {"Payload": io.BytesIO(report.content), "ResponseMetadata": {"RequestId": "id-1"}}


def test_a_request_by_invocation_has_status_and_body(environment: Environment) -> None:
    client = Invoking(environment)
    answer = ask(client, "chat:live", chat.PATH, json.dumps(asked()).encode())
    assert (answer.status, answer.request_id) == (HTTPStatus.OK, "id-1")
    assert said(answer.body) == said(without_adapter(environment, asked()).content)
    refused = ask(client, "chat:live", chat.PATH, json.dumps(asked(none_such=1)).encode())
    assert refused.status == HTTPStatus.BAD_REQUEST
    assert refused.body == without_adapter(environment, asked(none_such=1)).content


@pytest.mark.parametrize(
    "event",
    [
        {},
        [],
        None,
        "text",
        3,
        True,
        {"version": "2.0"},
        {"requestContext": {}},
        {"requestContext": {"http": {}}},
        {"httpMethod": "GET"},
        {"messages": "text"},
        url_event({}) | {"headers": None},
        url_event({}) | {"headers": {"x": "é"}},
        url_event({}) | {"headers": {"a": "b\r\nc: d"}},
        url_event({}) | {"body": {}},
        url_event({}) | {"rawPath": 3},
        url_event({}) | {"isBase64Encoded": None},
        url_event({}) | {"cookies": "x"},
    ],
)
def test_a_malformed_event_is_answered(environment: Environment, event: Any) -> None:
    answer = answer_of(environment.api.invoke(event))
    assert answer.status == HTTPStatus.BAD_REQUEST
    assert json.loads(answer.body)["error"]["type"] == "invalid_request_error"


# -- snapshot hooks ---------------------------------------------------------------------------------


def hooks_run(environment: Environment) -> int:
    messages = [line["message"] for line in environment.server.lines()]
    return sum(message.startswith(("restored in ", "ready for the snapshot")) for message in messages)


@pytest.mark.parametrize("hook", [BEFORE, AFTER])
@pytest.mark.parametrize(
    "spelling",
    [
        "{0}",
        "{0}/",
        "/{0}",
        "{0}%0A",
        "{0}\n",
        "{0}\t",
        "{0}%09",
        "{0}%20",
        "{0}%00",
        "{0};x",
        "{0}?x",
        "{0}?x=y",
        "{0}#x",
        "/x/..{0}",
        "/x/%2e%2e{0}",
        "/%2e{0}",
        "/snapshot/.{1}",
        "/snapshot/x/..{1}",
        "/snap\tshot{1}",
        "\\snapshot{1}",
        "/snapshot\\{2}",
        "/snapshot%5c{2}",
        "/snapshot%2f{2}",
        "/snapshot/%{3:x}{4}",
        "/snapshot/%25{3:x}{4}",
        "snapshot{1}",
        "//127.0.0.1{0}",
        "http://127.0.0.1{0}",
    ],
)
def test_no_spelling_of_a_hook_s_path_lets_a_caller_in(environment: Environment, hook: str, spelling: str) -> None:
    last = hook.removeprefix("/snapshot")
    path = spelling.format(hook, last, last[1:], ord(last[1]), last[2:])
    before = hooks_run(environment)
    answer = answer_of(environment.api.invoke(function_url_event("", path=path)))
    assert answer.status in {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}
    assert hooks_run(environment) == before


def test_lambda_itself_reaches_the_hooks_which_leave_no_connection_open(environment: Environment) -> None:
    expected = said(answer_of(environment.api.invoke(url_event(asked()))).body)
    adapter, port = psutil.Process(environment.adapter.pid), environment.server.port

    def connections() -> list[Any]:
        return [each for each in adapter.net_connections("tcp") if each.raddr and each.raddr.port == port]

    for number, hook in enumerate([BEFORE, AFTER], hooks_run(environment) + 1):
        response = httpx2.post(f"{environment.server.url}{hook}", timeout=LIMIT_SECONDS)
        assert response.status_code == HTTPStatus.NO_CONTENT
        assert hooks_run(environment) == number
        until(lambda: not connections())
        assert said(answer_of(environment.api.invoke(url_event(asked()))).body) == expected


# -- Lambda's context -------------------------------------------------------------------------------


def context(deadline: float) -> str:
    """As a caller may write it, who would like more time."""
    return json.dumps({"request_id": "x", "deadline": int(deadline * 1000), "invoked_function_arn": "x"})


def ended_in_time(report: Report, deadline: float) -> None:
    assert report.chunks[-1].at < deadline


@pytest.mark.parametrize("header", [None, "X-Amzn-Lambda-Context"])
def test_a_long_answer_ends_before_its_invocation_does(environment: Environment, header: str | None) -> None:
    body = asked(stream=True, stream_options={"include_usage": True}, max_tokens=None)
    headers = {header: context(time.time() + 3600)} if header else {}
    deadline = time.time() + TIMEOUT_SECONDS
    report = environment.api.invoke(url_event(body, **headers), deadline)
    ended_in_time(report, deadline)
    *_, last, usage, done = chat.events(answer_of(report).body.decode())
    assert last["choices"][0]["finish_reason"] == "length"
    assert usage["usage"]["completion_tokens"] > 0
    assert usage["usage"]["total_tokens"] < CONTEXT, "it was not the context that was full"
    assert done == "[DONE]"


def test_so_does_one_that_is_invoked_directly(environment: Environment) -> None:
    deadline = time.time() + TIMEOUT_SECONDS
    report = environment.api.invoke(asked(max_tokens=None), deadline)
    ended_in_time(report, deadline)
    answer = json.loads(answer_of(report).body)
    assert answer["choices"][0]["finish_reason"] == "length"
    assert TOKENS < answer["usage"]["total_tokens"] < CONTEXT


@pytest.mark.parametrize("header", ["x-amzn-lambda-context", "X-AMZN-LAMBDA-CONTEXT"])
def test_a_caller_s_own_deadline_changes_nothing(environment: Environment, header: str) -> None:
    answer = answer_of(environment.api.invoke(url_event(asked(), **{header: context(0)})))
    assert said(answer.body) == said(without_adapter(environment, asked()).content)
