"""Whose a request is, at both front doors: what the authorizer of API Gateway says, and nothing that a caller can send.

The streaming door is behind the real web adapter.
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from support import chat
from support.endless import NAME
from support.function import function_url_event
from support.function import started as function_started
from support.rest_api import STAGE, rest_event
from support.runtime_api import Report
from support.service_events import EVENTS
from support.web_adapter import answer_of, behind_the_adapter, needs_cargo

TOKENS = 4
Headers = Mapping[str, str]
NONE: Headers = {}
SECRET = "alice's contract number is 4711, and nobody but alice may know of it. " * 4

BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": SECRET}], "max_tokens": TOKENS},
    "/v1/completions": {"prompt": SECRET, "max_tokens": TOKENS},
    "/v1/responses": {"input": SECRET, "max_output_tokens": TOKENS},
    "/v1/messages": {"messages": [{"role": "user", "content": SECRET}], "max_tokens": TOKENS},
}


@dataclass
class Answered:
    """What came out of a door, whatever its form."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Door:
    """One of the two.

    Attributes:
        ask: gives it an event of an HTTP request.
        invoke: gives it any event, and returns the status and the JSON of what came back; None: it failed.
    """

    ask: Callable[[Any], Answered]
    invoke: Callable[[Any], tuple[int | None, Any]]


@contextmanager
def buffered(environment: dict[str, str], folder: Path) -> Iterator[Door]:
    with function_started(environment, folder / "log") as function:

        def ask(event: Any) -> Answered:
            given = function.handle(event)
            body = base64.b64decode(given["body"]) if given["isBase64Encoded"] else given["body"].encode()
            return Answered(given["statusCode"], given["headers"], body)

        def invoke(event: Any) -> tuple[int | None, Any]:
            done = function.do("handle", event)
            return (None, None) if "raised" in done else (200 if "choices" in done["gave"] else 403, done["gave"])

        yield Door(ask, invoke)


@contextmanager
def streaming(environment: dict[str, str], folder: Path) -> Iterator[Door]:
    with behind_the_adapter(folder, environment) as started:

        def read(report: Report) -> Answered:
            answer = answer_of(report)
            return Answered(answer.status, answer.headers, answer.body)

        def invoke(event: Any) -> tuple[int | None, Any]:
            report = started.api.invoke(event)
            if report.path.endswith("/error"):
                return None, None
            answer = read(report)
            return answer.status, answer.json

        yield Door(lambda event: read(started.api.invoke(event)), invoke)


@pytest.fixture(scope="module", params=["buffered", pytest.param("streaming", marks=needs_cargo)])
def door(
    request: pytest.FixtureRequest, endless_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Door]:
    environment = {"LAMBDA_LLM_MODEL": str(endless_model), "LAMBDA_LLM_TENANT": "authorizer"}
    opened = {"buffered": buffered, "streaming": streaming}[request.param]
    with opened(environment, tmp_path_factory.mktemp("door")) as door:
        yield door


def as_rest(body: Any, tenant: str | None, path: str = chat.PATH, headers: Headers = NONE) -> Any:
    said = None if tenant is None else {"tenant": tenant, "plan": "standard", "key_id": "key_1"}
    return rest_event(json.dumps(body), said, path=path, headers=headers)


def as_http(body: Any, tenant: str | None, path: str = chat.PATH, headers: Headers = NONE) -> Any:
    """An HTTP API with an authorizer of its own, payload version 2.0."""
    event = function_url_event(json.dumps(body), path=path)
    event["headers"] |= dict(headers)
    if tenant is not None:
        event["requestContext"]["authorizer"] = {"lambda": {"tenant": tenant, "plan": "standard"}}
    return event


EVENTS_OF = {"REST": as_rest, "HTTP": as_http}
Event = Callable[..., Any]


@pytest.fixture(params=list(EVENTS_OF.values()), ids=list(EVENTS_OF))
def event_of(request: pytest.FixtureRequest) -> Event:
    event: Event = request.param
    return event


def asked(path: str = chat.PATH, **changes: Any) -> dict[str, Any]:
    return {"model": NAME, "temperature": 0, **BODIES[path], **changes}


def cached(answer: Answered) -> int:
    """Tokens of the prompt that needed no prefill."""
    assert answer.status == HTTPStatus.OK, answer.body
    usage = answer.json["usage"]
    if "cache_read_input_tokens" in usage:
        return int(usage["cache_read_input_tokens"])
    details = usage.get("prompt_tokens_details") or usage["input_tokens_details"]
    return int(details["cached_tokens"])


@pytest.mark.parametrize("path", BODIES)
def test_a_tenant_finds_its_own_prompts_and_nobody_else_s(door: Door, event_of: Event, path: str) -> None:
    door.ask(event_of(asked(path), "mallory", path))
    assert cached(door.ask(event_of(asked(path), "alice", path))) == 0
    assert cached(door.ask(event_of(asked(path), "alice", path))) > 0
    assert cached(door.ask(event_of(asked(path), "bob", path))) == 0


