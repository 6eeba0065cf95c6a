"""Errors of this package."""

from lambda_llm.errors import LambdaLLMError


class UsageError(LambdaLLMError):
    """Lines or a bill can't be read, or are not what was expected."""
