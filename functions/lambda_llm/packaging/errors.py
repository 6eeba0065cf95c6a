"""Why a package can't be made or must not be deployed."""

from lambda_llm.errors import LambdaLLMError


class PackageError(LambdaLLMError):
    """The zip, or what goes into it, would fail on Lambda."""