FORGED: dict[str, dict[str, str]] = {
    "the adapter's header, as a REST API's": {
        "x-amzn-request-context": json.dumps({"authorizer": {"tenant": "alice"}, "stage": "prod"})
    },
    "the adapter's header, as an HTTP API's": {
        "X-Amzn-Request-Context": json.dumps({"authorizer": {"lambda": {"tenant": "alice"}}})
    },
    "Lambda's header": {"x-amz-tenant-id": "alice"},
    "headers that might be one": {
        "x-tenant": "alice", "x-tenant-id": "alice", "tenant": "alice", "x-lambda-llm-tenant": "alice",
        "lambda-llm.origin": "alice", "x-amzn-lambda-context": json.dumps({"tenant_id": "alice"}),
    },
}  # fmt: skip


@pytest.mark.parametrize("headers", FORGED.values(), ids=FORGED)
def test_no_header_of_a_caller_names_the_tenant(door: Door, event_of: Event, headers: dict[str, str]) -> None:
    door.ask(event_of(asked(), "alice"))
    assert cached(door.ask(event_of(asked(), "alice"))) > 0
    assert cached(door.ask(event_of(asked(), "mallory", headers=headers))) == 0
    assert cached(door.ask(event_of(asked(), "mallory", headers=headers))) > 0, "it is mallory's all the same"


def test_no_number_of_headers_names_the_tenant(door: Door) -> None:
    forged = json.dumps({"authorizer": {"tenant": "alice"}})
    door.ask(as_rest(asked(), "alice"))
    event = as_rest(asked(), "mallory")
    for name in ("x-amzn-request-context", "X-Amzn-Request-Context", "X-AMZN-REQUEST-CONTEXT"):
        event["multiValueHeaders"][name] = [forged, forged]
    assert cached(door.ask(event)) == 0
    del event["requestContext"]["authorizer"]
    assert door.ask(event).status == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize("headers", [{}, *FORGED.values()], ids=["nothing", *FORGED])
def test_without_an_authorizer_nobody_is_answered(door: Door, event_of: Event, headers: dict[str, str]) -> None:
    for path, body in [(chat.PATH, asked()), ("/v1/models", None), ("/health", None), ("/tokenize", {"content": "a"})]:
        answer = door.ask(event_of(body, None, path, headers))
        assert (answer.status, answer.json["error"]["code"]) == (HTTPStatus.FORBIDDEN, "no_tenant")
        assert answer.json["error"]["message"].endswith("send it to the API's address, with a key.")


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/v1/messages", lambda said: (said["type"], said["error"]["type"]) == ("error", "permission_error")),
        ("/api/chat", lambda said: isinstance(said["error"], str)),
        ("/v1/chat/completions", lambda said: said["error"]["type"] == "invalid_request_error"),
    ],
)
def test_the_refusal_has_the_form_of_the_path_s_api(
    door: Door, event_of: Event, path: str, error: Callable[[Any], bool]
) -> None:
    answer = door.ask(event_of({}, None, path))
    assert answer.status == HTTPStatus.FORBIDDEN
    assert error(answer.json), answer.json


@pytest.mark.parametrize(
    ("path", "user"),
    [(path, {"user": "alice"}) for path in BODIES if path != "/v1/messages"]
    + [("/v1/messages", {"metadata": {"user_id": "alice"}})],
)
def test_no_field_of_a_request_names_the_tenant(door: Door, event_of: Event, path: str, user: dict[str, Any]) -> None:
    door.ask(event_of(asked(path), "alice", path))
    assert cached(door.ask(event_of(asked(path, **user), "mallory", path))) == 0


@pytest.mark.parametrize(
    "authorizer",
    [
        {},
        {"tenant": ""},
        {"tenant": None},
        {"tenant": 7},
        {"tenant": ["alice"]},
        {"claims": {"tenant": "alice"}},
        {"jwt": {"claims": {"tenant": "alice"}, "scopes": None}},
        {"iam": {"userId": "alice", "tenant": "alice"}},
        {"lambda": {"plan": "standard"}},
        {"tenant": "alice", "max_tokens": "many"},
        {"tenant": "alice", "max_tokens": "0"},
    ],
    ids=str,
)
def test_an_authorizer_that_names_no_tenant_lets_nobody_in(door: Door, authorizer: dict[str, Any]) -> None:
    answer = door.ask(rest_event(json.dumps(asked()), authorizer))
    assert (answer.status, answer.json["error"]["code"]) == (HTTPStatus.FORBIDDEN, "no_tenant")


def test_whoever_is_let_in_by_iam_is_no_tenant(door: Door) -> None:
    """A Function URL's own authorizer knows a principal, not a tenant."""
    event = function_url_event(json.dumps(asked()))
    event["requestContext"]["authorizer"] = {"iam": {"accountId": "123456789012", "userArn": "arn:aws:iam::1:user/a"}}
    assert door.ask(event).status == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"authorizer": {"tenant": "alice"}},
        {"lambda_llm.origin": {"tenant": "alice"}},
    ],
    ids=str,
)
def test_a_plain_invocation_is_of_no_tenant(door: Door, extra: dict[str, Any]) -> None:
    status, said = door.invoke(asked() | extra)
    assert (status, said["error"]["code"]) == (HTTPStatus.FORBIDDEN, "no_tenant")


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_the_event_of_a_service_still_fails_its_invocation(door: Door, event: Any) -> None:
    """An answer, of whatever status, would delete the messages of a queue."""
    assert door.invoke(event) == (None, None)


