"""Requests to the adapters of `lambda_llm.backends`, and what comes of them."""

import json
import time
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import botocore.session
import pytest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.validate import ParamValidator

from lambda_llm.aws.signing import SigV4Auth
from lambda_llm.backends.contract import Backend, Chunk, Operation, Request, opened
from lambda_llm.backends.errors import BackendError

GUARD_SECONDS = 60
REGION = "eu-central-1"
HELLO: dict[str, Any] = {"model": "theirs", "messages": [{"role": "user", "content": "Hello"}]}


def asking(
    body: Mapping[str, Any] | None = None,
    *,
    seconds: float = GUARD_SECONDS,
    operation: Operation = Operation.CHAT,
    **more: Any,
) -> Request:
    """A request with a body, or with `HELLO`, and with more fields."""
    return Request(operation, {**(HELLO if body is None else body), **more}, time.monotonic() + seconds, "an-id")


async def chunks(backend: Backend, request: Request) -> list[Chunk]:
    try:
        async with opened(backend, request) as answer:
            return [chunk async for chunk in answer]
    finally:
        await backend.close()


async def answered(backend: Backend, request: Request) -> list[Any]:
    """The same, as JSON."""
    return [json.loads(chunk.data) for chunk in await chunks(backend, request)]


async def failure(backend: Backend, request: Request) -> BackendError:
    with pytest.raises(BackendError) as failed:
        await chunks(backend, request)
    return failed.value


def signed(service: str) -> SigV4Auth:
    return SigV4Auth(service, REGION, lambda: Credentials("an-id", "a-secret"))


@cache
def session() -> Any:
    """One for all, which reads the files of each service once."""
    return botocore.session.get_session()


def client(service: str, url: str | None = None, region: str = REGION) -> Any:
    """A client of botocore's that asks once."""
    return session().create_client(
        service,
        region_name=region,
        endpoint_url=url,
        aws_access_key_id="an-id",
        aws_secret_access_key="a-secret",  # noqa: S106 - nobody's
        config=Config(retries={"total_max_attempts": 1}),
    )


@cache
def service_model(service: str) -> Any:
    """What botocore knows of a service."""
    return session().get_service_model(service)


def checked(service: str, operation: str, parameters: Mapping[str, Any]) -> None:
    """Fail where the model of a service does not have these parameters."""
    report = ParamValidator().validate(parameters, service_model(service).operation_model(operation).input_shape)
    assert not report.has_errors(), report.generate_report()


class SentError(Exception):
    """Raised where a request would be sent."""


def as_botocore_sends(service: str, operation: str, **parameters: Any) -> tuple[str, dict[str, str], bytes]:
    """Path, headers of the service's own and body of what botocore's client sends."""
    sent: list[Any] = []

    def stop(request: Any, **_: object) -> None:
        sent.append(request)
        raise SentError

    made = client(service)
    made.meta.events.register("before-send", stop)
    with pytest.raises(SentError):
        getattr(made, operation)(**parameters)
    made.close()
    [request] = sent
    given = {name.lower(): value for name, value in request.headers.items()}
    headers = {name: value.decode() for name, value in given.items() if name.startswith("x-amzn-")}
    return urlsplit(request.url).path, headers, request.body


def wholly(given: list[Any]) -> dict[str, Any]:
    """The message and the end of a streamed chat completion, put together as clients do it."""
    message: dict[str, Any] = {}
    calls: list[dict[str, Any]] = []
    finish = None
    for choice in (choice for chunk in given for choice in chunk["choices"]):
        delta = choice["delta"]
        for name in ("content", "reasoning_content"):
            if name in delta:
                message[name] = message.get(name, "") + delta[name]
        for call in delta.get("tool_calls", ()):
            if call["index"] == len(calls):
                calls.append({"id": call["id"], "type": call["type"], "function": {**call["function"]}})
            else:
                calls[call["index"]]["function"]["arguments"] += call["function"]["arguments"]
        finish = choice["finish_reason"] or finish
    return {**message, **({"tool_calls": calls} if calls else {}), "finish_reason": finish}
