"""Why an environment must not serve requests."""

from lambda_llm.errors import LambdaLLMError


class InvariantError(LambdaLLMError):
    """The function does not have the one configuration in which this package runs on Lambda."""


class CPUChangedError(LambdaLLMError):
    """The snapshot was restored on a CPU without features that the loaded kernels use."""
