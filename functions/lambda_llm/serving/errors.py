"""What each error of a model's server is answered with, and a refused body in one sentence."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from lambda_llm.engine.errors import (
    ConstraintError,
    ContextOverflowError,
    InputTooLongError,
    NotEncoderError,
    NotGenerativeError,
    TemplateError,
    UnknownTextError,
)
from lambda_llm.openai_types.sse import event
from lambda_llm.serving.worker import DeadlineError, QueueFullError, StoppingError
from lambda_llm.web import errors
from lambda_llm.web.errors import APIError, formed, unexpected

_UNREADABLE: Final = "There was an error parsing the body"
"""FastAPI's own words for a body that is not text."""

_EXPECTED: Final[Mapping[type[Exception], tuple[int, str]]] = {
    ContextOverflowError: (HTTPStatus.BAD_REQUEST, "context_length_exceeded"),
    InputTooLongError: (HTTPStatus.BAD_REQUEST, "context_length_exceeded"),
    NotGenerativeError: (HTTPStatus.BAD_REQUEST, "unsupported_model"),
    NotEncoderError: (HTTPStatus.BAD_REQUEST, "unsupported_model"),
    TemplateError: (HTTPStatus.BAD_REQUEST, "invalid_messages"),
    UnknownTextError: (HTTPStatus.BAD_REQUEST, "invalid_text"),
    ConstraintError: (HTTPStatus.BAD_REQUEST, "invalid_schema"),
    QueueFullError: (HTTPStatus.TOO_MANY_REQUESTS, "rate_limit_exceeded"),
    StoppingError: (HTTPStatus.SERVICE_UNAVAILABLE, "server_stopping"),
    DeadlineError: (HTTPStatus.GATEWAY_TIMEOUT, "deadline_exceeded"),
}


def explain(error: Exception, param: str | None = None) -> APIError:
    """The API error for any exception; an unexpected one is logged and becomes a 500 without details.

    Args:
        error: any.
        param: the field of the request that caused it.
    """
    if isinstance(error, APIError):
        return error
    for kind, (status, code) in _EXPECTED.items():
        if isinstance(error, kind):
            answer = APIError(status, str(error), param=param, code=code)
            if isinstance(error, QueueFullError):
                answer.headers["Retry-After"] = str(error.retry_after)
            return answer
    return unexpected(error)


def error_event(error: Exception) -> str:
    """The last event of a stream of OpenAI's that failed."""
    return event(explain(error).body.model_dump_json(ensure_ascii=True))


def install(app: FastAPI) -> None:
    """Make every error response of `app` use OpenAI's format, or that of the API that a path belongs to."""

    def known(request: Request, error: Exception) -> Response:
        return formed(request.url.path, explain(error))

    def invalid(request: Request, error: Exception) -> Response:
        if not isinstance(error, RequestValidationError):
            return known(request, error)
        return formed(request.url.path, _first_problem([_Problem(each, error.body) for each in error.errors()]))

    errors.install(app, explain, _EXPECTED, lambda: app.openapi()["paths"])
    refused = app.exception_handlers[HTTPException]

    def http(request: Request, error: Exception) -> Any:
        if isinstance(error, HTTPException) and error.detail == _UNREADABLE:
            error.detail = "The request body can't be read: send one JSON object in UTF-8."
        return refused(request, error)

    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)


class _Problem:
    """A validation error of pydantic's.

    Attributes:
        kind: pydantic's error type.
        field: path of the field, for example `messages.0.content`; empty for the body itself.
        message: pydantic's message.
        context: further values of the error.
    """

    def __init__(self, error: Mapping[str, Any], body: Any) -> None:
        self.kind: str = error["type"]
        self.message: str = error["msg"]
        self.context: Mapping[str, Any] = error.get("ctx", {})
        self.field = ".".join(_path(error, body) + ([self.context["field"]] if self.kind == "field" else []))


def _path(error: Mapping[str, Any], body: Any) -> list[str]:
    """Path of the invalid field, without the names that pydantic inserts for the members of a union."""
    path = []
    steps = error["loc"][1:]
    for number, step in enumerate(steps):
        missing = error["type"] == "missing" and number == len(steps) - 1
        if missing or (isinstance(step, str) and isinstance(body, dict) and step in body):
            path.append(str(step))
            body = body.get(step) if isinstance(body, dict) else None
        elif isinstance(step, int) and isinstance(body, list):
            path.append(str(step))
            body = body[step] if step < len(body) else None
    return path


def _first_problem(problems: Sequence[_Problem]) -> APIError:
    """An error in one sentence for the first invalid field of a body."""
    problem = problems[0]
    if problem.kind == "json_invalid":
        return APIError(
            HTTPStatus.BAD_REQUEST,
            f"The request body is not valid JSON ({problem.context.get('error', problem.message)}): send one JSON "
            "object.",
            code="invalid_json",
        )
    if not problem.field:
        return APIError(
            HTTPStatus.BAD_REQUEST,
            "The request body must be one JSON object, sent with the header Content-Type: application/json.",
            code="invalid_body",
        )
    # A union reports errors for each of its members; the member that was meant has the longest path.
    while further := next((each for each in problems if each.field.startswith(f"{problem.field}.")), None):
        problem = further
    if problem.kind in {"extra_forbidden", "none_required"}:
        return APIError(
            HTTPStatus.BAD_REQUEST,
            f"{problem.field!r} is not supported by this server: leave it out.",
            param=problem.field,
            code="unsupported_parameter",
        )
    expected = ", or ".join(dict.fromkeys(each.message for each in problems if each.field == problem.field))
    code = "missing_required_parameter" if problem.kind == "missing" else problem.context.get("code", "invalid_value")
    return APIError(
        HTTPStatus.BAD_REQUEST, f"{problem.field!r} can't be used: {expected}.", param=problem.field, code=code
    )
