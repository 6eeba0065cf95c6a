"""What a front door tells of a request, and its sender can't have written."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final

from lambda_llm.telemetry.context import plain_id
from lambda_llm.web.errors import APIError

SCOPE: Final = "lambda_llm.origin"
"""Key of the ASGI scope under which a front door gives it."""

APPLICATION: Final = "x-lambda-llm-application"
"""Header in which a caller says what it is, in lower case."""


class Tenancy(StrEnum):
    """Who says whose a request is; what was evaluated for one tenant is never reused for another.

    `none`: nobody, all callers are one tenant. `user`: the request, in its field `user`. `authorizer`: the authorizer
    of the API Gateway in front.
    """

    NONE = "none"
    USER = "user"
    AUTHORIZER = "authorizer"


@dataclass(frozen=True)
class Origin:
    """Where a request comes from.

    Attributes:
        tenant: as the authorizer names it; None: it does not, or there is no authorizer.
        max_tokens: longest answer that the authorizer allows; None: it does not say.
        stage: of the API Gateway, by whose name the path may begin; None: there is none.
        principal: ARN of the role or user that signed the request, as IAM names it; None: nobody has.
    """

    tenant: str | None = None
    max_tokens: int | None = None
    stage: str | None = None
    principal: str | None = None


def origin_of(scope: Mapping[str, Any]) -> Origin:
    """The origin of a request; one without anything where no front door gave any."""
    origin = scope.get(SCOPE)
    return origin if isinstance(origin, Origin) else Origin()


def application_of(header: str | None, origin: Origin) -> str | None:
    """What sent a request: as it says itself in `APPLICATION`, or who signed it. A word for figures, never for rights.

    Args:
        header: its value.
        origin: of the request.
    """
    return plain_id(header) or origin.principal


def no_tenant() -> APIError:
    """The refusal of a request of nobody, where the authorizer tells tenants apart."""
    return APIError(
        HTTPStatus.FORBIDDEN,
        "This server tells its callers apart by the authorizer of the API Gateway in front of it, which knows nothing "
        "of this request: send it to the API's address, with a key.",
        code="no_tenant",
    )
