"""Why a backend did not answer, in the few kinds that decide what happens next."""

from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Final

from lambda_llm.errors import LambdaLLMError


class Kind(StrEnum):
    """What became of a request.

    Of a request that nothing was answered to yet, every kind but `INVALID` and `TOO_LONG` may succeed elsewhere.
    """

    THROTTLED = "throttled"
    """The backend has no room now."""
    UNAVAILABLE = "unavailable"
    """No connection, or an error of the backend's own."""
    WAKING = "waking"
    """The backend scales to zero, and starts because of this request: minutes."""
    TIMEOUT = "timeout"
    """The deadline came, or the backend's own limit."""
    FORBIDDEN = "forbidden"
    """The backend does not accept the router's credentials."""
    NOT_FOUND = "not_found"
    """The backend does not have the model, or not any more."""
    TOO_LONG = "too_long"
    """The prompt is longer than the model's context."""
    INVALID = "invalid"
    """The backend refuses the request as it is."""
    UNSUPPORTED = "unsupported"
    """The request asks for what this kind of backend can't honour; it was not sent."""
    BLOCKED = "blocked"
    """A guardrail of the backend's refused prompt or answer."""
    BROKEN = "broken"
    """What was answered is no answer, or ends in the middle."""


STATUSES: Final[Mapping[Kind, tuple[int, str]]] = {
    Kind.INVALID: (HTTPStatus.BAD_REQUEST, "invalid_value"),
    Kind.UNSUPPORTED: (HTTPStatus.BAD_REQUEST, "unsupported_parameter"),
    Kind.TOO_LONG: (HTTPStatus.BAD_REQUEST, "context_length_exceeded"),
    Kind.BLOCKED: (HTTPStatus.BAD_REQUEST, "content_filter"),
    Kind.THROTTLED: (HTTPStatus.TOO_MANY_REQUESTS, "rate_limit_exceeded"),
    Kind.WAKING: (HTTPStatus.SERVICE_UNAVAILABLE, "waking"),
    Kind.UNAVAILABLE: (HTTPStatus.SERVICE_UNAVAILABLE, "unavailable"),
    Kind.TIMEOUT: (HTTPStatus.GATEWAY_TIMEOUT, "deadline_exceeded"),
    # Not the client's: the configuration names what is not there, or the role may not do so.
    Kind.NOT_FOUND: (HTTPStatus.BAD_GATEWAY, "backend_not_found"),
    Kind.FORBIDDEN: (HTTPStatus.BAD_GATEWAY, "backend_forbidden"),
    Kind.BROKEN: (HTTPStatus.BAD_GATEWAY, "backend_failed"),
}
"""Status and code with which a client is told."""


class BackendError(LambdaLLMError):
    """A backend did not answer, or not to the end.

    Its sentence never has anything of the prompt or of the answer.

    Attributes:
        kind: decides what happens next.
        retry_after: seconds after which the backend says that it may have room; None: it said nothing.
        started: whether a part of the answer was yielded before: then no other backend can answer instead.
        param: the request's field at fault, of `INVALID` and `UNSUPPORTED`.
    """

    def __init__(
        self, kind: Kind, sentence: str, *, retry_after: float | None = None, param: str | None = None
    ) -> None:
        super().__init__(sentence)
        self.kind = kind
        self.retry_after = retry_after
        self.started = False
        self.param = param
