"""Open-weight language models on AWS Lambda, without the cold start.

Names exported here are public and follow semantic versioning; every other module may change with any release.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from lambda_llm.aws.errors import CredentialsError
    from lambda_llm.aws.function_url import function_url_auth
    from lambda_llm.aws.signing import SigV4Auth
    from lambda_llm.errors import LambdaLLMError

__version__ = "0.1.0"

__all__ = ["CredentialsError", "LambdaLLMError", "SigV4Auth", "__version__", "function_url_auth"]

_HOMES: Final = {
    "CredentialsError": "lambda_llm.aws.errors",
    "LambdaLLMError": "lambda_llm.errors",
    "SigV4Auth": "lambda_llm.aws.signing",
    "function_url_auth": "lambda_llm.aws.function_url",
}
"""Modules of the names, imported on first use: every function imports this package, but needs few of its modules."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
