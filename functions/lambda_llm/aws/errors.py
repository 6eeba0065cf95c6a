"""Why a call to AWS could not be made, or was refused."""

from lambda_llm.errors import LambdaLLMError


class CredentialsError(LambdaLLMError):
    """There are no AWS credentials to sign with, or they can't be renewed."""


class S3URIError(LambdaLLMError):
    """An address is not a valid S3 URI."""


class StorageError(LambdaLLMError):
    """A small object could not be read or written; the caller can continue without it."""


class StorageForbiddenError(LambdaLLMError):
    """A prefix in S3 lacks the read or write access that is needed."""


class InvocationError(LambdaLLMError):
    """A function could not be invoked, or it failed."""
