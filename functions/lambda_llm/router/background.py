"""Responses in the background: what a client sends is stored and queued, and what it asks for later is read.

A worker (`router.worker`) answers them. The semantics are those of OpenAI's Responses API with `background`.

| status | means |
|---|---|
| `queued` | nobody answers yet, or the backends had no room and are asked again |
| `in_progress` | a worker asks a backend |
| `completed`, `incomplete`, `failed`, `cancelled` | it has ended, and stays so until it expires |

What a tenant may not do is refused at once, and so is what its budget does not have room for at that moment. The
budget is reserved by the worker when it asks a backend: what waits in the queue has reserved nothing.

Source: https://platform.openai.com/docs/guides/background
"""

import asyncio
import hashlib
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from lambda_llm.backends.contract import Operation
from lambda_llm.backends.responses_chat import echoed
from lambda_llm.router.errors import ConflictError, NotFoundError, RequestError, ResultsError
from lambda_llm.router.results import Job, Results, Stored
from lambda_llm.router.service import Router
from lambda_llm.telemetry.propagation import noted

KEPT_SECONDS: Final = 24 * 60 * 60
"""How long a response can be read after it was sent."""

ANSWER_SECONDS: Final = 6 * 60 * 60
"""After this time a response fails that nobody has answered: the queue has lost it, or is too long."""

_ID: Final = re.compile(r"resp_[0-9a-f]{48}")
_ID_BYTES: Final = 24

_KEY: Final = re.compile(r"[\x20-\x7e]{1,255}")
"""An idempotency key, which is a header."""

_TURNS: Final = 10
"""How often a change is tried that others were faster than."""

_REFUSED: Final[Mapping[str, str]] = {
    "stream": "read the response with GET /v1/responses/ID instead, or leave out background",
    "previous_response_id": "send the whole conversation as input",
    "conversation": "send the whole conversation as input",
}
"""What there is not in the background, and what to do instead."""


