"""What a request's context is read from; what follows from it is in tests/integration/test_tenants.py."""

import json
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from lambda_llm.web.front_door import REQUEST_CONTEXT, FrontDoor, from_adapter, from_event
from lambda_llm.web.origin import SCOPE, Origin

ALICE = {"authorizer": {"tenant": "alice"}, "stage": "prod"}
HEADER = REQUEST_CONTEXT.encode()


async def through(door_of: Any, scope: Scope, *, tenants: bool = True, **options: Any) -> Any:
    """The origin that the application is told, or the status of the refusal."""
    told: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's
        told.append(scope[SCOPE])

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            told.append(message["status"])

    await FrontDoor(app, door_of, tenants=tenants, **options)(
        {"type": "http", "path": "/v1/models", **scope}, receive, send
    )
    (only,) = told
    return only


def headers(*contexts: Any) -> Scope:
    return {"headers": [(HEADER, context if isinstance(context, bytes) else json.dumps(context).encode())
                        for context in contexts]}  # fmt: skip


async def test_the_adapter_s_header_and_the_event_say_the_same() -> None:
    expected = Origin("alice", None, "prod")
    assert await through(from_adapter, headers(ALICE)) == expected
    assert await through(from_event, {"aws.event": {"requestContext": ALICE}, "headers": []}) == expected


async def test_a_name_beyond_ascii_is_the_same_at_both_doors() -> None:
    context = {"authorizer": {"tenant": "Zoë"}}
    adapter = json.dumps(context, ensure_ascii=False).encode()
    assert await through(from_adapter, headers(adapter)) == Origin("Zoë")
    assert await through(from_event, {"aws.event": {"requestContext": context}}) == Origin("Zoë")


async def test_the_event_s_door_reads_no_header() -> None:
    assert await through(from_event, {"aws.event": {"requestContext": {}}, **headers(ALICE)}) == 403


@pytest.mark.parametrize(
    "contexts",
    [(b"{",), (b"\xff",), (b"",), (None,), ([],), ("alice",), (ALICE, ALICE), (b"[" * 100_000,)],
    ids=["cut", "no text", "empty", "null", "a list", "a text", "twice", "deep"],
)  # fmt: skip
async def test_a_context_that_can_t_be_read_is_nobody_s(contexts: tuple[Any, ...]) -> None:
    assert await through(from_adapter, headers(*contexts)) == 403
    assert await through(from_adapter, headers(*contexts), tenants=False) == Origin()


@pytest.mark.parametrize("event", [None, [], "text", {}, {"requestContext": None}, {"requestContext": []}], ids=str)
async def test_an_event_without_a_context_is_nobody_s(event: Any) -> None:
    assert await through(from_event, {"aws.event": event}) == 403


async def test_the_adapter_s_own_requests_are_let_in_as_nobody_s() -> None:
    """Its readiness check and the snapshot's hooks; nothing is generated for nobody."""
    assert await through(from_adapter, {"headers": [(b"host", b"127.0.0.1")]}) == Origin()


async def test_what_is_no_request_is_let_to_where_it_is_told_apart_and_no_further() -> None:
    async def at(path: str, context: Any) -> Any:
        return await through(from_adapter, {**headers(context), "path": path}, checked_inside="/events")

    assert await at("/events", None) == Origin()
    assert await at("/v1/models", None) == 403
    assert await at("/events", {"stage": "prod"}) == 403


@pytest.mark.parametrize(
    ("said", "origin"),
    [
        ({"tenant": "a", "max_tokens": "7"}, Origin("a", 7)),
        ({"tenant": "a", "max_tokens": 7}, Origin("a", 7)),
        ({"lambda": {"tenant": "a", "max_tokens": 7}}, Origin("a", 7)),
        ({"lambda": {"tenant": "a"}, "tenant": "b"}, Origin("a")),
        ({"lambda": "text", "tenant": "b"}, Origin("b")),
        ({"lambda": {}, "tenant": "b"}, 403),
        ({"tenant": "a", "max_tokens": "-1"}, 403),
        ({"tenant": "a", "max_tokens": [7]}, 403),
        ({"tenant": "a", "max_tokens": 1e999}, 403),
        ("alice", 403),
        (None, 403),
    ],
    ids=str,
)
async def test_what_the_authorizer_said_is_read(said: Any, origin: Any) -> None:
    assert await through(from_event, {"aws.event": {"requestContext": {"authorizer": said}}}) == origin


@pytest.mark.parametrize(("stage", "told"), [("prod", "prod"), ("$default", None), (None, None), (3, None)])
async def test_the_default_stage_has_no_name(stage: Any, told: str | None) -> None:
    context = {"stage": stage, "authorizer": {"tenant": "a"}}
    assert await through(from_event, {"aws.event": {"requestContext": context}}) == Origin("a", None, told)
