"""Files and batches over HTTP, as OpenAI's API has them; state machine and functions of `modules/batch` do the work.

Sources: https://platform.openai.com/docs/api-reference/files, https://platform.openai.com/docs/api-reference/batch
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Literal

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from lambda_llm.batch_store.batches import Batches
from lambda_llm.batch_store.errors import InputError
from lambda_llm.batch_store.files import Files, Purpose
from lambda_llm.batch_store.records import Rights
from lambda_llm.openai_types.batches import Batch, BatchRequest, FileObject
from lambda_llm.router.config import ANYBODY, Configuration
from lambda_llm.router.errors import NotConfiguredError, UnknownError
from lambda_llm.router.rights import rights_of
from lambda_llm.router.uploads import checked, read_upload
from lambda_llm.web.errors import APIError
from lambda_llm.web.origin import origin_of
from lambda_llm.web.request_body import BODY_BYTES_MAX

FILES: Final = "/v1/files"
BATCHES: Final = "/v1/batches"

FILES_DEFAULT: Final = 1_000
FILES_MAX: Final = 10_000
"""Files of a page, as OpenAI has it; its default is the most, which here takes a request of S3 for each."""

BATCHES_DEFAULT: Final = 20
BATCHES_MAX: Final = 100
"""Batches of a page, as OpenAI has it."""

URL_SECONDS: Final = 300
"""For which the address of a file's content holds: clients follow it at once, and what has begun is not cut."""

_OLD_FIRST: Final = "asc"


@dataclass(frozen=True)
class Store:
    """Where files and batches are.

    Attributes:
        files: of all tenants.
        batches: of all tenants.
    """

    files: Files
    batches: Batches


WhoAsks = Callable[[Request], Awaitable[tuple[str, Configuration]]]
"""Tenant of a request, and the configuration of that moment; raises UnknownError."""


def routes(who: WhoAsks, store: Store | None) -> list[Route]:
    """The paths of files and batches.

    Args:
        who: tells tenants apart.
        store: where they are; None: each of these paths answers that there are none.
    """
    api = _API(who, store)
    return [
        Route(FILES, api.upload, methods=["POST"]),
        Route(FILES, api.files, methods=["GET"]),
        Route(f"{FILES}/{{file_id}}", api.file, methods=["GET"]),
        Route(f"{FILES}/{{file_id}}", api.delete, methods=["DELETE"]),
        Route(f"{FILES}/{{file_id}}/content", api.content, methods=["GET"]),
        Route(BATCHES, api.create, methods=["POST"]),
        Route(BATCHES, api.batches, methods=["GET"]),
        Route(f"{BATCHES}/{{batch_id}}", api.batch, methods=["GET"]),
        Route(f"{BATCHES}/{{batch_id}}/cancel", api.cancel, methods=["POST"]),
    ]


