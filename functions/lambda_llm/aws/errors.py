"""Why AWS could not be asked, or what it refused."""

from lambda_llm.errors import LambdaLLMError


class CredentialsError(LambdaLLMError):
    """There are no AWS credentials to sign with, or they can't be renewed."""


class S3URIError(LambdaLLMError):
    """An address is not of the form that names something in S3."""


class StorageError(LambdaLLMError):
    """A small object could not be read or written; the caller can do without it."""


class StorageForbiddenError(LambdaLLMError):
    """A prefix in S3 can't be read from and written to as it must be."""
