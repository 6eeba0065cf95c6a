"""What Lambda tells of a request beside it: its `requestContext`, and in it what the authorizer said.

The buffered door has it in the event. At the streaming door it is a header that the web adapter sets, over any that the
caller sent. Where neither is in front (`lambda-llm serve`), nothing here runs, and nobody is believed.

Sources: https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html,
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html,
https://github.com/aws/aws-lambda-web-adapter
"""

import json
import re
from collections.abc import Callable
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from lambda_llm.web.errors import formed
from lambda_llm.web.origin import SCOPE, Origin, no_tenant

REQUEST_CONTEXT: Final = "x-amzn-request-context"
"""Header in which the adapter gives the `requestContext` of a request that it forwards; `null` for other events."""

_ARN: Final = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):(iam|sts)::(?P<account>\d{12}):(assumed-role/(?P<role>[^/]+)/.+|root|(user|federated-user)/.+)"
)
"""Of whoever signs requests. An assumed role is named without its path.
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html"""

INSIDE: Final = object()
"""In place of a context: the request was sent from inside the environment, by the adapter itself."""


def from_event(scope: Scope) -> Any:
    """The `requestContext` of the event that a request was made from; None: the event was no HTTP request."""
    event = scope["aws.event"]
    return event.get("requestContext") if isinstance(event, dict) else None


def from_adapter(scope: Scope) -> Any:
    """The `requestContext` as the web adapter gives it.

    None: the event was no HTTP request, or there is not exactly one that can be read. `INSIDE`: there is none.
    """
    given = [value for name, value in scope["headers"] if name == REQUEST_CONTEXT.encode()]
    if not given:
        return INSIDE
    try:
        return json.loads(given[0]) if len(given) == 1 else None
    except (ValueError, RecursionError):
        return None


class FrontDoor:
    """ASGI middleware that notes a request's origin, and refuses one of nobody where tenants are told apart."""

    def __init__(
        self,
        app: ASGIApp,
        context_of: Callable[[Scope], Any],
        *,
        tenants: bool,
        checked_inside: str | None = None,
    ) -> None:
        """Take the door's way.

        Args:
            app: the application.
            context_of: gives a request's `requestContext`.
            tenants: whether the authorizer names them, and a request of nobody is refused.
            checked_inside: path that what is no HTTP request is sent to, and from there here again.
        """
        self._app = app
        self._context_of = context_of
        self._tenants = tenants
        self._checked_inside = checked_inside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = self._context_of(scope)
        origin = _origin(context)
        known = context is INSIDE or origin.tenant is not None
        known |= context is None and scope["path"] == self._checked_inside
        if self._tenants and not known:
            await formed(scope["path"], no_tenant())(scope, receive, send)
            return
        scope[SCOPE] = origin  # no copy: what stands before this has to know the path that is found behind it
        await self._app(scope, receive, send)


def _origin(context: Any) -> Origin:
    if not isinstance(context, dict):
        return Origin()
    stage = context.get("stage")
    stage = stage if isinstance(stage, str) and stage != "$default" else None
    authorizer = context.get("authorizer")
    authorizer = authorizer if isinstance(authorizer, dict) else {}
    principal = _principal(authorizer.get("iam")) or _principal(context.get("identity"))
    # HTTP APIs have several kinds of authorizers, REST APIs have this one's words directly.
    said = authorizer["lambda"] if isinstance(authorizer.get("lambda"), dict) else authorizer
    tenant, most = said.get("tenant"), said.get("max_tokens")
    try:
        limit = None if most is None else int(most)
    except (TypeError, ValueError, OverflowError):
        limit = 0
    if not isinstance(tenant, str) or not tenant or (limit is not None and limit < 1):
        return Origin(stage=stage, principal=principal)
    return Origin(tenant, limit, stage, principal)


def _principal(said: Any) -> str | None:
    """Who signed a request, without the session: from `authorizer.iam` of a Function URL or a REST API's `identity`."""
    arn = said.get("userArn") if isinstance(said, dict) else None
    if not isinstance(arn, str) or not (match := _ARN.fullmatch(arn)):
        return None
    return f"arn:{match['partition']}:iam::{match['account']}:role/{match['role']}" if match["role"] else arn
