"""Why documents can't be embedded."""

from lambda_llm.errors import LambdaLLMError


class DocumentsSettingsError(LambdaLLMError):
    """A `LAMBDA_LLM_DOCUMENTS_*` variable is missing, unknown, or has a value that can't be used."""


class DocumentError(LambdaLLMError):
    """One document, or one line of it, has no text that could be embedded; the others go on without it."""


class PrepareError(LambdaLLMError):
    """The input of a batch can't be made."""


class ExportError(LambdaLLMError):
    """The vectors of a batch can't be exported."""


class BatchEndedError(LambdaLLMError):
    """A batch has ended without answers; asking again changes nothing."""
