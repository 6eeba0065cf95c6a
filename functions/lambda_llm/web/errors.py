"""Error responses in OpenAI's format, or that of the API that a path belongs to.

Source: https://platform.openai.com/docs/guides/error-codes
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from lambda_llm.anthropic_types.errors import error_body
from lambda_llm.openai_types.errors import ErrorBody, ErrorResponse

logger = logging.getLogger(__name__)


class APIError(Exception):
    """An error with its HTTP response.

    Attributes:
        status: HTTP status code.
        headers: of the response.
        body: of the response.
    """

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers: dict[str, str] = {}
        kind = "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
        kind = "rate_limit_error" if status == HTTPStatus.TOO_MANY_REQUESTS else kind
        self.body = ErrorResponse(error=ErrorBody(message=message, type=kind, param=param, code=code))

    def response(self) -> JSONResponse:
        """The HTTP response."""
        return JSONResponse(self.body.model_dump(), status_code=self.status, headers=self.headers)


_FORMS: Final[Mapping[str, Callable[[int, str], dict[str, Any]]]] = {
    "/v1/messages": error_body,
    "/api/": lambda _, message: {"error": message},
}
"""Bodies of errors from their status and message, by the beginning of the path: Anthropic's API and Ollama's."""

_CODES: Final[Mapping[int, str]] = {
    HTTPStatus.BAD_REQUEST: "invalid_json",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "request_too_large",
    HTTPStatus.REQUEST_TIMEOUT: "request_timeout",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported_encoding",
}
"""Of refusals whose sentence is complete."""


def formed(path: str, error: APIError) -> Response:
    """The response to an error, in the format of the API that the path belongs to."""
    for prefix, form in _FORMS.items():
        if path.startswith(prefix):
            return JSONResponse(form(error.status, str(error)), status_code=error.status, headers=error.headers)
    return error.response()


def unexpected(error: Exception) -> APIError:
    """The answer to an error that nobody has foreseen: it is logged, and becomes a 500 without details."""
    logger.error("a request failed", exc_info=error)
    return APIError(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "The server failed to answer; its log says why. Try again.",
        code="internal_error",
    )


def install(
    app: Starlette,
    explain: Callable[[Exception], APIError],
    expected: Iterable[type[Exception]],
    paths: Callable[[], Iterable[str]],
) -> None:
    """Make every error response of `app` use OpenAI's format, or that of the API that a path belongs to.

    Args:
        app: the application.
        explain: gives the API error for any exception but those of HTTP.
        expected: after which the connection is as good as before; after any other one it is closed.
        paths: of the application, for whoever asked for another one.
    """

    def known(request: Request, error: Exception) -> Response:
        return formed(request.url.path, explain(error))

    def http(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            return known(request, error)
        where = f"{request.method} {request.url.path}"
        code, message = _CODES.get(error.status_code), str(error.detail)
        if error.status_code == HTTPStatus.NOT_FOUND:
            code, message = "not_found", f"There is nothing at {where}: use one of {', '.join(paths())}."
        elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            code, message = "method_not_allowed", f"{where} is not allowed: use another method."
        elif code is None:
            message = f"{where}: {message}"
        answer = APIError(error.status_code, message, code=code)
        answer.headers.update(error.headers or {})
        return formed(request.url.path, answer)

    def gone(_: Request, __: Exception) -> Response:
        return Response(status_code=HTTPStatus.NO_CONTENT)  # nobody reads it

    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(HTTPException, http)
    kinds: tuple[type[Exception], ...] = (APIError, *expected, Exception)
    for kind in kinds:
        app.add_exception_handler(kind, known)
