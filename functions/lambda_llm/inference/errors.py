"""Why an environment may not serve."""

from lambda_llm.errors import LambdaLLMError


class InvariantError(LambdaLLMError):
    """The function is not configured in the one way in which this package runs on Lambda."""


class CPUChangedError(LambdaLLMError):
    """The snapshot was restored on a CPU that lacks what the loaded code uses."""
