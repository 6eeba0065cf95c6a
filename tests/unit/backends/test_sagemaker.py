"""Endpoints of SageMaker: parts that are cut anywhere, components at zero, failures of the container."""

import json
from typing import Any

import pytest

from lambda_llm.backends.contract import Operation, Usage, opened
from lambda_llm.backends.errors import Kind
from lambda_llm.backends.sagemaker import WAKE_SECONDS, Endpoint, SageMaker
from support.backends import HELLO, as_botocore_sends, asking, chunks, client, failure, service_model, signed
from support.event_streams import CUT, JSON, SILENCE, Answer, answering, cut, event, exception

ENDPOINT = Endpoint("llm", component="llama-3-2", session="a-session")
USAGE = {"prompt_tokens": 9, "completion_tokens": 2}
EVENTS: list[dict[str, Any]] = [
    {"choices": [{"index": 0, "delta": {"content": "Grüezi"}}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": USAGE},
]
SSE = "".join(f"data: {json.dumps(each, ensure_ascii=False)}\n\n" for each in EVENTS).encode()
DONE = b"data: [DONE]\n\n"
WHOLE = json.dumps({"choices": [], "usage": USAGE}).encode()
ZERO = (
    "Inference Component has no capacity to process this request. ApplicationAutoScaling may be in-progress (if "
    "configured) or try to increase the capacity by invoking UpdateInferenceComponentRuntimeConfig API."
)


def endpoint(url: str, **more: Any) -> SageMaker:
    return SageMaker("gpu", url, ENDPOINT, "ours", auth=signed("sagemaker"), **more)


def parts(content: bytes, size: int = 1000) -> list[bytes]:
    return [event("PayloadPart", piece) for piece in cut(content, size)]


def refusal(name: str, status: int, **fields: Any) -> Answer:
    return Answer([json.dumps(fields).encode()], status, {**JSON, "x-amzn-errortype": name})


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("where", [ENDPOINT, Endpoint("llm")])
async def test_the_request_is_what_botocore_sends(where: Endpoint, *, stream: bool) -> None:
    body: dict[str, Any] = {"model": "ours", "messages": [{"role": "user", "content": "Hello"}]}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    given = {"InferenceComponentName": where.component, "SessionId": where.session}
    path, headers, content = as_botocore_sends(
        "sagemaker-runtime",
        "invoke_endpoint_with_response_stream" if stream else "invoke_endpoint",
        EndpointName=where.name,
        ContentType="application/json",
        Body=json.dumps(body).encode(),
        **{name: value for name, value in given.items() if value},
    )
    with answering(Answer(parts(SSE + DONE)) if stream else Answer([WHOLE], headers=JSON)) as server:
        backend = SageMaker("gpu", server.url, where, "ours", auth=signed("sagemaker"))
        await chunks(backend, asking(HELLO | ({"stream": True} if stream else {})))
    [asked] = server.asked
    assert (asked.path, asked.json) == (path, json.loads(content))
    assert {name: value for name, value in asked.headers.items() if name.startswith("x-amzn-")} == headers
    assert len(headers) == (2 if where is ENDPOINT else 0)
    assert asked.headers["content-type"] == "application/json"
    assert "/eu-central-1/sagemaker/aws4_request" in asked.headers["authorization"]


def test_the_answers_of_these_tests_are_botocores() -> None:
    with answering(Answer(cut(b"".join(parts(SSE, 37)), 11))) as server:
        made = client("sagemaker-runtime", server.url)
        given = made.invoke_endpoint_with_response_stream(EndpointName="llm", Body=b"{}")["Body"]
        assert b"".join(each["PayloadPart"]["Bytes"] for each in given) == SSE
        made.close()


def test_it_has_chat_completions_alone() -> None:
    assert endpoint("").unsupported(asking(seed=3)) is None
    assert endpoint("").unsupported(asking(operation=Operation.EMBEDDINGS)) == "/v1/embeddings"


@pytest.mark.parametrize("size", [1, 37, 1000])
async def test_parts_cut_lines_anywhere(size: int) -> None:
    with answering(Answer(parts(SSE + DONE, size)), Answer(cut(b"".join(parts(SSE + DONE, 37)), size))) as server:
        for _ in range(2):
            given = await chunks(endpoint(server.url), asking(stream=True))
            assert [json.loads(chunk.data) for chunk in given] == EVENTS
            assert [(chunk.usage, chunk.usage_only) for chunk in given][2:] == [(Usage(9, 2), True)]


async def test_an_answer_in_one_piece() -> None:
    with answering(Answer([WHOLE], headers=JSON)) as server:
        [chunk] = await chunks(endpoint(server.url), asking())
    assert (json.loads(chunk.data), chunk.usage) == (json.loads(WHOLE), Usage(9, 2))


@pytest.mark.parametrize("stream", [False, True])
async def test_a_component_at_zero_wakes(*, stream: bool) -> None:
    given = [refusal("ValidationError", 400, Message=ZERO), refusal("ModelNotReadyException", 429, Message="x")]
    with answering(*given) as server:
        first = await failure(endpoint(server.url), asking(stream=stream))
        later = await failure(endpoint(server.url, wake_seconds=5), asking(stream=stream))
    assert (first.kind, first.retry_after, first.started) == (Kind.WAKING, WAKE_SECONDS, False)
    assert (later.kind, later.retry_after) == (Kind.WAKING, 5)
    assert str(first) == "The backend 'gpu' had scaled to zero, and starts now."


SAID = "You said: Hello"
REFUSALS: list[tuple[Answer, Kind, str]] = [
    (refusal("InternalFailure", 500, Message=SAID), Kind.UNAVAILABLE, "500 (InternalFailure)"),
    (refusal("ServiceUnavailable", 503, Message=SAID), Kind.UNAVAILABLE, "503 (ServiceUnavailable)"),
    (refusal("ValidationError", 400, Message=SAID), Kind.INVALID, "400 (ValidationError)"),
    (refusal("InternalDependencyException", 530, Message=SAID), Kind.UNAVAILABLE, "530 (InternalDependencyException)"),
    (refusal("ModelError", 424, Message=SAID), Kind.UNAVAILABLE, "424 (ModelError)"),
    (
        refusal("ModelError", 424, OriginalStatusCode=400, OriginalMessage='{"error": {"code": "bad_schema"}}'),
        Kind.INVALID,
        "400 (bad_schema)",
    ),
    (
        refusal("ModelError", 424, OriginalStatusCode=400, OriginalMessage="the prompt is too long: " + SAID),
        Kind.TOO_LONG,
        "400",
    ),
    (refusal("ModelError", 424, OriginalStatusCode=429, OriginalMessage=SAID), Kind.THROTTLED, "429"),
    (refusal("ModelError", 424, OriginalStatusCode=500, OriginalMessage=SAID), Kind.UNAVAILABLE, "500"),
    (refusal("ModelError", 424, OriginalStatusCode="?", OriginalMessage=None), Kind.UNAVAILABLE, "424 (ModelError)"),
]


def test_every_refusal_is_known() -> None:
    model = service_model("sagemaker-runtime").operation_model("InvokeEndpoint")
    known = {answer.headers["x-amzn-errortype"]: answer.status for answer, _, _ in REFUSALS}
    known["ModelNotReadyException"] = 429
    assert {each.name: each.metadata["error"]["httpStatusCode"] for each in model.error_shapes} == known


@pytest.mark.parametrize(("answer", "kind", "said"), REFUSALS)
async def test_refusals_of_sagemaker_and_of_the_container_are_told(answer: Answer, kind: Kind, said: str) -> None:
    with answering(answer) as server:
        failed = await failure(endpoint(server.url), asking())
    assert (failed.kind, failed.started) == (kind, False)
    assert str(failed) == f"The backend 'gpu' refused the request with status {said}."


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        (exception("ModelStreamError", {"Message": SAID, "ErrorCode": "ModelInvocationTimeExceeded"}), Kind.TIMEOUT),
        (exception("ModelStreamError", {"Message": SAID, "ErrorCode": "StreamBroken"}), Kind.BROKEN),
        (exception("InternalStreamFailure", {"Message": SAID}), Kind.UNAVAILABLE),
    ],
)
@pytest.mark.parametrize("before", [b"", SSE])
async def test_failures_within_the_stream_have_their_kind(before: bytes, last: bytes, kind: Kind) -> None:
    with answering(Answer([*parts(before), last])) as server:
        failed = await failure(endpoint(server.url), asking(stream=True))
    assert (failed.kind, failed.started) == (kind, bool(before))
    assert str(failed) == "The backend 'gpu' failed while it answered."


@pytest.mark.parametrize("pieces", [parts(SSE), parts(SSE + b"data: {\n\n"), [*parts(SSE), b"no frame, but long"]])
async def test_a_stream_without_its_end_is_broken(pieces: list[bytes]) -> None:
    with answering(Answer(pieces)) as server:
        failed = await failure(endpoint(server.url), asking(stream=True))
    assert (failed.kind, failed.started) == (Kind.BROKEN, True)


async def test_the_deadline_and_a_lost_connection() -> None:
    for fault, kind, seconds in ((SILENCE, Kind.TIMEOUT, 0.3), (CUT, Kind.UNAVAILABLE, 60)):
        for before in ([], parts(SSE)):
            with answering(Answer([*before, fault])) as server:
                failed = await failure(endpoint(server.url), asking(stream=True, seconds=seconds))
            assert (failed.kind, failed.started) == (kind, bool(before))


async def test_leaving_early_ends_the_connection() -> None:
    with answering(Answer([*parts(SSE), SILENCE])) as server:
        backend = endpoint(server.url)
        async with opened(backend, asking(stream=True)) as answer:
            assert json.loads((await anext(answer)).data) == EVENTS[0]
        assert server.left.wait(60)
        await backend.close()
