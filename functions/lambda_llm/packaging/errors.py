"""Why a package can't be built or must not be deployed."""

from lambda_llm.errors import LambdaLLMError


class PackageError(LambdaLLMError):
    """A zip can't be built, or would fail on Lambda."""
