"""Why the router can't work, or does not answer a request."""

from lambda_llm.errors import LambdaLLMError
from lambda_llm.router.policy import Choice


class ConfigurationError(LambdaLLMError):
    """The file with backends, models and tenants can't be used."""


class NoBackendError(LambdaLLMError):
    """No backend of a model may answer a request.

    Attributes:
        choice: why not, for each.
    """

    def __init__(self, choice: Choice) -> None:
        reasons = "; ".join(f"{each.backend} {each.why}" for each in choice.refused)
        wait = f": try again in {max(1, round(choice.retry_after))} s" if choice.retry_after is not None else ""
        super().__init__(f"No backend of this model can answer the request ({reasons or 'it has none'}){wait}.")
        self.choice = choice


class UnknownError(LambdaLLMError):
    """A request names what there is not, or what its sender has no right to.

    Attributes:
        what: `tenant`, `path`, `model` or `batches`.
    """

    def __init__(self, what: str, sentence: str) -> None:
        super().__init__(sentence)
        self.what = what


class SecretError(LambdaLLMError):
    """A backend's key can't be read; the sentence has its ARN, and nothing of it."""

    def __init__(self, arn: str, why: str) -> None:
        super().__init__(f"The key in {arn} can't be read ({why}).")


class SourceError(LambdaLLMError):
    """The configuration can't be read from where it is."""


class NotFoundError(LambdaLLMError):
    """There is no such response of this tenant: whether another one has it, nobody is told."""


class ConflictError(LambdaLLMError):
    """An idempotency key stands for another request already."""


class NotConfiguredError(LambdaLLMError):
    """The router was set up without what a request needs.

    Attributes:
        param: the field that asks for it; None: the path does.
    """

    def __init__(self, sentence: str, param: str | None = None) -> None:
        super().__init__(sentence)
        self.param = param


class RequestError(LambdaLLMError):
    """A request has what the router can't honour.

    Attributes:
        param: the field, or the header.
    """

    def __init__(self, param: str, sentence: str) -> None:
        super().__init__(sentence)
        self.param = param


class ResultsError(LambdaLLMError):
    """Background responses can't be read, written or queued; nobody knows more than that."""
