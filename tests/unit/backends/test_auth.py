"""Keys: read when they are needed, and again once they were refused."""

import pytest

from lambda_llm.backends.auth import BearerAuth
from lambda_llm.backends.errors import Kind
from lambda_llm.backends.openai_http import OpenAIHTTP
from support.backends import asking, chunks, failure
from support.event_streams import JSON, Answer, answering

REFUSED = [Answer([b"{}"], status, JSON) for status in (401, 403)]
FINE = Answer([b"{}"], headers=JSON)


class Keys:
    """Keys that are rotated: each one that is refused has the next one behind it."""

    def __init__(self, *keys: str) -> None:
        self.keys = list(keys)
        self.asked: list[str | None] = []

    async def __call__(self, refused: str | None) -> str:
        self.asked.append(refused)
        if refused is not None and len(self.keys) > 1:
            self.keys.pop(0)
        return self.keys[0]


async def test_a_key_is_read_when_it_is_needed() -> None:
    keys = Keys("one")
    auth = BearerAuth(keys)
    assert keys.asked == []
    with answering(FINE) as server:
        await chunks(OpenAIHTTP("b", server.url, "m", auth=auth), asking())
    assert (keys.asked, server.asked[0].headers["authorization"]) == ([None], "Bearer one")


async def test_a_key_has_the_header_that_the_server_wants() -> None:
    with answering(FINE) as server:
        auth = BearerAuth(Keys("one"), "x-api-key", "")
        await chunks(OpenAIHTTP("b", server.url, "m", auth=auth), asking())
    assert server.asked[0].headers["x-api-key"] == "one"
    assert "authorization" not in server.asked[0].headers


@pytest.mark.parametrize("refused", REFUSED)
async def test_a_refused_key_is_read_again_once(refused: Answer) -> None:
    keys = Keys("one", "two")
    with answering(refused, FINE) as server:
        await chunks(OpenAIHTTP("b", server.url, "m", auth=BearerAuth(keys)), asking())
    assert keys.asked == [None, "one"]
    assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer one", "Bearer two"]
    assert server.asked[0].body == server.asked[1].body


@pytest.mark.parametrize("refused", REFUSED)
async def test_a_key_that_stays_refused_is_told(refused: Answer) -> None:
    with answering(refused) as server:
        failed = await failure(OpenAIHTTP("b", server.url, "m", auth=BearerAuth(Keys("one"))), asking())
    assert (failed.kind, len(server.asked)) == (Kind.FORBIDDEN, 1)
    assert "one" not in str(failed)