class _API:
    """What answers each path."""

    def __init__(self, who: WhoAsks, store: Store | None) -> None:
        self._who = who
        self._store = store

    async def upload(self, request: Request) -> Response:
        """Store a file."""
        too_large = False
        try:
            await request.body()  # before any refusal: what was not read would close the connection
        except HTTPException as error:
            if error.status_code != HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                raise
            too_large = True
        store, tenant, configuration = await self._asked(request)
        most_dollars(configuration, tenant)
        if too_large:
            raise APIError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"A request has at most {BODY_BYTES_MAX:,} bytes on Lambda: send a larger file with `lambda-llm batch "
                f"submit`, or upload it below {store.files.uploads(tenant)} and name it as input_file_id by its s3:// "
                "address.",
                code="request_too_large",
            )
        sent = await read_upload(request)
        made = await asyncio.to_thread(
            store.files.create, tenant, sent.content, sent.filename, "batch", sent.expires_seconds
        )
        return JSONResponse(made.model_dump())

    async def files(self, request: Request) -> Response:
        """A page of files."""
        store, tenant, _ = await self._asked(request)
        asked = request.query_params
        found, more = await asyncio.to_thread(
            store.files.list,
            tenant,
            after=asked.get("after"),
            limit=_limit(asked, FILES_DEFAULT, FILES_MAX),
            order=_order(asked.get("order")),
            purpose=_purpose(asked.get("purpose")),
        )
        return _page(found, more=more)

    async def file(self, request: Request) -> Response:
        """A file without its content."""
        store, tenant, _ = await self._asked(request)
        found = await asyncio.to_thread(store.files.get, tenant, request.path_params["file_id"])
        return JSONResponse(found.model_dump())

    async def delete(self, request: Request) -> Response:
        """Delete a file."""
        await request.body()
        store, tenant, _ = await self._asked(request)
        file_id = request.path_params["file_id"]
        await asyncio.to_thread(store.files.delete, tenant, file_id)
        return JSONResponse({"id": file_id, "object": "file", "deleted": True})

    async def content(self, request: Request) -> Response:
        """Where a file's content is: it may have more bytes than Lambda answers."""
        store, tenant, _ = await self._asked(request)
        url = await asyncio.to_thread(store.files.url, tenant, request.path_params["file_id"], URL_SECONDS)
        return RedirectResponse(url, HTTPStatus.FOUND)

    async def create(self, request: Request) -> Response:
        """Create and start a batch."""
        content = await request.body()
        store, tenant, configuration = await self._asked(request)
        dollars = most_dollars(configuration, tenant)
        if (most := origin_of(request.scope).max_tokens) is not None:
            raise UnknownError(
                "batches",
                f"The authorizer allows this caller answers of {most} tokens, which a batch does not keep: create it "
                "with a key without max_tokens.",
            )
        asked = checked(lambda: BatchRequest.model_validate_json(content))
        if asked.max_dollars is None or asked.max_dollars > dollars:
            asked = asked.model_copy(update={"max_dollars": dollars})
        made = await asyncio.to_thread(store.batches.create, tenant, asked, rights_for(configuration, tenant))
        return JSONResponse(made.model_dump())

    async def batches(self, request: Request) -> Response:
        """A page of batches."""
        store, tenant, _ = await self._asked(request)
        limit = _limit(request.query_params, BATCHES_DEFAULT, BATCHES_MAX)
        found, more = await asyncio.to_thread(store.batches.list, tenant, request.query_params.get("after"), limit)
        return _page(found, more=more)

    async def batch(self, request: Request) -> Response:
        """A batch."""
        store, tenant, _ = await self._asked(request)
        found = await asyncio.to_thread(store.batches.get, tenant, request.path_params["batch_id"])
        return JSONResponse(found.model_dump())

    async def cancel(self, request: Request) -> Response:
        """Stop a batch."""
        await request.body()
        store, tenant, _ = await self._asked(request)
        found = await asyncio.to_thread(store.batches.cancel, tenant, request.path_params["batch_id"])
        return JSONResponse(found.model_dump())

    async def _asked(self, request: Request) -> tuple[Store, str, Configuration]:
        """Where files and batches are, who asks, and the configuration in which it is known."""
        if self._store is None:
            raise NotConfiguredError(
                "This router has no files and batches: set LAMBDA_LLM_ROUTER_BATCHES and "
                "LAMBDA_LLM_ROUTER_BATCH_MACHINE, as modules/router does it with its input batches."
            )
        tenant, configuration = await self._who(request)
        rights_of(configuration, tenant)
        return self._store, tenant, configuration


def most_dollars(configuration: Configuration, tenant: str) -> float:
    """US dollars that a batch of a tenant may take at most.

    Raises:
        UnknownError: the tenant is unknown, or may have no batches.
    """
    dollars = rights_of(configuration, tenant).batch_dollars
    if dollars is None:
        raise UnknownError(
            "batches", "This tenant may have no batches: whoever runs the router allows them by batch_dollars."
        )
    return dollars


def rights_for(configuration: Configuration, tenant: str) -> Rights:
    """What a tenant's batches may do; nothing checks their requests, so models with a guardrail are none of theirs.

    Raises:
        UnknownError: the tenant is unknown.
    """
    entry = rights_of(configuration, tenant)
    guarded = {name for name, model in configuration.models.items() if model.guardrail is not None}
    if ANYBODY in entry.models and not guarded:
        return Rights(models=None, place=entry.place)
    allowed = (name for name in configuration.models if entry.may_use(name) and name not in guarded)
    return Rights(models=tuple(allowed), place=entry.place)


def _limit(asked: Mapping[str, str], default: int, most: int) -> int:
    said = asked.get("limit", str(default))
    if not (said.isdecimal() and len(said) <= len(str(most)) and 1 <= int(said) <= most):
        raise InputError("limit", f"limit must be a number from 1 to {most:,}: correct it, or leave it out.")
    return int(said)


def _order(said: str | None) -> Literal["asc", "desc"]:
    if said not in (None, "asc", "desc"):
        raise InputError("order", "order must be asc or desc: correct it, or leave it out.")
    return "asc" if said == _OLD_FIRST else "desc"


def _purpose(said: str | None) -> Purpose | None:
    match said:
        case None | "batch" | "batch_output":
            return said
    raise InputError("purpose", "purpose must be batch or batch_output: correct it, or leave it out.")


def _page(found: list[FileObject] | list[Batch], *, more: bool) -> Response:
    data: list[dict[str, Any]] = [each.model_dump() for each in found]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return JSONResponse({"object": "list", "data": data, **ends, "has_more": more})
