"""The buffered front door in a process of its own, with the events that Lambda sends."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambda_llm.engine.engine import Engine
from support import emf_schema
from support.answers import EXPECTED, LONG_QUESTION, QUESTION, user
from support.chat import PATH, events, text_of
from support.encoders import ENCODERS
from support.function import Function, function_url_event, started
from support.servers import SYSTEM_PROMPT
from support.service_events import EVENTS

MODEL_ID = "lambda-llm-demo"


@pytest.fixture(scope="module")
def function(pinned: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Function]:
    with started(pinned, tmp_path_factory.mktemp("function") / "log") as function:
        yield function


def asked(question: str = QUESTION, **changes: Any) -> dict[str, Any]:
    return {"model": MODEL_ID, "messages": [user(question)], "temperature": 0} | changes


def api_gateway_event(body: str) -> Any:
    """HTTP API, payload version 2.0.

    Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
    """
    event = function_url_event(body)
    event["routeKey"] = f"POST {PATH}"
    event["cookies"] = ["a=1", "b=2"]
    event["queryStringParameters"] = {"trace": "1"}
    event["rawQueryString"] = "trace=1"
    event["requestContext"]["authorizer"] = {"jwt": {"claims": {"sub": "somebody"}, "scopes": None}}
    event["requestContext"]["domainName"] = "id.execute-api.eu-central-1.amazonaws.com"
    return event


def body_of(response: Any) -> Any:
    assert response["isBase64Encoded"] is False
    return json.loads(response["body"])


def test_the_first_request_finds_the_system_prompt_read(function: Function, engine: Engine) -> None:
    messages = [{"role": "system", "content": SYSTEM_PROMPT}, user("What is a token?")]
    answer = function.handle(asked(messages=messages, max_tokens=1))
    cached = answer["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert cached >= len(engine.model.tokenize(SYSTEM_PROMPT, add_special=False))


def test_a_function_url_is_answered(function: Function) -> None:
    plain = function.handle(function_url_event(json.dumps(asked())))
    assert plain["statusCode"] == 200
    assert plain["headers"]["content-type"] == "application/json"
    assert EXPECTED in body_of(plain)["choices"][0]["message"]["content"]
    encoded = base64.b64encode(json.dumps(asked()).encode()).decode()
    same = function.handle(function_url_event(encoded, encoded=True))
    assert body_of(same)["choices"] == body_of(plain)["choices"]


def test_an_api_gateway_is_answered(function: Function) -> None:
    response = function.handle(api_gateway_event(json.dumps(asked())))
    assert response["statusCode"] == 200
    assert EXPECTED in body_of(response)["choices"][0]["message"]["content"]


@pytest.mark.parametrize(("path", "key"), [("/health", "requests"), ("/v1/models", "data")])
def test_a_get_is_answered(function: Function, path: str, key: str) -> None:
    response = function.handle(function_url_event(None, method="GET", path=path))
    assert response["statusCode"] == 200
    assert key in body_of(response)


def test_a_stream_comes_whole_through_the_buffered_door(function: Function) -> None:
    stream = asked(LONG_QUESTION, stream=True, stream_options={"include_usage": True})
    response = function.handle(function_url_event(json.dumps(stream)))
    assert response["statusCode"] == 200
    assert response["headers"]["content-type"].startswith("text/event-stream")
    assert response["isBase64Encoded"] is False
    *chunks, last, done = events(response["body"])
    assert done == "[DONE]"
    assert last["usage"]["completion_tokens"] > 300
    assert text_of(chunks).endswith("99, 100.")


def test_refusals_keep_their_status_and_shape(function: Function) -> None:
    response = function.handle(function_url_event(json.dumps(asked(model="gpt-5"))))
    assert response["statusCode"] == 404
    assert body_of(response)["error"]["code"] == "model_not_found"
    response = function.handle(function_url_event("{"))
    assert response["statusCode"] == 400
    assert body_of(response)["error"]["code"] == "invalid_json"
    response = function.handle(function_url_event(None))
    assert response["statusCode"] == 400
    assert body_of(response)["error"]["code"] == "invalid_body"


def test_a_plain_invoke_is_answered_by_plain_json(function: Function) -> None:
    answer = function.handle(asked())
    assert answer["object"] == "chat.completion"
    assert EXPECTED in answer["choices"][0]["message"]["content"]
    assert function.handle(asked(stream=True))["choices"] == answer["choices"], "a plain invoke has no stream"


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({}, "missing_required_parameter"),
        (asked(model="gpt-5"), "model_not_found"),
        (asked(functions=[{"name": "x"}]), "unsupported_parameter"),
        (asked("word " * 3000), "context_length_exceeded"),
        ("Hello", "invalid_body"),
        (["Hello"], "invalid_body"),
        (5, "invalid_body"),
        (None, "invalid_body"),
    ],
)
def test_a_plain_invoke_that_can_t_be_answered_gets_the_error_s_json(
    function: Function, payload: Any, code: str
) -> None:
    assert function.handle(payload)["error"]["code"] == code


def test_a_request_and_a_restore_have_their_lines(function: Function) -> None:
    event = function_url_event(json.dumps(asked()))
    event["headers"] |= {"x-request-id": "mine", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
    answer = function.handle(event)
    assert answer["headers"]["x-request-id"] == "mine"
    assert function.do("after") == {"gave": 1}
    function.handle(asked())
    log = [line for line in function.log.read_text().splitlines() if '"event"' in line]
    init, request, restore, plain = (emf_schema.check(line) for line in (log[0], *log[-3:]))
    assert [each["event"] for each in (init, request, restore, plain)] == ["init", "request", "restore", "request"]
    usage = body_of(answer)["usage"]
    assert (request["InputTokens"], request["OutputTokens"]) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert (request["request_id"], request["trace_id"]) == ("mine", "a" * 32)
    assert (request["Restores"], plain["Restores"], plain["operation"]) == (0, 1, PATH)


def test_the_runtime_finds_one_pair_of_hooks_and_they_run(function: Function) -> None:
    before = function.handle(asked())["choices"]
    assert function.do("before") == {"gave": 1}
    assert function.do("after") == {"gave": 1}
    assert function.handle(asked())["choices"] == before
    log = function.log.read_text()
    assert "ready for the snapshot, taken on a CPU with" in log
    assert "restored in " in log


def test_a_restore_on_a_lesser_cpu_fails(function: Function) -> None:
    name, sentence = function.do("after on a lesser cpu")["raised"]
    assert name == "CPUChangedError"
    assert "which this one lacks: publish the version again" in sentence
    assert EXPECTED in json.dumps(function.handle(asked()))


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_the_event_of_a_service_fails_its_invocation(function: Function, event: Any) -> None:
    kind, message = function.do("handle", event)["raised"]
    assert kind == "UnansweredEventError"
    assert message.endswith("give the event to a function of yours that sends a request for it.")


@pytest.mark.parametrize(
    "changes",
    [
        {"requestContext": {}},
        {"requestContext": None},
        {"requestContext": {"http": {}}},
        {"headers": 5},
        {"headers": None, "requestContext": {"http": {"method": "GET"}}},
        {"body": "%%%", "isBase64Encoded": True},
        {"body": 5},
        {"version": "3.0"},
    ],
    ids=str,
)
def test_an_http_event_that_can_t_be_read_gets_an_answer(function: Function, changes: dict[str, Any]) -> None:
    response = function.handle(function_url_event(json.dumps(asked())) | changes)
    assert response["statusCode"] == 400
    assert body_of(response)["error"]["code"] in {"malformed_event", "invalid_body"}


def test_the_log_is_json_and_knows_no_prompt(function: Function) -> None:
    answer = function.handle(asked("Xylophone zebra"))["choices"][0]["message"]["content"]
    function.handle(function_url_event(json.dumps(asked("Xylophone quartz", n=0))))
    for line in function.log.read_text().splitlines():
        assert {"message", "event"} & json.loads(line).keys()
    for text in ("Xylophone", "zebra", "quartz", answer, SYSTEM_PROMPT):
        assert text not in function.log.read_text()


def test_an_init_that_fails_says_why(pinned: dict[str, str]) -> None:
    wrong = {**pinned, "LAMBDA_LLM_MODEL_SHA256": "0" * 64}
    done = subprocess.run(
        [sys.executable, "-c", "import lambda_llm.inference.handler"],
        env=wrong,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "CorruptError: s3://served-models/demo.gguf is damaged or was swapped" in done.stderr


@pytest.mark.parametrize(
    ("name", "payload", "answers"),
    [
        ("embeddings", {"input": "Hello"}, "data"),
        ("classifier", {"input": "What does SnapStart do?"}, "labels"),
        ("reranker", {"query": "Hello", "documents": ["a", "b"]}, "results"),
    ],
)
def test_an_encoder_is_invoked_for_what_it_is_for(
    name: str, payload: dict[str, Any], answers: str, tmp_path: Path
) -> None:
    environment = {**os.environ, "LAMBDA_LLM_MODEL": str(ENCODERS / f"{name}.gguf"), "LAMBDA_LLM_MODEL_NAME": "mine"}
    with started(environment, tmp_path / "log") as function:
        assert function.do("before") == {"gave": 1}
        assert function.do("after") == {"gave": 1}
        assert function.handle(payload | {"model": "mine"})[answers]
        chat = function.handle(function_url_event(json.dumps(asked(model="mine"))))
        assert (chat["statusCode"], body_of(chat)["error"]["code"]) == (400, "unsupported_model")
