"""Converse and ConverseStream as AWS's model says them, with every way in which they fail."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from botocore.validate import ParamValidator

from lambda_llm.backends.auth import BearerAuth
from lambda_llm.backends.contract import Operation, Usage, opened
from lambda_llm.backends.converse import Converse
from lambda_llm.backends.converse_request import ConverseOptions
from lambda_llm.backends.errors import Kind
from support.backends import answered, as_botocore_sends, asking, chunks, client, failure, service_model, signed, wholly
from support.event_streams import CUT, JSON, SILENCE, Answer, answering, cut, error, event, exception

MODEL = "eu.amazon.nova-2-lite-v1:0"
PROFILE = "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/abc123"

METADATA = {
    "usage": {
        "inputTokens": 12,
        "outputTokens": 5,
        "totalTokens": 24,
        "cacheReadInputTokens": 4,
        "cacheWriteInputTokens": 3,
    },
    "metrics": {"latencyMs": 210},
}
STREAM: list[tuple[str, dict[str, Any]]] = [
    ("messageStart", {"role": "assistant"}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "Bonn? "}}}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": "c2ln"}}}),
    ("contentBlockStop", {"contentBlockIndex": 0}),
    ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "Let me "}}),
    ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "löök."}}),
    ("contentBlockStop", {"contentBlockIndex": 1}),
    ("contentBlockStart", {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "t1", "name": "weather"}}}),
    ("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"toolUse": {"input": '{"city":'}}}),
    ("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"toolUse": {"input": ' "Bonn"}'}}}),
    ("contentBlockStop", {"contentBlockIndex": 2}),
    ("contentBlockStart", {"contentBlockIndex": 3, "start": {"toolUse": {"toolUseId": "t2", "name": "now"}}}),
    ("contentBlockDelta", {"contentBlockIndex": 3, "delta": {"toolUse": {"input": ""}}}),
    ("contentBlockStop", {"contentBlockIndex": 3}),
    ("messageStop", {"stopReason": "tool_use"}),
    ("metadata", METADATA),
]
FRAMES = [event(name, fields) for name, fields in STREAM]
WHOLE: dict[str, Any] = {
    "output": {
        "message": {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "Bonn? ", "signature": "c2ln"}}},
                {"text": "Let me "},
                {"text": "löök."},
                {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Bonn"}}},
                {"toolUse": {"toolUseId": "t2", "name": "now", "input": {}}},
            ],
        }
    },
    "stopReason": "tool_use",
    "serviceTier": {"type": "flex"},
    **METADATA,
}
MESSAGE = {
    "content": "Let me löök.",
    "reasoning_content": "Bonn? ",
    "tool_calls": [
        {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bonn"}'}},
        {"id": "t2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
    ],
}
USAGE = {
    "prompt_tokens": 19,
    "completion_tokens": 5,
    "total_tokens": 24,
    "prompt_tokens_details": {"cached_tokens": 4},
}


def converse(url: str, model: str = MODEL) -> Converse:
    return Converse("nova", url, model, auth=signed("bedrock"))


def in_one_piece(answer: Any) -> Answer:
    return Answer([json.dumps(answer).encode()], headers=JSON)


def refusal(name: str, status: int, message: str = "so it is", **headers: str) -> Answer:
    content = json.dumps({"message": message}).encode()
    return Answer([content], status, {**JSON, "x-amzn-errortype": name, **headers})


# -- what is sent -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [MODEL, PROFILE, "us.anthropic.claude-haiku-5-5-v1:0"])
async def test_the_request_is_what_botocore_sends(model: str, *, stream: bool) -> None:
    operation = "converse_stream" if stream else "converse"
    messages = [{"role": "user", "content": [{"text": "Hello"}]}]
    path, headers, body = as_botocore_sends("bedrock-runtime", operation, modelId=model, messages=messages)
    assert headers == {}
    with answering(Answer(FRAMES) if stream else in_one_piece(WHOLE)) as server:
        await chunks(converse(server.url, model), asking(stream=stream))
    [asked] = server.asked
    assert (asked.path, asked.json) == (path, json.loads(body))
    assert asked.headers["content-type"] == "application/json"
    assert "/eu-central-1/bedrock/aws4_request" in asked.headers["authorization"]


async def test_a_key_of_bedrock_will_do() -> None:
    async def key(_: str | None) -> str:
        return "a-key"

    with answering(in_one_piece(WHOLE)) as server:
        await chunks(Converse("nova", server.url, MODEL, auth=BearerAuth(key)), asking())
    assert server.asked[0].headers["authorization"] == "Bearer a-key"


async def test_what_it_can_not_honour_is_named_and_not_sent() -> None:
    with answering(in_one_piece(WHOLE)) as server:
        failed = await failure(converse(server.url), asking(seed=3))
    assert (failed.kind, failed.param, failed.started, server.asked) == (Kind.UNSUPPORTED, "seed", False, [])
    assert str(failed) == (
        "The backend 'nova' (Bedrock's Converse) can't honour 'seed': leave it out, or choose another model."
    )


@pytest.mark.parametrize("operation", [each for each in Operation if each is not Operation.CHAT])
def test_it_has_chat_completions_alone(operation: Operation) -> None:
    assert converse("").unsupported(asking(operation=operation)) == operation.value
    assert converse("").unsupported(asking()) is None


# -- what comes back --------------------------------------------------------------------------------


def test_the_answers_of_these_tests_are_botocores() -> None:
    """A real client reads the same from this server as the model of the service says."""
    model = service_model("bedrock-runtime")
    shapes = model.operation_model("ConverseStream").get_event_stream_output().members
    for name, fields in STREAM:
        report = ParamValidator().validate(fields, shapes[name])
        assert not report.has_errors(), report.generate_report()
    with answering(Answer(cut(b"".join(FRAMES), 37)), in_one_piece(WHOLE)) as server:
        made = client("bedrock-runtime", server.url)
        given = {"modelId": MODEL, "messages": [{"role": "user", "content": [{"text": "Hello"}]}]}
        events = list(made.converse_stream(**given)["stream"])
        answer = made.converse(**given)
        made.close()
    assert events == [{name: fields} for name, fields in STREAM]
    assert {name: answer[name] for name in WHOLE} == WHOLE


async def test_an_answer_in_one_piece() -> None:
    with answering(in_one_piece(WHOLE)) as server:
        [chunk] = await chunks(converse(server.url), asking())
    answer = json.loads(chunk.data)
    [choice] = answer["choices"]
    assert choice == {
        "index": 0,
        "message": {"role": "assistant", "refusal": None, **MESSAGE},
        "logprobs": None,
        "finish_reason": "tool_calls",
    }
    assert (answer["object"], answer["id"], answer["model"]) == ("chat.completion", "chatcmpl-an-id", MODEL)
    assert (answer["usage"], answer["service_tier"]) == (USAGE, "flex")
    assert (chunk.usage, chunk.usage_only) == (Usage(19, 5, 4), False)


async def test_a_stream_says_the_same_with_usage_at_the_end() -> None:
    with answering(Answer(FRAMES)) as server:
        given = await chunks(converse(server.url), asking(stream=True))
    parsed = [json.loads(chunk.data) for chunk in given]
    assert wholly(parsed) == {**MESSAGE, "finish_reason": "tool_calls"}
    assert parsed[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert {(each["object"], each["id"], each["model"]) for each in parsed} == {
        ("chat.completion.chunk", "chatcmpl-an-id", MODEL)
    }
    assert (parsed[-1]["choices"], parsed[-1]["usage"]) == ([], USAGE)
    assert parsed[-2]["choices"][0]["finish_reason"] == "tool_calls"
    assert [chunk.usage_only for chunk in given] == [False] * (len(given) - 1) + [True]
    assert [chunk.usage for chunk in given if chunk.usage] == [Usage(19, 5, 4)]


async def test_a_stream_may_be_cut_at_every_byte() -> None:
    content = b"".join(FRAMES)
    with answering(Answer(FRAMES)) as server:
        [*expected] = await answered(converse(server.url), asking(stream=True))
    with answering(Answer(cut(content, 1)), Answer(cut(content, 7))) as server:
        for _ in range(2):
            given = await answered(converse(server.url), asking(stream=True))
            assert [each["choices"] for each in given] == [each["choices"] for each in expected]


FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": None,
    "malformed_tool_use": None,
}


def test_every_reason_to_stop_is_known() -> None:
    model = service_model("bedrock-runtime")
    assert set(FINISHES) == set(model.shape_for("StopReason").enum)


@pytest.mark.parametrize(("reason", "finish"), [*FINISHES.items(), ("of-next-year", None)])
async def test_reasons_to_stop(reason: str, finish: str | None) -> None:
    start = event("messageStart", {"role": "assistant"})
    stop = event("messageStop", {"stopReason": reason})
    with answering(Answer([start, stop]), in_one_piece({**WHOLE, "stopReason": reason})) as server:
        for stream in (True, False):
            if finish is None:
                failed = await failure(converse(server.url), asking(stream=stream))
                assert (failed.kind, failed.started) == (Kind.BROKEN, stream)
            else:
                given = await answered(converse(server.url), asking(stream=stream))
                assert given[-1]["choices"][0]["finish_reason"] == finish


async def test_a_call_that_was_not_allowed_is_no_answer() -> None:
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    with answering(Answer(FRAMES), in_one_piece(WHOLE)) as server:
        for stream in (True, False):
            failed = await failure(converse(server.url), asking(stream=stream, tools=tools, tool_choice="none"))
            assert failed.kind is Kind.BROKEN


# -- failures ---------------------------------------------------------------------------------------

IN_STREAM = [
    (exception("throttlingException", {"message": "slow down"}), Kind.THROTTLED),
    (exception("internalServerException", {"message": "so it is"}), Kind.UNAVAILABLE),
    (exception("serviceUnavailableException", {"message": "so it is"}), Kind.UNAVAILABLE),
    (exception("modelStreamErrorException", {"message": "x", "originalStatusCode": 500}), Kind.BROKEN),
    (exception("validationException", {"message": "so it is"}), Kind.INVALID),
    (exception("validationException", {"message": "Input is too long for requested model."}), Kind.TOO_LONG),
    (exception("ofNextYearException", {}), Kind.BROKEN),
    (error("ThrottlingException"), Kind.THROTTLED),
    (error("InternalFailure"), Kind.BROKEN),
]


@pytest.mark.parametrize(("last", "kind"), IN_STREAM)
@pytest.mark.parametrize("before", [0, 6])
async def test_an_exception_within_the_stream_has_its_kind(before: int, last: bytes, kind: Kind) -> None:
    with answering(Answer([*FRAMES[:before], last])) as server:
        failed = await failure(converse(server.url), asking(stream=True))
    assert (failed.kind, failed.started) == (kind, before > 0)
    assert str(failed) == "The backend 'nova' failed while it answered."


@pytest.mark.parametrize("end", [[], [CUT], [FRAMES[14][:20]], [FRAMES[14][:20], CUT]])
async def test_a_stream_that_ends_before_its_end_is_broken(end: list[Any]) -> None:
    with answering(Answer([*FRAMES[:14], *end])) as server:
        failed = await failure(converse(server.url), asking(stream=True))
    assert failed.started
    # What httpx says of a connection that ends within a chunk can't be told from a lost one.
    assert failed.kind is (Kind.UNAVAILABLE if CUT in end else Kind.BROKEN)


@pytest.mark.parametrize(
    "bad",
    [
        b"data: no frame at all, but longer than a prelude\n\n",
        FRAMES[0][:-1] + b"\x00",
        event("contentBlockDelta", {"contentBlockIndex": 9, "delta": {"toolUse": {"input": "{}"}}}),
        event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"image": {}}}),
        event("contentBlockStart", {"contentBlockIndex": 0, "start": {"image": {"format": "png"}}}),
        event("contentBlockDelta", {"delta": 3}),
        event("contentBlockDelta", b"[]"),
        event("messageStop", {}),
        event("ofNextYear", {}),
    ],
)
async def test_what_is_no_event_of_converse_is_broken(bad: bytes) -> None:
    with answering(Answer([FRAMES[0], bad, *FRAMES[14:]])) as server:
        failed = await failure(converse(server.url), asking(stream=True))
    assert (failed.kind, failed.started) == (Kind.BROKEN, True)


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b"[]", b"{}", b"[" * 100_000, b'{"stopReason": "end_turn"}', b'{"stopReason": 3, "output": {}}'],
)
async def test_what_is_no_answer_is_broken(content: bytes) -> None:
    with answering(Answer([content], headers=JSON)) as server:
        assert (await failure(converse(server.url), asking())).kind is Kind.BROKEN


REFUSALS = [
    ("ThrottlingException", 429, Kind.THROTTLED),
    ("ModelNotReadyException", 429, Kind.THROTTLED),
    ("ServiceUnavailableException", 503, Kind.UNAVAILABLE),
    ("InternalServerException", 500, Kind.UNAVAILABLE),
    ("ModelTimeoutException", 408, Kind.TIMEOUT),
    ("ModelErrorException", 424, Kind.UNAVAILABLE),
    ("ValidationException", 400, Kind.INVALID),
    ("AccessDeniedException", 403, Kind.FORBIDDEN),
    ("ResourceNotFoundException", 404, Kind.NOT_FOUND),
]


def test_every_refusal_is_known() -> None:
    model = service_model("bedrock-runtime")
    errors = model.operation_model("ConverseStream").error_shapes
    assert {(each.name, each.metadata["error"]["httpStatusCode"]) for each in errors} == {
        (name, status) for name, status, _ in REFUSALS
    }


@pytest.mark.parametrize(("name", "status", "kind"), REFUSALS)
async def test_a_refusal_has_its_kind_and_nothing_of_the_prompt(name: str, status: int, kind: Kind) -> None:
    with answering(refusal(name + ":http://internal.amazon.com/", status, "you said Hello")) as server:
        failed = await failure(converse(server.url), asking(stream=True))
    assert (failed.kind, failed.started, failed.retry_after) == (kind, False, None)
    assert str(failed) == f"The backend 'nova' refused the request with status {status} ({name})."
    # 403 is a stale key, or none that may: the signature is asked once more only with another key.
    assert len(server.asked) == 1


async def test_a_prompt_that_is_too_long_is_told() -> None:
    with answering(refusal("ValidationException", 400, "Input is too long for requested model.")) as server:
        assert (await failure(converse(server.url), asking())).kind is Kind.TOO_LONG


async def test_when_to_come_again_is_a_number_or_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=3600), usegmt=True)
    given = [refusal("ThrottlingException", 429, **{"retry-after": each}) for each in ("7", date, "soon")]
    with answering(*given) as server:
        seconds, until, unknown = [(await failure(converse(server.url), asking())).retry_after for _ in range(3)]
    assert (seconds, unknown) == (7, None)
    assert until is not None
    assert 3000 < until <= 3600


@pytest.mark.parametrize("pieces", [[SILENCE], [*FRAMES[:6], SILENCE]])
async def test_the_deadline_ends_a_silence(pieces: list[Any]) -> None:
    with answering(Answer(pieces)) as server:
        failed = await failure(converse(server.url), asking(stream=True, seconds=0.3))
        assert server.left.wait(60)
    assert (failed.kind, failed.started) == (Kind.TIMEOUT, len(pieces) > 1)


async def test_leaving_early_ends_the_connection() -> None:
    backend = converse("")
    with answering(Answer([*FRAMES[:6], SILENCE])) as server:
        backend = converse(server.url)
        async with opened(backend, asking(stream=True)) as answer:
            first = json.loads((await anext(answer)).data)
        assert server.left.wait(60)
        await backend.close()
    assert first["choices"][0]["delta"]["role"] == "assistant"


async def test_options_are_in_every_request() -> None:
    options = ConverseOptions(guardrail=("gr1", "DRAFT"), service_tier="flex", cache_points=True)
    with answering(in_one_piece(WHOLE)) as server:
        await chunks(Converse("nova", server.url, MODEL, auth=signed("bedrock"), options=options), asking())
    assert server.asked[0].json == {
        "messages": [{"role": "user", "content": [{"text": "Hello"}]}],
        "serviceTier": {"type": "flex"},
        "guardrailConfig": {"guardrailIdentifier": "gr1", "guardrailVersion": "DRAFT"},
    }