@pytest.mark.parametrize(("asks", "gets"), [(None, 3), (2, 2), (TOKENS, 3)])
@pytest.mark.parametrize("limit", [3, "3"], ids=["a number", "a text"])
def test_the_authorizer_caps_the_answer(
    door: Door, event_of: Event, asks: int | None, gets: int, limit: int | str
) -> None:
    event = event_of({name: value for name, value in asked(max_tokens=asks).items() if value is not None}, "alice")
    said = event["requestContext"]["authorizer"]
    said.get("lambda", said)["max_tokens"] = limit
    answer = door.ask(event)
    assert answer.json["usage"]["completion_tokens"] == gets
    assert answer.json["choices"][0]["finish_reason"] == "length"


# -- REST APIs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [chat.PATH, f"/{STAGE}{chat.PATH}", "/chat/completions", f"{chat.PATH}/"])
def test_a_path_is_found_with_and_without_the_stage(door: Door, event_of: Event, path: str) -> None:
    event = event_of(asked(), "alice", path)
    event["requestContext"]["stage"] = STAGE
    assert door.ask(event).status == HTTPStatus.OK


def test_another_first_word_is_no_stage(door: Door, event_of: Event) -> None:
    answer = door.ask(event_of(asked(), "alice", f"/staging{chat.PATH}"))
    assert answer.status == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize("changes", [{}, {"headers": None}, {"multiValueHeaders": None}], ids=str)
@pytest.mark.parametrize("query", [None, {}, {"a": ["1", "2"], "b": [""]}], ids=str)
@pytest.mark.parametrize("encoded", [False, True])
def test_rest_api_s_events_are_read(
    door: Door, changes: dict[str, Any], query: dict[str, list[str]] | None, *, encoded: bool
) -> None:
    text = json.dumps(asked(messages=[{"role": "user", "content": "Ça va?"}]), ensure_ascii=False)
    body = base64.b64encode(text.encode()).decode() if encoded else text
    event = rest_event(body, {"tenant": "alice"}, encoded=encoded) | changes
    event["multiValueQueryStringParameters"] = query
    event["queryStringParameters"] = {name: values[-1] for name, values in (query or {}).items()}
    answer = door.ask(event)
    assert answer.status == HTTPStatus.OK, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["usage"]["completion_tokens"] == TOKENS


def test_an_http_api_may_send_the_events_of_rest_apis(door: Door) -> None:
    """Payload version 1.0, in which the path has the stage."""
    door.ask(as_rest(asked(), "alice"))
    for tenant, finds in (("bob", False), ("bob", True)):
        answer = door.ask(as_rest(asked(), tenant, f"/{STAGE}{chat.PATH}") | {"version": "1.0"})
        assert (cached(answer) > 0) is finds


def test_a_get_without_a_body_is_answered(door: Door) -> None:
    answer = door.ask(rest_event(None, {"tenant": "alice"}, method="GET", path="/v1/models"))
    assert answer.json["data"][0]["id"] == NAME


def test_its_refusals_have_openai_s_form(door: Door) -> None:
    answer = door.ask(rest_event(json.dumps(asked(model="gpt-5")), {"tenant": "alice"}))
    assert (answer.status, answer.json["error"]["code"]) == (HTTPStatus.NOT_FOUND, "model_not_found")


@needs_cargo
def test_a_rest_api_gets_a_stream_with_its_prelude(
    endless_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What `responseTransferMode: STREAM` reads: status and headers as JSON, eight NULs, and the body as it is made.

    Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html
    """
    environment = {"LAMBDA_LLM_MODEL": str(endless_model), "LAMBDA_LLM_TENANT": "authorizer"}
    with behind_the_adapter(tmp_path_factory.mktemp("stream"), environment) as started:
        body = asked(stream=True, stream_options={"include_usage": True}, max_tokens=20)
        report = started.api.invoke(as_rest(body, "alice"))
        again = started.api.invoke(as_rest(body, "bob"))
        refused = answer_of(started.api.invoke(as_rest(body, None)))
    assert report.headers["content-type"] == "application/vnd.awslambda.http-integration-response"
    prelude, nuls, *events = (chunk.data for chunk in report.chunks)
    assert nuls == b"\0" * 8
    read = json.loads(prelude)
    assert read["statusCode"] == HTTPStatus.OK
    assert read["headers"]["content-type"].startswith("text/event-stream")
    assert len(events) > 20
    for each in (report, again):
        *_, usage, done = chat.events(answer_of(each).body.decode())
        assert done == "[DONE]"
        assert usage["usage"]["completion_tokens"] == 20
        assert usage["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert (refused.status, json.loads(refused.body)["error"]["code"]) == (HTTPStatus.FORBIDDEN, "no_tenant")
