"""Nothing passes a guardrail unchecked, whatever becomes of the guardrail."""

import json
import random
import socket
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from lambda_llm.backends.contract import Chunk, Operation
from lambda_llm.backends.errors import BackendError, Kind
from lambda_llm.router.guardrail import OVERLAP_CHARACTERS, REQUEST_CHARACTERS, Guardrail, Source
from support import event_streams
from support.backends import as_botocore_sends, asking, signed
from support.guardrails import Guard, guarding, said

BOTH: frozenset[Source] = frozenset({"INPUT", "OUTPUT"})
ARN = "arn:aws:bedrock:eu-central-1:123456789012:guardrail/abc123"


def guardrail(url: str, checks: frozenset[Source] = BOTH, window: int = 500, identifier: str = "abc123") -> Guardrail:
    return Guardrail("pii", url, identifier, "1", auth=signed("bedrock"), checks=checks, window=window)


async def check(guard: Guard, text: str = "Hello", *, seconds: float = 60, **more: Any) -> None:
    given = guardrail(guard.url)
    try:
        await given.check(asking({"messages": [{"role": "user", "content": text}]}, seconds=seconds, **more))
    finally:
        await given.close()


class Answer:
    """Chunks of a stream, or of a whole answer, and how many of them were taken."""

    def __init__(self, texts: Sequence[str], failure: BackendError | None = None) -> None:
        self.datas = [json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode() for text in texts]
        self.failure = failure
        self.closed = False

    async def chunks(self) -> AsyncGenerator[Chunk]:
        try:
            for data in self.datas:
                yield Chunk(data)
            if self.failure is not None:
                raise self.failure
        finally:
            self.closed = True


async def through(
    guard: Guard, answer: Answer, *, stream: bool = True, most: int = 10**9, window: int = 500
) -> tuple[list[bytes], BackendError | None]:
    """The chunks that came through, and how they ended early."""
    given = guardrail(guard.url, window=window)
    got: list[bytes] = []
    chunks = given.checked(asking(stream=stream), answer.chunks())
    try:
        async for chunk in chunks:
            got.append(chunk.data)
            if len(got) == most:
                break
    except BackendError as error:
        return got, error
    else:
        return got, None
    finally:
        await chunks.aclose()
        await given.close()
        assert answer.closed


@pytest.mark.parametrize("identifier", ["abc123", ARN])
async def test_the_request_is_what_botocore_sends(identifier: str) -> None:
    """Path, body and signature."""
    path, _, body = as_botocore_sends(
        "bedrock-runtime", "apply_guardrail", guardrailIdentifier=identifier, guardrailVersion="1", source="INPUT",
        content=[{"text": {"text": "Hello"}}],
    )  # fmt: skip
    with event_streams.answering(
        event_streams.Answer([json.dumps(said("Hello", (), None)).encode()], headers=event_streams.JSON)
    ) as server:
        given = guardrail(server.url, identifier=identifier)
        await given.check(asking())
        await given.close()
    [asked] = server.asked
    assert (asked.path, asked.json) == (path, json.loads(body))
    assert "/eu-central-1/bedrock/aws4_request" in asked.headers["authorization"]


async def test_a_request_is_checked_before_anybody_gets_it() -> None:
    """The sentence names the policy, and nothing of the request."""
    with guarding("bomb") as guard:
        await check(guard)
        with pytest.raises(BackendError) as refused:
            await check(guard, "How to build a bomb?")
    assert str(refused.value) == "The guardrail 'pii' blocked the request by its wordPolicy."
    assert (refused.value.kind, refused.value.started) == (Kind.BLOCKED, False)
    assert (guard.texts, guard.sources) == (["Hello", "How to build a bomb?"], ["INPUT"] * 2)


async def test_what_would_be_masked_is_refused_by_name() -> None:
    """A client must not think that its text went on as it is."""
    with guarding(masks="a@example.com") as guard, pytest.raises(BackendError) as refused:
        await check(guard, "Write to a@example.com")
    assert str(refused.value) == (
        "The guardrail 'pii' would mask a part of the request, which the router does not do: leave out what is "
        "sensitive in it."
    )
    assert refused.value.kind is Kind.BLOCKED


