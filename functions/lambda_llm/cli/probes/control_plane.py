"""Reading from AWS what a deployment is; nothing here changes anything."""

from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from lambda_llm.errors import LambdaLLMError

_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"})
_MISSING: Final = frozenset(
    {
        "ResourceNotFoundException",
        "ProvisionedConcurrencyConfigNotFoundException",
        "NoSuchEntity",
        "NoSuchBucket",
        "NoSuchKey",
        "NoSuchVersion",
        "404",
    }
)


class UnknowableError(LambdaLLMError):
    """Something can't be known here; the text says why."""


class MissingError(LambdaLLMError):
    """Something that a deployment needs is not there."""


class ControlPlane:
    """AWS's APIs in one region, with the credentials that the AWS CLI would use."""

    def __init__(self, region: str) -> None:
        self.region = region
        self._clients: dict[str, Any] = {}

    def call(self, service: str, operation: str, **given: Any) -> dict[str, Any]:
        """One call.

        Args:
            service: `lambda`, `iam`, …
            operation: as IAM names it, for example `GetAlias`.
            given: its parameters.

        Raises:
            UnknowableError: it was refused or could not be sent.
            MissingError: what it asks for is not there.
        """
        name = f"{service}:{operation}"
        try:
            client = self._client(service)
            methods = {api: method for method, api in client.meta.method_to_api_mapping.items()}
            answer: dict[str, Any] = getattr(client, methods[operation])(**given)
        except ClientError as error:
            code = str(error.response["Error"].get("Code"))
            said = str(error.response["Error"].get("Message") or code)
            if code in _DENIED:
                raise UnknowableError(f"The credentials may not call {name}: allow it, or ask who may.") from error
            if code in _MISSING:
                raise MissingError(
                    f"{name} found nothing ({said}): is the name right, and the region {self.region}?"
                ) from error
            raise UnknowableError(f"AWS refused {name} ({code}: {said}).") from error
        except (BotoCoreError, ValueError) as error:  # ValueError: credentials that can't be used
            raise UnknowableError(f"{name} could not be called ({error}).") from error
        return answer

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = boto3.Session(region_name=self.region).client(  # type: ignore[call-overload]  # any service
                service,
                config=Config(
                    # An invocation may restore an environment, and its retry would restore another one.
                    retries={"mode": "standard", "total_max_attempts": 1 if service == "lambda" else 4},
                    connect_timeout=10,
                    read_timeout=120,
                ),
            )
        return self._clients[service]
