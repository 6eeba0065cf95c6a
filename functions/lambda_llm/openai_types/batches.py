"""JSON of files and batches.

Sources: https://platform.openai.com/docs/api-reference/batch, https://platform.openai.com/docs/api-reference/files
"""

import re
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictStr
from pydantic_core import PydanticCustomError

from lambda_llm.openai_types.common import Input

Status = Literal["validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"]
"""Of a batch."""

Endpoint = Literal["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/rerank"]
"""Of a batch; models may have others."""

ENDPOINTS: Final = frozenset(get_args(Endpoint))

ENDED: Final = frozenset({"failed", "completed", "expired", "cancelled"})
"""Statuses that are a batch's last."""

WINDOW_HOURS_MAX: Final = 168
"""Longest window, a week, which is also the longest that a batch job of Bedrock may take; OpenAI has `24h` alone."""

EXPIRES_SECONDS_MIN: Final = 3600
EXPIRES_SECONDS_MAX: Final = 30 * 24 * 3600
"""Of files. Source: https://platform.openai.com/docs/api-reference/batch/create"""

_WINDOW: Final = re.compile(r"[1-9][0-9]{0,2}h")


def _window(text: str) -> str:
    if not _WINDOW.fullmatch(text) or int(text[:-1]) > WINDOW_HOURS_MAX:
        raise PydanticCustomError("window", "Input should be a number of hours from '1h' to '168h', such as '24h'")
    return text


class FileObject(BaseModel):
    """A file of a tenant."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None = None
    filename: str
    purpose: Literal["batch", "batch_output"]
    status: Literal["processed"] = "processed"


class BatchError(BaseModel):
    """Why a batch failed: a line of its file, counted from 1, or the whole of it."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class BatchErrors(BaseModel):
    """The first of a batch's errors."""

    object: Literal["list"] = "list"
    data: list[BatchError]


class RequestCounts(BaseModel):
    """Requests of a batch: all, those with an answer of status 200, and those in the error file."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class InputTokensDetails(BaseModel):
    """Of `BatchUsage`."""

    cached_tokens: int = 0


class OutputTokensDetails(BaseModel):
    """Of `BatchUsage`."""

    reasoning_tokens: int = 0


class BatchUsage(BaseModel):
    """Tokens of all requests together."""

    input_tokens: int
    input_tokens_details: InputTokensDetails = InputTokensDetails()
    output_tokens: int
    output_tokens_details: OutputTokensDetails = OutputTokensDetails()
    total_tokens: int


class Batch(BaseModel):
    """A batch of requests; times are in seconds since 1970."""

    model_config = ConfigDict(protected_namespaces=())

    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    model: str | None = None
    errors: BatchErrors | None = None
    input_file_id: str
    completion_window: str
    status: Status = "validating"
    output_file_id: str | None = None
    error_file_id: str | None = None
    created_at: int
    in_progress_at: int | None = None
    expires_at: int
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    request_counts: RequestCounts = RequestCounts()
    usage: BatchUsage | None = None
    metadata: dict[str, str] | None = None


class ExpiresAfter(Input):
    """When a file expires, counted from its creation."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=EXPIRES_SECONDS_MIN, le=EXPIRES_SECONDS_MAX, strict=True)]


_Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=16)
]


class BatchRequest(Input):
    """Body of `POST /v1/batches`.

    Beside OpenAI's fields it has `backend`, the name of the one that has to answer (default: the cheapest that keeps
    the window), and `max_dollars`, which the whole batch may not exceed.
    """

    input_file_id: Annotated[StrictStr, Field(min_length=1)]
    endpoint: Endpoint
    completion_window: Annotated[StrictStr, AfterValidator(_window)]
    metadata: _Metadata | None = None
    output_expires_after: ExpiresAfter | None = None
    backend: Annotated[StrictStr, Field(min_length=1, max_length=128)] | None = None
    max_dollars: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None

    @property
    def seconds(self) -> int:
        """The window in seconds."""
        return int(self.completion_window[:-1]) * 3600


class BatchLine(BaseModel):
    """A line of an input file."""

    model_config = ConfigDict(extra="forbid")

    custom_id: Annotated[StrictStr, Field(min_length=1, max_length=512)]
    method: Literal["POST"]
    url: StrictStr
    body: dict[str, Any]
