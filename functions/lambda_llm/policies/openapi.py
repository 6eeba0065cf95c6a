"""OpenAPI documents of API Gateway: which operations they have, and who may use them.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions.html
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lambda_llm.policies.values import blocks, is_known, names

METHODS: Final = {"get", "put", "post", "delete", "options", "head", "patch", "trace", "x-amazon-apigateway-any-method"}
INTEGRATION: Final = "x-amazon-apigateway-integration"
AUTHORIZER: Final = "x-amazon-apigateway-authorizer"
AUTHENTICATION: Final = "x-amazon-apigateway-authtype"
OPERATION_AUTHENTICATION: Final = "x-amazon-apigateway-auth"

BY_FUNCTION: Final = {"token", "request"}
"""Kinds of authorizers that are functions, whose answers API Gateway keeps."""

REMEMBERED_SECONDS: Final = 300
"""For which API Gateway keeps an authorizer's answer by default.
Source: https://docs.aws.amazon.com/apigateway/latest/api/API_Authorizer.html"""


@dataclass(frozen=True)
class Operation:
    """A method of a path.

    Attributes:
        document: That it is in.
        given: Its own part of it.
    """

    document: Mapping[str, Any]
    given: Mapping[str, Any]

    @property
    def uri(self) -> Any:
        """What its integration invokes; None if nothing."""
        integration = self.given.get(INTEGRATION)
        return integration.get("uri") if isinstance(integration, Mapping) else integration

    def is_authorized(self) -> bool | None:
        """Whether API Gateway knows the caller: by an authorizer, or by IAM. An API key alone tells nobody apart."""
        own = self.given.get(OPERATION_AUTHENTICATION)
        if isinstance(own, Mapping) and str(own.get("type")).upper() == "AWS_IAM":
            return True
        security = self.given["security"] if "security" in self.given else self.document.get("security")
        if isinstance(security, str) and not is_known(security):
            return None
        requirements = blocks({"security": security}, "security")
        if not requirements or any(not names(one) for one in requirements):  # {} makes the others optional
            return False
        schemes = security_schemes(self.document)
        if schemes is None:
            return None
        needed = [schemes.get(name) for one in requirements for name in names(one)]
        if any(isinstance(scheme, Mapping) and _tells_apart(scheme) for scheme in needed):
            return True
        return None if any(isinstance(scheme, str) and not is_known(scheme) for scheme in needed) else False


def read(body: Any) -> Mapping[str, Any] | None:
    """Read the argument `body` of an API.

    Returns:
        None for what is no JSON, or not known.
    """
    if isinstance(body, str):
        try:
            body = json.loads(body)
        except ValueError:
            return None
    return body if isinstance(body, Mapping) and isinstance(body.get("paths"), Mapping) else None


def operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    """Every operation of a document."""
    for path in names(document["paths"]):
        for item in blocks(document["paths"], path):
            for method in names(item) & METHODS:
                yield from (Operation(document, given) for given in blocks(item, method))


def security_schemes(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Security schemes by name, of OpenAPI 3.0 or 2.0; None if they are not known."""
    components = document.get("components", {})
    found = components.get("securitySchemes") if isinstance(components, Mapping) else components
    found = document.get("securityDefinitions", {}) if found is None else found
    return found if isinstance(found, Mapping) else None


def remembered_seconds(document: Mapping[str, Any]) -> list[Any]:
    """For how long the answers of each authorizer that is a function are kept."""
    schemes = security_schemes(document) or {}
    authorizers = [found for name in names(schemes) for found in _authorizers(schemes[name])]
    return [
        one.get("authorizerResultTtlInSeconds", REMEMBERED_SECONDS)
        for one in authorizers
        if str(one.get("type")).lower() in BY_FUNCTION
    ]


def _authorizers(scheme: Any) -> list[Mapping[str, Any]]:
    return blocks(scheme, AUTHORIZER) if isinstance(scheme, Mapping) else []


def _tells_apart(scheme: Mapping[str, Any]) -> bool:
    return bool(_authorizers(scheme)) or str(scheme.get(AUTHENTICATION)).lower() == "awssigv4"
