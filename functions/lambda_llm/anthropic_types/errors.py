"""JSON of error responses.

Source: https://docs.anthropic.com/en/api/errors
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel

TYPES: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
"""By HTTP status; others are client errors or server errors."""


class ErrorBody(BaseModel):
    """An error; `type` is its class."""

    type: str
    message: str


class ErrorResponse(BaseModel):
    """The body of every error response."""

    type: Literal["error"] = "error"
    error: ErrorBody


def error_body(status: int, message: str) -> dict[str, Any]:
    """The body of an error response."""
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")  # noqa: PLR2004 - HTTP's classes
    return ErrorResponse(error=ErrorBody(type=kind, message=message)).model_dump()
