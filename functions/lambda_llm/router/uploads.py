"""A file that comes as a form, which is never written to disk; the limit of requests bounds it.

Source: https://platform.openai.com/docs/api-reference/files/create
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from lambda_llm.batch_store.errors import InputError
from lambda_llm.openai_types.batches import ExpiresAfter
from lambda_llm.web.errors import APIError

_EXPIRES: Final = "expires_after"
_FIELDS: Final = ("file", "purpose", f"{_EXPIRES}[anchor]", f"{_EXPIRES}[seconds]")

_NUMBER: Final = re.compile(r"[0-9]{1,9}")

_Input = TypeVar("_Input", bound=BaseModel)


@dataclass(frozen=True)
class Upload:
    """A file that a client has sent.

    Attributes:
        filename: that it gave it.
        content: of it.
        expires_seconds: after which it expires; None: it did not say.
    """

    filename: str
    content: bytes
    expires_seconds: int | None


class _InMemory(MultiPartParser):
    spool_max_size = 0  # of `tempfile.SpooledTemporaryFile`, for which it means without limit


async def read_upload(request: Request) -> Upload:
    """Read a form with a file.

    Raises:
        APIError: it is no form, or can't be read.
        InputError: a field is missing, unknown or wrong.
    """
    # Starlette needs the same package, but does not say so: what is imported here is in the zip.
    kind, _ = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data":
        raise APIError(
            HTTPStatus.BAD_REQUEST,
            "A file comes as multipart/form-data with the fields file and purpose: send it so.",
            code="invalid_body",
        )
    try:
        form = await _InMemory(request.headers, request.stream(), max_files=1, max_fields=len(_FIELDS)).parse()
    except MultiPartException as error:
        raise APIError(
            HTTPStatus.BAD_REQUEST,
            f"The form can't be read ({error.message.rstrip('.')}): send one with one file.",
            code="invalid_body",
        ) from None
    try:
        file, expires = _fields(form)
        return Upload(str(file.filename), await file.read(), None if expires is None else expires.seconds)
    finally:
        await form.close()


def _fields(form: FormData) -> tuple[UploadFile, ExpiresAfter | None]:
    for name in form:
        if name not in _FIELDS:
            raise InputError(name, f"A file has no field {name!r}: use {', '.join(_FIELDS)}.")
    if form.get("purpose") != "batch":
        raise InputError("purpose", "purpose must be batch: there are files for nothing else here.")
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise InputError("file", "file must be a file with a name: add it to the form.")
    said: dict[str, object] = {
        name: form[f"{_EXPIRES}[{name}]"] for name in ("anchor", "seconds") if f"{_EXPIRES}[{name}]" in form
    }
    if not said:
        return file, None
    seconds = said.get("seconds")
    if isinstance(seconds, str) and _NUMBER.fullmatch(seconds):
        said = {**said, "seconds": int(seconds)}
    return file, checked(lambda: ExpiresAfter.model_validate(said), f"{_EXPIRES}.")


def checked(validate: Callable[[], _Input], prefix: str = "") -> _Input:
    """What a client has sent, or a sentence about the first place that is wrong.

    Args:
        validate: pydantic's validation of it.
        prefix: of the places' names.

    Raises:
        APIError: it is no JSON.
        InputError: it is not as it must be.
    """
    try:
        return validate()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        raise APIError(
            HTTPStatus.BAD_REQUEST,
            f"The request body is not valid JSON ({first['ctx']['error']}): send one JSON object.",
            code="invalid_json",
        )
    place = prefix + ".".join(str(step) for step in first["loc"])
    what = first["msg"][:1].lower() + first["msg"][1:]
    raise InputError(place, f"{place or 'The request body'} can't be used ({what}): correct it.")
