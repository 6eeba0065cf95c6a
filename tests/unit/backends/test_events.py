"""Events from bytes that were cut anywhere."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from lambda_llm.backends.errors import BackendError, Kind
from lambda_llm.backends.events import aws_events, fields_of, frames, sse
from lambda_llm.backends.http import HTTP
from support.event_streams import cut, error, event, exception

TEXT = 'retry: 5\n\n: ping\n\nevent: a\ndata: {"x":\ndata: "é"}\r\n\r\ndata: [DONE]\n\n'.encode()
STREAM = event("a", {"x": "é"}) + event("b", b"\x00\xff") + event("c", {})
BROKEN = BackendError(Kind.BROKEN, "It is broken.")


async def given(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def read(parts: Sequence[bytes]) -> list[Any]:
    return [each async for each in aws_events(given(*parts), HTTP("b", ""), lambda name, _: Kind(name.lower()))]


@pytest.mark.parametrize("place", range(len(TEXT) + 1))
async def test_server_sent_events_may_be_cut_at_every_byte(place: int) -> None:
    events = [(each.event, each.data) async for each in sse(given(TEXT[:place], TEXT[place:])) if each.data]
    assert events == [("a", '{"x":\n"é"}'), ("message", "[DONE]")]


@pytest.mark.parametrize("size", [1, 2, 3, 11, 12, 13, 1000])
async def test_frames_may_be_cut_anywhere(size: int) -> None:
    assert await read(cut(STREAM, size)) == [("a", b'{"x": "\\u00e9"}'), ("b", b"\x00\xff"), ("c", b"{}")]


async def test_a_stream_that_ends_within_a_frame_is_broken_at_every_byte() -> None:
    whole = [len(event("a", {"x": "é"})), len(event("a", {"x": "é"})) + len(event("b", b"\x00\xff")), len(STREAM), 0]
    for place in range(len(STREAM)):
        if place in whole:
            await read([STREAM[:place]])
        else:
            with pytest.raises(BackendError) as failed:
                await read([STREAM[:place]])
            assert failed.value.kind is Kind.BROKEN


async def test_a_changed_bit_is_seen() -> None:
    for place in range(len(STREAM)):
        changed = bytearray(STREAM)
        changed[place] ^= 1
        with pytest.raises(BackendError) as failed:
            [_ async for _ in frames(given(bytes(changed)), BROKEN)]
        assert failed.value is BROKEN


@pytest.mark.parametrize("last", [exception("throttled", {"message": "Hello"}), error("Throttled")])
async def test_exceptions_end_the_stream_with_their_kind(last: bytes) -> None:
    with pytest.raises(BackendError, match=r"^The backend 'b' failed while it answered\.$") as failed:
        await read([STREAM, last])
    assert failed.value.kind is Kind.THROTTLED


@pytest.mark.parametrize(
    ("payload", "fields"),
    [(b'{"a": 1}', {"a": 1}), (b"", {}), (b"[]", {}), (b"{", {}), (b"\xff", {}), (b"[" * 100_000, {})],
)
def test_fields_of_an_event(payload: bytes, fields: dict[str, Any]) -> None:
    assert fields_of(payload) == fields
