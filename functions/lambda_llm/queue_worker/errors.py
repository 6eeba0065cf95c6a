"""Why the worker can't start, or a message has no answer."""

from lambda_llm.errors import LambdaLLMError


class QueueSettingsError(LambdaLLMError):
    """A `LAMBDA_LLM_QUEUE_*` variable is missing, or has a value that can't be used."""


class UnansweredMessageError(LambdaLLMError):
    """A message that has no answer, or whose answer could not be sent; it stays in its queue."""
