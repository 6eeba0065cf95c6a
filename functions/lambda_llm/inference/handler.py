"""The buffered front door: the ASGI app behind Lambda's own Python runtime.

`lambda_llm.inference.handler.handle` answers Function URL and API Gateway (v2) events, and plain JSON invokes
whose payload is the body of a chat request. Importing this module is the function's init: it returns when the
model is verified and warm, or raises, which fails the init.
"""

import asyncio
import json
from dataclasses import replace
from typing import Any, Final

from mangum import Mangum
from mangum.types import LambdaConfig, LambdaContext, LambdaEvent
from mangum.types import Response as ASGIResponse
from snapshot_restore_py import register_after_restore, register_before_snapshot

from lambda_llm.inference.init import init
from lambda_llm.inference.settings import Settings
from lambda_llm.inference.snapshot.hooks import SnapshotHooks
from lambda_llm.limits import BUFFERED_PAYLOAD_BYTES
from lambda_llm.serving.app import create_app
from lambda_llm.telemetry import logs

CHAT: Final = "/v1/chat/completions"


class PlainInvoke:
    """A plain JSON invoke: the payload is a request body, and the result is the response body.

    The request is `POST /v1/chat/completions`, or for an encoder `/v1/rerank` if the payload has documents, else
    `/v1/classify` or `/v1/embeddings`, depending on the model.
    """

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
        """The payload, with streaming off: a plain invoke returns one result."""
        event = self._event
        streams = isinstance(event, dict) and self._path == CHAT
        return json.dumps({**event, "stream": False} if streams else event).encode()

    @property
    def _path(self) -> str:
        if not _environment.engine.encodes:
            return CHAT
        if isinstance(self._event, dict) and "documents" in self._event:
            return "/v1/rerank"
        return "/v1/classify" if _environment.engine.encoder.labels else "/v1/embeddings"

    @property
    def scope(self) -> dict[str, Any]:
        """The ASGI scope of the request."""
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "https",
            "path": self._path,
            "raw_path": self._path.encode(),
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


logs.configure()
asyncio.set_event_loop(asyncio.new_event_loop())
_settings = Settings.load()
_environment = init(_settings)
_hooks = SnapshotHooks(_environment.engine.context, _environment.resources)
register_before_snapshot(_hooks.before_snapshot)
register_after_restore(_hooks.after_restore)

handle = Mangum(
    create_app(
        _environment.engine,
        replace(_environment.serving, response_bytes=BUFFERED_PAYLOAD_BYTES),
        with_page=bool(_settings.page),
    ),
    lifespan="off",
    custom_handlers=[PlainInvoke],
)
"""The function's handler: `handle(event, context)`."""
