"""Why a backend did not answer, in the few kinds that decide what happens next."""

from enum import StrEnum

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
