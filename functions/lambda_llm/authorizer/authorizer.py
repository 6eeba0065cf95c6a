"""A Lambda authorizer of API Gateway REST APIs, of type REQUEST.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-use-lambda-authorizer.html
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from lambda_llm.authorizer.caller import Kind, allowed, bearer_token
from lambda_llm.authorizer.errors import UnauthorizedError
from lambda_llm.errors import LambdaLLMError

logger = logging.getLogger(__name__)


class Authorizer:
    """Allows the callers that one of several kinds of tokens knows. Tokens are never logged."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        """Take the kinds of tokens, of which the first that recognizes a token decides."""
        self._kinds = kinds

    def __call__(self, event: Mapping[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG002 - Lambda's two
        """Answer an event.

        Raises:
            UnauthorizedError: the caller is not known, whatever the reason; API Gateway answers 401.
            LambdaLLMError: who it is can't be told at present; API Gateway answers 500.
        """
        token = bearer_token(event)
        kind = next((kind for kind in self._kinds if token and kind.recognizes(token)), None)
        if token is None or kind is None:
            logger.info("refused: no bearer token of a known kind")
            raise UnauthorizedError
        try:
            caller = kind.caller(token)
        except LambdaLLMError as error:
            logger.error("refused: %s", error)  # noqa: TRY400 - the message is complete
            raise
        if caller is None:
            raise UnauthorizedError
        return allowed(caller, str(event.get("methodArn")))
