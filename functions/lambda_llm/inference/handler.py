"""The buffered front door: the ASGI app behind Lambda's own Python runtime.

`lambda_llm.inference.handler.handle` answers events of Function URLs and API Gateway (HTTP and REST APIs), and plain
JSON invokes whose payload is the body of a chat request. Importing this module is the function's init: it returns when
the model is verified and warm, or raises, which fails the init.
"""

import asyncio
import json
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from mangum import Mangum
from mangum.types import LambdaConfig, LambdaContext, LambdaEvent
from mangum.types import Response as ASGIResponse
from snapshot_restore_py import register_after_restore, register_before_snapshot

from lambda_llm.inference.figures import Figures, RequestLines, always
from lambda_llm.inference.init import init
from lambda_llm.inference.plain_invoke import body_of, path_of, require_answerable
from lambda_llm.inference.settings import Settings
from lambda_llm.inference.snapshot.hooks import SnapshotHooks
from lambda_llm.limits import BUFFERED_PAYLOAD_BYTES
from lambda_llm.serving.app import create_app
from lambda_llm.telemetry import logs, spans
from lambda_llm.telemetry.lines import INFERENCE_INIT
from lambda_llm.telemetry.propagation import FLUSH_SECONDS
from lambda_llm.web.correlation import Correlation
from lambda_llm.web.errors import APIError
from lambda_llm.web.front_door import FrontDoor, from_event
from lambda_llm.web.origin import Tenancy


class PlainInvoke:
    """A plain JSON invoke: the payload is a request's body, and the result is the response's."""

    def __init__(self, event: LambdaEvent, context: LambdaContext, config: LambdaConfig) -> None:
        self._event = event
        self._context = context
        self._config = config

    @classmethod
    def infer(cls, event: LambdaEvent, context: LambdaContext, config: LambdaConfig) -> bool:  # noqa: ARG003
        """Whether the event is not HTTP: HTTP events have a `requestContext`."""
        return not isinstance(event, dict) or "requestContext" not in event

    @property
    def body(self) -> bytes:
        """The request's body."""
        return body_of(_environment.engine, self._event)

    @property
    def scope(self) -> dict[str, Any]:
        """The ASGI scope of the request."""
        path = path_of(_environment.engine, self._event)
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "https",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
            "server": ("lambda", 443),
            "client": ("lambda", 0),
            "aws.event": self._event,
            "aws.context": self._context,
        }

    def __call__(self, response: ASGIResponse) -> dict[str, Any]:
        """The response body, without status and headers; errors have OpenAI's format."""
        body: dict[str, Any] = json.loads(response["body"])
        return body


class Door(Mangum):
    """Answers every event that is a request, also one that is not as it should be."""

    def __call__(self, event: LambdaEvent, context: LambdaContext) -> dict[str, Any]:
        """See Mangum.

        Raises:
            UnansweredEventError: the event is one of a service.
        """
        require_answerable(event)
        try:
            request = self.infer(event, context)
            _ = request.scope, request.body
        except Exception:  # noqa: BLE001 - Mangum's readers trust the event, and fail in any way
            return _malformed()
        return super().__call__(event, context)


def _malformed() -> dict[str, Any]:
    """The answer to an HTTP event that can't be read."""
    error = APIError(
        HTTPStatus.BAD_REQUEST,
        "The event has a requestContext, but is no HTTP request as Function URLs and API Gateway send them: send one, "
        "or the JSON body alone.",
        code="malformed_event",
    )
    return {
        "statusCode": error.status,
        "headers": {"content-type": "application/json"},
        "body": error.body.model_dump_json(),
        "isBase64Encoded": False,
    }


logs.configure()
spans.configure(INFERENCE_INIT.service)
asyncio.set_event_loop(asyncio.new_event_loop())
_settings = Settings.load()
with spans.span("init"):
    _environment = init(_settings)
_app = create_app(
    _environment.engine,
    replace(_environment.serving, response_bytes=BUFFERED_PAYLOAD_BYTES),
    with_page=bool(_settings.page),
)
_lines = None if _settings.lines is False else Figures(_environment, _app)
_hooks = SnapshotHooks(_environment.engine.context, _environment.resources, _lines.restored if _lines else None)
register_before_snapshot(_hooks.before_snapshot)
register_after_restore(_hooks.after_restore)
if _lines is not None:
    _lines.init()
spans.flush(FLUSH_SECONDS)

_door = FrontDoor(_app, from_event, tenants=_settings.tenant is Tenancy.AUTHORIZER)
handle = Door(
    Correlation(_door if _lines is None else RequestLines(_door, _lines, always)),
    lifespan="off",
    custom_handlers=[PlainInvoke],
)
"""The function's handler: `handle(event, context)`."""
