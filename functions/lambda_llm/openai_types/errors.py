"""The JSON of every answer that is not a success.

Source: https://platform.openai.com/docs/guides/error-codes
"""

from pydantic import BaseModel


class ErrorBody(BaseModel):
    """What clients read: `type` is the class of error, `code` the exact one, `param` the field at fault."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorResponse(BaseModel):
    """The body of every answer that is not a success."""

    error: ErrorBody
