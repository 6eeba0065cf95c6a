"""Who makes a request, and how API Gateway is told."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from lambda_llm.authorizer.errors import UnauthorizedError


@dataclass(frozen=True)
class Caller:
    """Whom a bearer token belongs to.

    Attributes:
        tenant: whose request it is; sessions and cached prompts are kept apart by it.
        plan: usage plan that limits it.
        key_id: of the key, or `jwt`.
        max_tokens: longest answer that it gets; None: whatever the function allows.
    """

    tenant: str
    plan: str
    key_id: str
    max_tokens: int | None = None

    def usage_identifier(self, api_id: str) -> str:
        """Value of the API Gateway key of this tenant in this plan, which Terraform makes: an identifier, no secret.

        API Gateway takes it from the authorizer alone where the API's key source is `AUTHORIZER`. It refuses two keys
        with one value in an account and region, hence the API's id.

        Args:
            api_id: of the REST API.
        """
        named = f"{api_id}/{self.plan}/{self.tenant}"
        return f"lambda-llm-{hashlib.sha256(named.encode()).hexdigest()[:40]}"


class Kind(Protocol):
    """A kind of bearer tokens."""

    def recognizes(self, token: str) -> bool:
        """Whether a token looks like one of this kind."""

    def caller(self, token: str) -> Caller | None:
        """Whom a token belongs to; None: it is refused, for a reason that was logged.

        Raises:
            LambdaLLMError: it can't be told at present.
        """


def bearer_token(event: Mapping[str, Any]) -> str | None:
    """The token of the one `Authorization: Bearer …` of a request; None: there is none, or more than one.

    Args:
        event: of a REQUEST authorizer of a REST API.
    """
    single = {name: [value] for name, value in (event.get("headers") or {}).items()}
    headers = event.get("multiValueHeaders") or single
    given = [value for name, values in headers.items() if name.lower() == "authorization" for value in values or ()]
    if len(given) != 1:
        return None
    scheme, _, token = given[0].partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def allowed(caller: Caller, method_arn: str) -> dict[str, Any]:
    """The authorizer's answer: every method of this stage of this API, since API Gateway caches it for all of them.

    Args:
        caller: who is allowed.
        method_arn: the event's `methodArn`: `arn:…:api/stage/METHOD/path`.

    Raises:
        UnauthorizedError: it is no method of a stage.

    Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html
    """
    api, *stage_and_method = method_arn.split("/", 2)
    if len(stage_and_method) != 2 or not api or "*" in api:  # noqa: PLR2004 - the stage, and the rest
        raise UnauthorizedError
    context = {"tenant": caller.tenant, "plan": caller.plan, "key_id": caller.key_id}
    if caller.max_tokens is not None:
        context["max_tokens"] = str(caller.max_tokens)
    statement = {
        "Action": "execute-api:Invoke",
        "Effect": "Allow",
        "Resource": f"{api}/{stage_and_method[0]}/*",
    }
    return {
        "principalId": caller.key_id,
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": context,
        "usageIdentifierKey": caller.usage_identifier(api.rpartition(":")[2]),
    }
