"""When a request must have been answered."""

import time
from typing import Any

import pytest
from starlette.requests import Request

from lambda_llm.web.deadline import END_SECONDS, LAMBDA_CONTEXT, deadline_of
from support.deadlines import buffered, ends_in

LONGEST = 900.0


def asked(headers: dict[str, str] | None = None, **scope: Any) -> Request:
    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    return Request({"type": "http", "headers": raw, **scope})


def left(request: Request, margin: float = END_SECONDS) -> float:
    return deadline_of(request, LONGEST, margin) - time.monotonic()


@pytest.mark.parametrize("margin", [END_SECONDS, 6.0])
def test_an_answer_ends_before_its_invocation_behind_either_front_door(margin: float) -> None:
    for request in (asked({LAMBDA_CONTEXT: ends_in(60)}), asked(**{"aws.context": buffered(60)})):
        assert left(request, margin) == pytest.approx(60 - margin, abs=0.5)


def test_a_short_invocation_keeps_half_of_its_time_for_the_answer() -> None:
    assert left(asked(**{"aws.context": buffered(4)}), 6.0) == pytest.approx(2, abs=0.5)


def test_the_setting_holds_where_it_is_shorter() -> None:
    assert left(asked(**{"aws.context": buffered(5000)})) == pytest.approx(LONGEST, abs=0.5)


@pytest.mark.parametrize("context", ["", "{", "[]", "5", '{"deadline": "soon"}', '{"deadline": null}', "[" * 100_000])
def test_without_a_readable_context_the_setting_holds(context: str) -> None:
    assert left(asked({LAMBDA_CONTEXT: context})) == pytest.approx(LONGEST, abs=0.5)
    assert left(asked()) == pytest.approx(LONGEST, abs=0.5)
