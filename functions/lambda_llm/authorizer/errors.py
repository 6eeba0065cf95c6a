"""Why a caller can't be told, or a key can't be made, found or revoked."""

from lambda_llm.errors import LambdaLLMError


class AuthorizerSettingsError(LambdaLLMError):
    """A `LAMBDA_LLM_AUTHORIZER_*` variable is missing, unknown, or has a value that can't be used."""


class UnusableKeyError(LambdaLLMError):
    """What was asked of a key can't be done."""


class KeyTableError(LambdaLLMError):
    """The table of the keys could not be read or written."""


class IssuerError(LambdaLLMError):
    """The public keys of the issuer of JWTs could not be fetched."""


class UnauthorizedError(Exception):
    """Nobody known: API Gateway answers 401 to an error with exactly this text, and 500 to any other.

    Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html
    """

    def __init__(self) -> None:
        super().__init__("Unauthorized")
