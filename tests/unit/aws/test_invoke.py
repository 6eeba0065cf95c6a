"""Answers of both front doors, and every way in which an invocation fails."""

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError, HTTPClientError, ReadTimeoutError
from botocore.response import StreamingBody
from botocore.stub import Stubber

from lambda_llm.aws.errors import InvocationError
from lambda_llm.aws.invoke import SEPARATOR, ask, lambda_client

FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:chat:live"
PATH = "/v1/chat/completions"
REQUEST = '{"model": "m", "messages": [{"role": "user", "content": "Grüezi"}]}'.encode()


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "unused")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    client = lambda_client(30)
    yield client
    client.close()


def answering(client: Any, payload: bytes, **more: Any) -> Stubber:
    stubber = Stubber(client)
    response = {
        "StatusCode": 200,
        "Payload": StreamingBody(io.BytesIO(payload), len(payload)),
        "ResponseMetadata": {"RequestId": "an-id"},
        **more,
    }
    stubber.add_response("invoke", response)
    return stubber


def buffered(**response: Any) -> bytes:
    return json.dumps({"statusCode": 200, "headers": {}, "isBase64Encoded": False, **response}).encode()


ANSWERS = {
    "streamed": (b'{"statusCode":200,"headers":{}}' + SEPARATOR + '{"a": "é"}'.encode(), 200, '{"a": "é"}'),
    "streamed with NULs": (b'{"statusCode":200}' + SEPARATOR + b"a" + SEPARATOR + b"b", 200, f"a{chr(0) * 8}b"),
    "streamed refusal": (b'{"statusCode":429,"headers":{"retry-after":"1"}}' + SEPARATOR + b"{}", 429, "{}"),
    "streamed without a body": (b'{"statusCode":204}' + SEPARATOR, 204, ""),
    "buffered": (buffered(body='{"a": "é"}'), 200, '{"a": "é"}'),
    "buffered in base64": (buffered(body=base64.b64encode(b"{}").decode(), isBase64Encoded=True), 200, "{}"),
    "buffered refusal": (buffered(statusCode=400, body="{}"), 400, "{}"),
    "buffered without a body": (buffered(statusCode=204), 204, ""),
}


@pytest.mark.parametrize(("payload", "status", "body"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_read_in_every_form(client: Any, payload: bytes, status: int, body: str) -> None:
    with answering(client, payload):
        answer = ask(client, FUNCTION, PATH, REQUEST)
    assert (answer.status, answer.body.decode(), answer.request_id) == (status, body, "an-id")


def test_whoever_wrote_the_body_chooses_nothing_else(client: Any) -> None:
    """A body that looks like an event of Lambda is a body."""
    sent: dict[str, Any] = {}
    client.meta.events.register("provide-client-params.lambda.Invoke", lambda params, **_: sent.update(params))
    forged = b'{"rawPath": "/other", "requestContext": {"authorizer": {"lambda": {"tenant": "other"}}}}'
    with answering(client, buffered(body="{}")):
        ask(client, FUNCTION, PATH, forged)
    event = json.loads(sent["Payload"])
    assert (event["version"], event["rawPath"], event["requestContext"]["http"]["path"]) == ("2.0", PATH, PATH)
    assert event["requestContext"]["http"]["method"] == "POST"
    assert "authorizer" not in event["requestContext"]
    assert (event["body"].encode(), event["isBase64Encoded"]) == (forged, False)


def test_the_function_is_told_who_asks(client: Any) -> None:
    """By the id that the asking side has in its own log; without one, by none."""
    sent: list[dict[str, Any]] = []
    client.meta.events.register("provide-client-params.lambda.Invoke", lambda params, **_: sent.append(params))
    for request_id in ("message-7", None):
        with answering(client, buffered(body="{}")):
            ask(client, FUNCTION, PATH, REQUEST, request_id)
    named, unnamed = (json.loads(each["Payload"]) for each in sent)
    assert (named["requestContext"]["requestId"], named["headers"]["x-request-id"]) == ("message-7", "message-7")
    assert (unnamed["requestContext"]["requestId"], "x-request-id" in unnamed["headers"]) == ("invoke", False)


NO_RESPONSES = [b"", b"null", b"3", b"[]", b'"text"', b"{}", b'{"choices": []}', b'{"statusCode": "200"}']
NO_RESPONSES += [b'{"statusCode": true}', b"{" + SEPARATOR + b"{}", b"[" * 100_000, b"\xff", buffered(body={"a": 1})]
NO_RESPONSES += [buffered(body="%", isBase64Encoded=True)]


@pytest.mark.parametrize("payload", NO_RESPONSES)
def test_what_is_no_response_is_told_without_quoting_it(client: Any, payload: bytes) -> None:
    with answering(client, payload), pytest.raises(InvocationError) as failed:
        ask(client, FUNCTION, PATH, REQUEST)
    assert str(failed.value) == (
        "The function's answer to request an-id is no HTTP response: name the alias of one for inference."
    )


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b'{"errorType": "Sandbox.Timedout", "errorMessage": "Hello"}', "Sandbox.Timedout"),
        (b'{"errorMessage": "x"}', "without an error type"),
        (b"x", "without an error type"),
        (b"[]", "without an error type"),
    ],
)
def test_a_failed_invocation_is_told_by_its_kind_alone(client: Any, payload: bytes, kind: str) -> None:
    with answering(client, payload, FunctionError="Unhandled"), pytest.raises(InvocationError) as failed:
        ask(client, FUNCTION, PATH, REQUEST)
    assert str(failed.value) == f"The function failed ({kind}); its log has request an-id."


def test_a_throttled_invocation_is_not_tried_again(client: Any) -> None:
    stubber = Stubber(client)
    stubber.add_client_error("invoke", "TooManyRequestsException", "Rate Exceeded.", 429)
    with stubber, pytest.raises(InvocationError, match=r"^The function was not invoked: TooManyRequestsException\.$"):
        ask(client, FUNCTION, PATH, REQUEST)
    stubber.assert_no_pending_responses()


@pytest.mark.parametrize("error", [ConnectTimeoutError, ReadTimeoutError])
def test_an_answer_that_does_not_come_is_told(client: Any, error: type[HTTPClientError]) -> None:
    def lost(**_: Any) -> None:
        raise error(endpoint_url="https://lambda")

    client.meta.events.register("before-send.lambda.Invoke", lost)
    with pytest.raises(InvocationError, match=rf"not invoked, or its answer was lost: {error.__name__}\.$"):
        ask(client, FUNCTION, PATH, REQUEST)


def test_it_waits_once_for_as_long_as_it_is_told(client: Any) -> None:
    assert client.meta.config.read_timeout == 30
    assert client.meta.config.retries["total_max_attempts"] == 1
