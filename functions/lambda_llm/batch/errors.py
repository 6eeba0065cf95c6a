"""Why a batch's functions can't work."""

from lambda_llm.errors import LambdaLLMError


class BatchConfigurationError(LambdaLLMError):
    """The store's configuration can't be read or used."""


class BatchFailedError(LambdaLLMError):
    """A batch can't go on, and is marked as failed.

    Attributes:
        code: of the error, for programs.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class SettingsError(LambdaLLMError):
    """A `LAMBDA_LLM_BATCH_*` variable is missing, or has a value that can't be used."""