async def test_what_is_no_text_is_refused_by_name_and_not_sent() -> None:
    with guarding() as guard, pytest.raises(BackendError) as refused:
        await check(guard, input=[1, 2], operation=Operation.EMBEDDINGS)
    assert (refused.value.kind, refused.value.param, guard.texts) == (Kind.UNSUPPORTED, "input", [])


async def test_a_long_request_is_checked_in_parts_that_overlap() -> None:
    """No word is cut in two by the end of a part."""
    words = [f"word{number:05}" for number in range(3 * REQUEST_CHARACTERS // 10)]
    text = " ".join(words)
    with guarding("bomb") as guard:
        await check(guard, text)
        assert all(len(each) <= REQUEST_CHARACTERS for each in guard.texts)
        assert all(any(word in each for each in guard.texts) for word in words)
        assert sum(map(len, guard.texts)) == len(text) + OVERLAP_CHARACTERS * (len(guard.texts) - 1)
        for place in (REQUEST_CHARACTERS - 2, 2 * REQUEST_CHARACTERS):
            with pytest.raises(BackendError, match="blocked"):
                await check(guard, text[:place] + "bomb" + text[place:])
        guard.texts.clear()
        await check(guard, "  ")
        assert guard.texts == []


@pytest.mark.parametrize(
    ("instead", "kind", "retry_after", "why"),
    [
        (JSONResponse({}, 429, {"x-amzn-errortype": "ThrottlingException"}), Kind.THROTTLED, None, "status 429 (Thr"),
        (JSONResponse({}, 429, {"retry-after": "7"}), Kind.THROTTLED, 7, "status 429"),
        (JSONResponse({}, 400, {"x-amzn-errortype": "ValidationException"}), Kind.UNAVAILABLE, None, "status 400 (Val"),
        (JSONResponse({}, 403), Kind.UNAVAILABLE, None, "status 403"),
        (JSONResponse({}, 404), Kind.UNAVAILABLE, None, "status 404"),
        (JSONResponse({}, 500), Kind.UNAVAILABLE, None, "status 500"),
        (JSONResponse({}), Kind.UNAVAILABLE, None, "is none of ApplyGuardrail"),
        (JSONResponse({"action": "ALLOW"}), Kind.UNAVAILABLE, None, "is none of ApplyGuardrail"),
        (JSONResponse([]), Kind.UNAVAILABLE, None, "is none of ApplyGuardrail"),
        (Response(b"<html>"), Kind.UNAVAILABLE, None, "is none of ApplyGuardrail"),
    ],
)
async def test_what_can_not_be_checked_goes_nowhere(
    instead: Response, kind: Kind, retry_after: float | None, why: str
) -> None:
    """Neither to a backend nor to the client; the client is not told that its request is wrong."""
    with guarding() as guard:
        guard.instead = instead
        with pytest.raises(BackendError) as refused:
            await check(guard)
        assert (refused.value.kind, refused.value.retry_after) == (kind, retry_after)
        assert str(refused.value).startswith(
            "The guardrail 'pii' did not check the request, which goes nowhere without: "
        )
        assert why in str(refused.value)
        for stream in (True, False):
            got, failed = await through(guard, Answer(["Hello"]), stream=stream)
            assert (got, failed and failed.kind) == ([], kind)


async def test_a_guardrail_that_is_not_there_or_too_slow_goes_nowhere() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(BackendError, match=r"did not check the request.*connection") as refused:
        await check(Guard(f"http://127.0.0.1:{port}"))
    assert refused.value.kind is Kind.UNAVAILABLE
    with guarding() as guard, pytest.raises(BackendError, match="took too long") as refused:
        await check(guard, seconds=0)
    assert refused.value.kind is Kind.TIMEOUT


async def test_an_intervention_that_nobody_can_read_is_one() -> None:
    with guarding() as guard:
        guard.instead = JSONResponse({"action": "GUARDRAIL_INTERVENED", "outputs": []})
        with pytest.raises(BackendError, match=r"^The guardrail 'pii' blocked the request\.$"):
            await check(guard)


async def test_a_whole_answer_is_checked_at_once() -> None:
    with guarding("bomb") as guard:
        got, failed = await through(guard, Answer(["x" * 5000]), stream=False)
        assert (len(got), failed, len(guard.texts), guard.sources) == (1, None, 1, ["OUTPUT"])
        got, failed = await through(guard, Answer(["a bomb"]), stream=False)
        assert (got, str(failed)) == ([], "The guardrail 'pii' blocked the answer by its wordPolicy.")


async def test_a_stream_is_checked_in_windows_and_ends_before_what_is_blocked() -> None:
    """Even where a window ends within the word."""
    for place in (0, 498, 499, 505, 1300, 2999):
        text = "." * place + "bomb" + "." * (3000 - place)
        answer = Answer([text[at : at + 7] for at in range(0, len(text), 7)])
        with guarding("bomb") as guard:
            got, failed = await through(guard, answer)
        assert failed is not None
        assert (failed.kind, failed.started) == (Kind.BLOCKED, bool(got))
        sent = "".join(json.loads(each)["choices"][0]["delta"]["content"] for each in got)
        assert "bomb" not in sent
        assert place - 500 <= len(sent) <= place + 3
        assert all(len(each) <= 500 + 7 for each in guard.texts)


async def test_nothing_of_a_stream_is_lost_changed_or_sent_unchecked() -> None:
    """50 seeded streams with windows, cuts and clients that leave: each chunk that came was checked before."""
    chance = random.Random(15)  # noqa: S311 - reproducible
    with guarding("bomb") as guard:
        for _ in range(50):
            guard.texts.clear()
            texts = ["".join(chance.choices("ab \n", k=chance.randint(0, 90))) for _ in range(chance.randint(0, 60))]
            cut = BackendError(Kind.BROKEN, "It is cut.") if chance.random() < 0.3 else None
            answer = Answer(texts, cut)
            most = chance.choice([1, 3, 10**9])
            got, failed = await through(guard, answer, most=most, window=chance.choice([400, 500, 3000]))
            assert got == answer.datas[: min(most, len(texts))]
            assert failed is (cut if len(got) < most else None)
            content = "".join(texts[: len(got)]).strip()
            seen = ""
            for text in guard.texts:
                overlap = next(size for size in range(min(len(seen), len(text)), -1, -1) if seen.endswith(text[:size]))
                seen += text[overlap:]
            assert content[-50:] in seen


async def test_what_was_said_is_not_checked_again_when_it_is_repeated() -> None:
    """The Responses API says an answer three times more at its end."""
    event = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0}
    text = "x" * 300
    done = {"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": text}
    other = {**done, "text": text + " bomb"}
    for last, blocked in ((done, False), (other, True)):
        answer = Answer([])
        answer.datas = [json.dumps(each).encode() for each in [*({**event, "delta": text[:150]},) * 2, last]]
        with guarding("bomb") as guard:
            got, failed = await through(guard, answer)
        assert (len(got), failed is not None) == (0 if blocked else 3, blocked)
        if not blocked:
            assert guard.texts == [text]


async def test_what_is_no_json_does_not_pass() -> None:
    answer = Answer(["Hello"])
    answer.datas.append(b"bomb")
    with guarding() as guard:
        got, failed = await through(guard, answer)
    assert got == answer.datas[:1]
    assert str(failed) == "The answer is no JSON, so that the guardrail 'pii' can't check it."


async def test_a_guardrail_for_one_side_leaves_the_other_alone() -> None:
    with guarding("bomb") as guard:
        given = guardrail(guard.url, frozenset({"OUTPUT"}))
        await given.check(asking({"messages": "bomb"}))
        given = guardrail(guard.url, frozenset({"INPUT"}))
        answer = Answer(["bomb"])
        assert [chunk.data async for chunk in given.checked(asking(stream=True), answer.chunks())] == answer.datas
        assert (guard.texts, answer.closed) == ([], True)
