"""An answer that is read as it arrives."""

import json
from typing import Any

import pytest

from lambda_llm.cli.probes.base import Outcome
from lambda_llm.cli.probes.deployment import RefusedError
from lambda_llm.cli.probes.stream import Answer, next_turn, question
from lambda_llm.cli.probes.streaming import PROBE
from support.fake_deployment import Deploy


def event(**chunk: Any) -> str:
    return f"data: {json.dumps(chunk)}"


def text(content: str, milliseconds: float | None = None) -> str:
    told = {} if milliseconds is None else {"timings": {"predicted_ms": milliseconds}}
    return event(choices=[{"delta": {"content": content}}], **told)


LINES = [
    event(choices=[{"delta": {"role": "assistant", "content": ""}}]),
    "",
    ": keep-alive",
    event(choices=[{"delta": {"reasoning_content": "Hm."}}], timings={"predicted_ms": 0}),
    text("one ", 20.0),
    text("two", 40.0),
    event(choices=[{"delta": {}, "finish_reason": "stop"}]),
    event(
        choices=[], usage={"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}
    ),
    "data: [DONE]",
]


def test_it_has_every_chunk_with_text_and_the_server_s_times() -> None:
    answer = Answer(0.0)
    answer.read(iter(LINES))
    assert [arrival.server for arrival in answer.arrivals] == [0.0, 0.02, 0.04]
    assert (answer.text, answer.prompt_tokens, answer.cached_tokens, answer.tokens) == ("one two", 9, 4, 3)
    assert answer.ended
    assert answer.first_token_seconds == answer.arrivals[0].at


def test_it_goes_on_where_it_was_left() -> None:
    answer, lines = Answer(0.0), iter(LINES)
    answer.read(lines, 2)
    assert (len(answer.arrivals), answer.ended) == (2, None)
    answer.read(lines, 1)
    assert (len(answer.arrivals), answer.text, answer.ended) == (3, "one two", None)
    answer.read(lines, 1)
    assert len(answer.arrivals) == 3
    assert answer.ended


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (event(error={"message": "The server failed."}), "The answer ended in an error: The server failed."),
        ('data: {"choices": [', "An event of the answer is no JSON"),
    ],
)
def test_what_breaks_an_answer_is_one_sentence(line: str, said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        Answer(0.0).read(iter([text("one"), line]))


def test_a_connection_that_breaks_is_wrong(deploy: Deploy) -> None:
    with deploy(breaks_after=5) as stage:
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.WRONG
    assert "The answer broke off" in finding.sentence


def test_the_next_turn_has_the_answer_and_every_question_is_another_one() -> None:
    first = question()
    answer = Answer(0.0)
    answer.read(iter(LINES))
    turn = next_turn(first, answer)
    assert [message["role"] for message in turn] == ["user", "assistant", "user"]
    assert turn[1]["content"] == "one two"
    assert question() != first
