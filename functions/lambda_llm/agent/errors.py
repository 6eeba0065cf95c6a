"""Failures of agents."""

from lambda_llm.errors import LambdaLLMError


class AgentError(LambdaLLMError):
    """Base class of the rest."""


class AgentDefinitionError(AgentError):
    """An agent, a tool or their settings can't be used as written."""


class BadReferenceError(AgentError):
    """A reference is malformed, points elsewhere, or what it points to is missing or changed: the execution ends."""


class TooLargeError(AgentError):
    """A value is larger than the place it was meant for."""


class ToolError(AgentError):
    """A tool did not do what it was called for; the text goes to the model.

    Attributes:
        unknown: whether it may have happened nonetheless, such as when an answer was lost.
        retriable: whether the same call may do better later; whether it may be made again, the tool's effects say.
        retry_after: seconds that a server asks to wait for first, if it does.
    """

    def __init__(
        self, text: str, *, unknown: bool = False, retriable: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(text)
        self.unknown = unknown
        self.retriable = retriable
        self.retry_after = retry_after


class SandboxError(ToolError):
    """Code was not run, or its end is not known."""


class SandboxUnavailableError(AgentError):
    """This machine or account can't isolate code; nothing was run."""
