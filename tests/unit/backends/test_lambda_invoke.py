"""A function of ours by its ARN: its status, its answer, and how its invocation ended."""

import base64
import json
from typing import Any

import pytest

from lambda_llm.aws.invoke import SEPARATOR, event
from lambda_llm.backends.contract import Operation, Usage, opened
from lambda_llm.backends.errors import Kind
from lambda_llm.backends.lambda_invoke import LambdaInvoke
from support.backends import as_botocore_sends, asking, chunks, client, failure, signed
from support.event_streams import CUT, JSON, SILENCE, Answer, answering, cut, exception
from support.event_streams import event as frame

ALIAS = "arn:aws:lambda:eu-central-1:123456789012:function:chat:live"
USAGE = {"prompt_tokens": 9, "completion_tokens": 2}
EVENTS: list[dict[str, Any]] = [
    {"choices": [{"index": 0, "delta": {"content": "Grüezi"}}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": USAGE},
]
SSE = "".join(f"data: {json.dumps(each, ensure_ascii=False)}\n\n" for each in EVENTS).encode()
DONE = b"data: [DONE]\n\n"
PRELUDE = b'{"statusCode":200,"headers":{"Content-Type":"text/event-stream"},"cookies":[]}' + SEPARATOR
COMPLETE = frame("InvokeComplete", {})
WHOLE = json.dumps({"choices": [], "usage": USAGE}).encode()


def function(url: str) -> LambdaInvoke:
    return LambdaInvoke("chat", url, ALIAS, "ours", auth=signed("lambda"))


def payload(content: bytes, size: int = 1000) -> list[bytes]:
    return [frame("PayloadChunk", piece) for piece in cut(content, size)]


async def test_the_request_is_what_botocore_sends() -> None:
    body = {"model": "ours", "messages": [{"role": "user", "content": "Hello"}]}
    sent = event("POST", "/v1/chat/completions", json.dumps(body).encode(), "an-id")
    path, headers, content = as_botocore_sends(
        "lambda", "invoke_with_response_stream", FunctionName=ALIAS, Payload=sent
    )
    with answering(Answer([*payload(PRELUDE + WHOLE), COMPLETE])) as server:
        await chunks(function(server.url), asking())
    [asked] = server.asked
    assert (asked.path, asked.body, headers) == (path, content, {})
    assert "/eu-central-1/lambda/aws4_request" in asked.headers["authorization"]
    given = json.loads(asked.body)
    assert (given["requestContext"]["requestId"], given["headers"]["x-request-id"]) == ("an-id", "an-id")


def test_the_answers_of_these_tests_are_botocores() -> None:
    failed = frame("InvokeComplete", {"ErrorCode": "Unhandled", "ErrorDetails": "x"})
    with answering(Answer(cut(b"".join([*payload(PRELUDE, 20), failed]), 7))) as server:
        made = client("lambda", server.url)
        events = list(made.invoke_with_response_stream(FunctionName=ALIAS, Payload=b"{}")["EventStream"])
        made.close()
    assert b"".join(each["PayloadChunk"]["Payload"] for each in events[:-1]) == PRELUDE
    assert events[-1] == {"InvokeComplete": {"ErrorCode": "Unhandled", "ErrorDetails": "x"}}


def test_operations_that_the_model_has_not_are_named() -> None:
    assert function("").unsupported(asking(seed=3)) is None
    assert function("").unsupported(asking(operation=Operation.EMBEDDINGS)) == "/v1/embeddings"


@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_a_stream_wherever_the_payload_is_cut(size: int) -> None:
    with answering(Answer([*payload(PRELUDE + SSE + DONE, size), COMPLETE])) as server:
        given = await chunks(function(server.url), asking(stream=True))
    assert [json.loads(chunk.data) for chunk in given] == EVENTS
    assert [chunk.usage for chunk in given] == [None, None, Usage(9, 2)]
    assert [chunk.usage_only for chunk in given] == [False, False, True]
    asked = json.loads(json.loads(server.asked[0].body)["body"])
    assert asked["stream_options"] == {"include_usage": True}


async def test_a_stream_wherever_its_frames_are_cut() -> None:
    content = b"".join([*payload(PRELUDE + SSE + DONE, 50), COMPLETE])
    with answering(Answer(cut(content, 1))) as server:
        given = await chunks(function(server.url), asking(stream=True))
    assert [json.loads(chunk.data) for chunk in given] == EVENTS


@pytest.mark.parametrize(
    "content",
    [
        PRELUDE + WHOLE,
        json.dumps({"statusCode": 200, "headers": {}, "body": WHOLE.decode()}).encode(),
        json.dumps({"statusCode": 200, "isBase64Encoded": True, "body": base64.b64encode(WHOLE).decode()}).encode(),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
async def test_an_answer_in_one_piece_of_both_front_doors(content: bytes, size: int) -> None:
    with answering(Answer([*payload(content, size), COMPLETE])) as server:
        [chunk] = await chunks(function(server.url), asking())
    assert (json.loads(chunk.data), chunk.usage) == (json.loads(WHOLE), Usage(9, 2))


@pytest.mark.parametrize("stream", [True, False])
async def test_the_functions_own_refusals_are_told(*, stream: bool) -> None:
    head = b'{"statusCode":429,"headers":{"Retry-After":"3"}}' + SEPARATOR
    error = b'{"error": {"message": "You said: Hello", "code": "busy", "param": null}}'
    with answering(Answer([*payload(head + error, 9), COMPLETE])) as server:
        failed = await failure(function(server.url), asking(stream=stream))
    assert (failed.kind, failed.retry_after, failed.started) == (Kind.THROTTLED, 3, False)
    assert str(failed) == "The backend 'chat' refused the request with status 429 (busy)."


ENDS = [
    ({"ErrorCode": "Unhandled", "ErrorDetails": '{"errorMessage": "2026 Task timed out after 3.00 s"}'}, Kind.TIMEOUT),
    ({"ErrorCode": "Sandbox.Timedout"}, Kind.TIMEOUT),
    ({"ErrorCode": "Runtime.ExitError", "ErrorDetails": "You said: Hello"}, Kind.UNAVAILABLE),
]


@pytest.mark.parametrize(("end", "kind"), ENDS)
@pytest.mark.parametrize("before", [b"", PRELUDE, PRELUDE + SSE])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_function_that_fails_is_told_in_spite_of_its_status(
    end: dict[str, str], kind: Kind, before: bytes, *, stream: bool
) -> None:
    with answering(Answer([*payload(before), frame("InvokeComplete", end)])) as server:
        failed = await failure(function(server.url), asking(stream=stream))
    assert (failed.kind, failed.started) == (kind, stream and SSE in before)
    assert "Hello" not in str(failed)


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [COMPLETE],
        payload(PRELUDE),
        payload(PRELUDE + SSE),
        [*payload(PRELUDE + SSE), COMPLETE],
        [*payload(b"null"), COMPLETE],
        [*payload(b"[]" + SEPARATOR), COMPLETE],
        [*payload(b'{"statusCode":200,"headers":[]}' + SEPARATOR + WHOLE), COMPLETE],
        [*payload(b'{"errorType": "x"}'), COMPLETE],
        [b"no frame at all, but longer than a prelude"],
    ],
)
async def test_what_is_no_answer_is_broken(pieces: list[bytes]) -> None:
    with answering(Answer(pieces)) as server:
        failed = await failure(function(server.url), asking(stream=True))
    assert failed.kind is Kind.BROKEN
    assert failed.started == (payload(PRELUDE + SSE)[0] in pieces)


REFUSALS = [
    ("TooManyRequestsException", 429, Kind.THROTTLED),
    ("ResourceNotFoundException", 404, Kind.NOT_FOUND),
    ("SnapStartNotReadyException", 409, Kind.UNAVAILABLE),
    ("SnapStartTimeoutException", 408, Kind.TIMEOUT),
    ("ServiceException", 500, Kind.UNAVAILABLE),
    ("RequestTooLargeException", 413, Kind.TOO_LONG),
    ("AccessDeniedException", 403, Kind.FORBIDDEN),
]


@pytest.mark.parametrize(("name", "status", "kind"), REFUSALS)
async def test_lambdas_refusals_are_told(name: str, status: int, kind: Kind) -> None:
    headers = {**JSON, "x-amzn-errortype": name, "retry-after": "2"}
    with answering(Answer([b'{"message": "You said: Hello"}'], status, headers)) as server:
        failed = await failure(function(server.url), asking(stream=True))
    assert (failed.kind, failed.retry_after, failed.started) == (kind, 2, False)
    assert str(failed) == f"The backend 'chat' refused the request with status {status} ({name})."


async def test_exceptions_within_the_stream_have_their_kind() -> None:
    given = [
        ("tooManyRequestsException", Kind.THROTTLED),
        ("serviceException", Kind.UNAVAILABLE),
        ("other", Kind.BROKEN),
    ]
    for name, kind in given:
        with answering(Answer([*payload(PRELUDE + SSE), exception(name, {})])) as server:
            failed = await failure(function(server.url), asking(stream=True))
        assert (failed.kind, failed.started) == (kind, True)


async def test_the_deadline_and_a_lost_connection() -> None:
    for fault, kind, seconds in ((SILENCE, Kind.TIMEOUT, 0.3), (CUT, Kind.UNAVAILABLE, 60)):
        for before, started in ((PRELUDE[:20], False), (PRELUDE + SSE, True)):
            with answering(Answer([*payload(before), fault])) as server:
                failed = await failure(function(server.url), asking(stream=True, seconds=seconds))
            assert (failed.kind, failed.started) == (kind, started)


async def test_leaving_early_ends_the_connection() -> None:
    with answering(Answer([*payload(PRELUDE + SSE), SILENCE])) as server:
        backend = function(server.url)
        async with opened(backend, asking(stream=True)) as answer:
            assert json.loads((await anext(answer)).data) == EVENTS[0]
        assert server.left.wait(60)
        await backend.close()
