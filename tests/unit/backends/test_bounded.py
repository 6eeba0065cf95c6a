"""A backend that is given only so long."""

import time

import pytest

from lambda_llm.backends.bounded import Bounded
from lambda_llm.backends.errors import Kind
from lambda_llm.backends.openai_http import OpenAIHTTP
from support.backend_script import Scripted
from support.backends import asking, chunks, failure
from support.event_streams import JSON, SILENCE, Answer, answering


async def test_one_that_is_slower_has_failed_while_its_request_has_time_left() -> None:
    with answering(Answer([SILENCE], headers=JSON)) as server:
        backend = Bounded(OpenAIHTTP("slow", server.url, "m"), 0.2)
        request = asking()
        error = await failure(backend, request)
        assert (error.kind, server.left.wait(60)) == (Kind.TIMEOUT, True)
        assert request.seconds > 1


@pytest.mark.parametrize("seconds", [1, 1000])
async def test_the_earlier_of_both_limits_holds(seconds: float) -> None:
    inner = Scripted("a")
    asked = asking(seconds=100)
    assert len(await chunks(Bounded(inner, seconds), asked)) == 3
    assert inner.deadlines == [pytest.approx(min(asked.deadline, time.monotonic() + seconds), abs=10)]
    assert inner.closed == ["an-id", "all"]


def test_what_it_can_t_honour_is_the_backend_s_word() -> None:
    inner = Scripted("a")
    inner.refuses = "seed"
    assert Bounded(inner, 1).unsupported(asking(seed=1)) == "seed"
    assert Bounded(inner, 1).unsupported(asking()) is None