class Background:
    """Sends, reads and cancels background responses."""

    def __init__(
        self,
        results: Results,
        queue: str,
        client: Any,
        router: Callable[[], Router],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the parts; no request is sent.

        Args:
            results: where responses are.
            queue: URL of the SQS queue; the role needs `sqs:SendMessage`.
            client: of SQS.
            router: gives the router of the current configuration, which says what a tenant may do.
            clock: seconds since 1970.
        """
        self._results = results
        self._queue = queue
        self._client = client
        self._router = router
        self._clock = clock

    async def submit(self, tenant: str, body: Mapping[str, Any], idempotency_key: str | None = None) -> dict[str, Any]:
        """Store and queue a response.

        Sent again with its idempotency key, a request has the same response, and is answered and charged once. That
        is also how to go on after a failure. Without a key each is another one.

        Args:
            tenant: who asks, as the front door says.
            body: of `POST /v1/responses`, with `background`.
            idempotency_key: the header `Idempotency-Key`: 1 to 255 printable ASCII characters.

        Returns:
            The response as JSON: `queued`, or whatever became of the one with the key.

        Raises:
            RequestError: the request has what there is not in the background.
            ConflictError: the key is another request's.
            ResultsError: it is not known whether it was stored and queued.
            UnknownError, NoBackendError, BudgetError, LedgerError: see `Router.check`; nothing was stored.
        """
        _require_possible(body, idempotency_key)
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        response_id = "resp_" + (
            secrets.token_hex(_ID_BYTES) if idempotency_key is None else _derived(tenant, idempotency_key)
        )
        for _ in range(_TURNS):
            earlier = None
            if idempotency_key is not None:
                earlier = await asyncio.to_thread(self._results.read, tenant, response_id)
            if earlier is not None and earlier.job.expires_at > self._clock():
                return await self._again(earlier, digest)
            sent = {name: value for name, value in body.items() if name not in ("background", "stream")}
            sent["store"] = False  # it is stored here, and nowhere else
            await self._router().check(Operation.RESPONSES, sent, tenant)
            job = self._job(response_id, tenant, body, sent, digest)
            if earlier is None:
                stored = await asyncio.to_thread(self._results.create, job)
            else:
                stored = await asyncio.to_thread(self._results.replace, earlier, job)
            if stored is not None:
                await self._send(stored.job)
                return dict(stored.job.response)
        raise self._contended(response_id)

    async def get(self, tenant: str, response_id: str) -> dict[str, Any]:
        """A response as JSON.

        Args:
            tenant: who asks.
            response_id: of the response.

        Raises:
            NotFoundError: this tenant has none of this id, or it has expired.
            ResultsError: S3 does not answer, or refuses.
        """
        for _ in range(_TURNS):
            stored = await self._found(tenant, response_id)
            if not stored.job.overdue(self._clock()):
                return dict(stored.job.response)
            if (ended := await self._end(stored, too_late(stored.job))) is not None:
                return ended
        raise self._contended(response_id)

    async def cancel(self, tenant: str, response_id: str) -> dict[str, Any]:
        """Cancel a response, whose worker stops within seconds; one that has ended stays as it is.

        Args:
            tenant: who asks.
            response_id: of the response.

        Returns:
            The response as JSON.

        Raises:
            NotFoundError: this tenant has none of this id, or it has expired.
            ResultsError: S3 does not answer, or refuses.
        """
        for _ in range(_TURNS):
            stored = await self._found(tenant, response_id)
            if stored.job.ended:
                return dict(stored.job.response)
            if (ended := await self._end(stored, stored.job.end(status="cancelled"))) is not None:
                return ended
        raise self._contended(response_id)

    async def _again(self, earlier: Stored, digest: str) -> dict[str, Any]:
        """A request that was sent before with the same key."""
        job = earlier.job
        if job.digest != digest:
            raise ConflictError(
                "The Idempotency-Key is that of another request: send this one with a key of its own, or exactly as it "
                "was."
            )
        if job.response["status"] == "queued":
            # Whoever stored it may not have come to queue it; a worker that finds it answered does nothing.
            await self._send(job)
        return dict(job.response)

    async def _found(self, tenant: str, response_id: str) -> Stored:
        stored = None
        if _ID.fullmatch(response_id):
            stored = await asyncio.to_thread(self._results.read, tenant, response_id)
        if stored is None or self._clock() >= stored.job.expires_at:
            raise NotFoundError(
                "There is no such response: it was not sent with background, was another tenant's, or has expired."
            )
        return stored

    async def _end(self, stored: Stored, job: Job) -> dict[str, Any] | None:
        ended = await asyncio.to_thread(self._results.replace, stored, job)
        return None if ended is None else dict(ended.job.response)

    def _job(self, response_id: str, tenant: str, body: Mapping[str, Any], sent: Mapping[str, Any], digest: str) -> Job:
        now = int(self._clock())
        return Job(
            response_id,
            tenant,
            # A key that is used again after its response has expired makes another request, which is charged.
            f"{response_id}-{secrets.token_hex(4)}",
            digest,
            now + ANSWER_SECONDS,
            now + KEPT_SECONDS,
            sent,
            None,
            _queued(response_id, body, now),
        )

    async def _send(self, job: Job) -> None:
        """Queue a reference, and which request it is of: what is asked is in S3 alone."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - the client has imported it

        message = json.dumps({"tenant": job.tenant, "id": job.id, **noted()})
        try:
            await asyncio.to_thread(self._client.send_message, QueueUrl=self._queue, MessageBody=message)
        except (ClientError, BotoCoreError) as error:
            raise ResultsError(
                f"The response could not be queued ({type(error).__name__}): send it again with the same "
                "Idempotency-Key; if that fails too, check the queue's URL and that the role may use sqs:SendMessage."
            ) from error

    def _contended(self, response_id: str) -> ResultsError:
        return ResultsError(f"The response {response_id} changes too often to be read: send the request again.")


def failed(job: Job, code: str, sentence: str) -> Job:
    """A response that failed.

    Args:
        job: it.
        code: of the error, one of OpenAI's.
        sentence: that says why.
    """
    return job.end(status="failed", error={"code": code, "message": sentence})


def too_late(job: Job) -> Job:
    """A response that nobody has answered in time."""
    return failed(job, "server_error", "Nobody has answered the request in time: send it again.")


def _require_possible(body: Mapping[str, Any], key: str | None) -> None:
    for name, instead in _REFUSED.items():
        if body.get(name) not in (None, False):
            raise RequestError(name, f"{name} can't be used together with background: {instead}.")
    if body.get("store") is False:
        raise RequestError(
            "store", "A response in the background is stored until it expires: leave out store, or background."
        )
    if key is not None and not _KEY.fullmatch(key):
        raise RequestError("Idempotency-Key", "An Idempotency-Key has 1 to 255 printable ASCII characters.")


def _derived(tenant: str, key: str) -> str:
    """The same for the same key of a tenant; it says nothing of either, and no other tenant's folder has it."""
    named = f"background:{len(tenant)}:{tenant}:{key}".encode()
    return hashlib.sha256(named).hexdigest()[: 2 * _ID_BYTES]


def _queued(response_id: str, body: Mapping[str, Any], now: int) -> dict[str, Any]:
    """A response that has not begun; it repeats what was asked, but for the input."""
    return {
        "id": response_id,
        "object": "response",
        "created_at": now,
        "expires_at": now + KEPT_SECONDS,
        "status": "queued",
        "background": True,
        "error": None,
        "incomplete_details": None,
        "output": [],
        "store": True,
        "usage": None,
        **echoed(body),
    }
