"""JSON of error responses.

Source: https://platform.openai.com/docs/guides/error-codes
"""

from pydantic import BaseModel


class ErrorBody(BaseModel):
    """An error: `type` is its class, `code` the exact kind, `param` the field at fault."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorResponse(BaseModel):
    """The body of every error response."""

    error: ErrorBody
