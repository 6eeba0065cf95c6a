"""What a client is answered when there is no answer: each error's status, and its event in a stream that has begun."""

import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from lambda_llm.anthropic_types.errors import error_body
from lambda_llm.aws.errors import CredentialsError
from lambda_llm.backends.contract import Operation
from lambda_llm.backends.errors import STATUSES, BackendError
from lambda_llm.batch_store.errors import InputError, NoSuchError, StateError, StoreError
from lambda_llm.openai_types.sse import event
from lambda_llm.router.budget import BudgetError
from lambda_llm.router.errors import (
    ConflictError,
    NoBackendError,
    NotConfiguredError,
    NotFoundError,
    RequestError,
    ResultsError,
    UnknownError,
)
from lambda_llm.router.ledger import LedgerError
from lambda_llm.web.errors import APIError, unexpected

RETRY_SECONDS: Final = 1.0
"""When to come back where nobody knows when it helps."""

_AGAIN: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})

_UNKNOWN: Final[Mapping[str, tuple[int, str]]] = {
    "tenant": (HTTPStatus.FORBIDDEN, "no_tenant"),
    "model": (HTTPStatus.NOT_FOUND, "model_not_found"),
    "path": (HTTPStatus.NOT_FOUND, "not_found"),
    "batches": (HTTPStatus.FORBIDDEN, "batches_not_allowed"),
}

_ERRORS: Final[Mapping[type[Exception], tuple[int, str]]] = {
    BudgetError: (HTTPStatus.TOO_MANY_REQUESTS, "insufficient_quota"),
    LedgerError: (HTTPStatus.SERVICE_UNAVAILABLE, "budgets_unavailable"),
    RequestError: (HTTPStatus.BAD_REQUEST, "unsupported_parameter"),
    NotConfiguredError: (HTTPStatus.BAD_REQUEST, "unsupported_parameter"),
    NotFoundError: (HTTPStatus.NOT_FOUND, "not_found"),
    ConflictError: (HTTPStatus.CONFLICT, "idempotency_key_in_use"),
    ResultsError: (HTTPStatus.SERVICE_UNAVAILABLE, "results_unavailable"),
    InputError: (HTTPStatus.BAD_REQUEST, "invalid_value"),
    NoSuchError: (HTTPStatus.NOT_FOUND, "not_found"),
    StateError: (HTTPStatus.BAD_REQUEST, "invalid_state"),  # OpenAI's clients try a 409 again
    StoreError: (HTTPStatus.SERVICE_UNAVAILABLE, "store_unavailable"),
    CredentialsError: (HTTPStatus.BAD_GATEWAY, "backend_forbidden"),
}


def explain(error: Exception) -> APIError:
    """The API error for any exception; an unexpected one is logged and becomes a 500 without details."""
    if isinstance(error, APIError):
        return error
    status, code = _status(error)
    if status is None:
        return unexpected(error)
    answer = APIError(status, str(error), param=_param(error), code=code)
    seconds = error.choice.retry_after if isinstance(error, NoBackendError) else getattr(error, "retry_after", None)
    if seconds is None and status in _AGAIN and not isinstance(error, BudgetError):
        seconds = RETRY_SECONDS
    if isinstance(error, BudgetError) and seconds is None:
        answer.headers["x-should-retry"] = "false"  # OpenAI's and Anthropic's clients try a 429 again otherwise
    if seconds is not None:
        answer.headers["Retry-After"] = str(max(1, math.ceil(seconds)))
    return answer


def status_of(error: BaseException) -> tuple[int, str]:
    """Status and code that a client gets of any exception."""
    if isinstance(error, APIError):
        return error.status, error.body.error.code or ""
    status, code = _status(error)
    return (HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error") if status is None else (status, code)


def _status(error: BaseException) -> tuple[int | None, str]:
    """Status and code; None: nobody has foreseen it."""
    match error:
        case BackendError():
            return STATUSES[error.kind]
        case UnknownError():
            return _UNKNOWN[error.what]
        case NotConfiguredError(param=None):
            return HTTPStatus.BAD_REQUEST, "not_configured"
        case NoBackendError():
            waits = error.choice.retry_after is not None
            return (HTTPStatus.SERVICE_UNAVAILABLE, "unavailable") if waits else (HTTPStatus.BAD_REQUEST, "no_backend")
    return next((found for kind, found in _ERRORS.items() if isinstance(error, kind)), (None, ""))


def _param(error: Exception) -> str | None:
    """The field at fault."""
    match error:
        case BackendError() | RequestError() | NotConfiguredError() | InputError() | NoSuchError():
            return error.param
        case UnknownError(what="model") | NoBackendError():
            return "model"
    return None


def failure_event(operation: Operation, error: Exception, number: int) -> str:
    """The last event of a stream that failed, as the operation's API has it.

    Args:
        operation: whose stream it is.
        error: that ends it.
        number: of the event in the stream, from zero.
    """
    answer = explain(error)
    if operation is Operation.MESSAGES:
        return event(json.dumps(error_body(answer.status, str(answer))), "error")
    if operation is Operation.RESPONSES:
        body = {**answer.body.error.model_dump(), "type": "error", "sequence_number": number}
        return event(json.dumps(body), "error")
    return event(answer.body.model_dump_json(ensure_ascii=True))
