"""The servers that `scripts/bench/router.py` starts: a backend, and the approach of bedrock-access-gateway.

    python -m scripts.bench.router_servers backend PORT
    python -m scripts.bench.router_servers gateway PORT BACKEND

The backend streams OpenAI's events and Converse's alike, as many and as far apart as the request's `max_tokens` and
`seed` (milliseconds) say. The gateway does what aws-samples/bedrock-access-gateway does for a stream: boto3's
`converse_stream` in a thread, its events turned into OpenAI's.
"""

import asyncio
import json
import struct
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final
from zlib import crc32

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

PIECE: Final = " token"
USAGE: Final = {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}


def chunk(delta: dict[str, Any], **more: Any) -> bytes:
    """One event of a chat completion."""
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}
    return f"data: {json.dumps(body)}\n\n".encode()


def frame(name: str, value: dict[str, Any]) -> bytes:
    """One message of an event stream of AWS.

    Source: https://docs.aws.amazon.com/lexv2/latest/dg/event-stream-encoding.html
    """
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    head = b"".join(
        struct.pack("!B", len(key)) + key.encode() + struct.pack("!BH", 7, len(text)) + text.encode()
        for key, text in headers.items()
    )
    payload = json.dumps(value).encode()
    prelude = struct.pack("!II", 16 + len(head) + len(payload), len(head))
    message = prelude + struct.pack("!I", crc32(prelude)) + head + payload
    return message + struct.pack("!I", crc32(message))


async def _chat(request: Request) -> Response:
    body = await request.json()

    async def events() -> AsyncIterator[bytes]:
        for _ in range(body["max_tokens"]):
            yield chunk({"content": PIECE})
            await asyncio.sleep((body.get("seed") or 0) / 1000)
        yield chunk({}, choices=[], usage=USAGE)
        yield b"data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


async def _converse(request: Request) -> Response:
    body = await request.json()

    async def events() -> AsyncIterator[bytes]:
        yield frame("messageStart", {"role": "assistant"})
        for _ in range(body["inferenceConfig"]["maxTokens"]):
            yield frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": PIECE}})
            await asyncio.sleep(0)
        yield frame("contentBlockStop", {"contentBlockIndex": 0})
        yield frame("messageStop", {"stopReason": "end_turn"})
        usage = {"inputTokens": 10, "outputTokens": 10, "totalTokens": 20}
        yield frame("metadata", {"usage": usage, "metrics": {"latencyMs": 1}})

    return StreamingResponse(events(), media_type="application/vnd.amazon.eventstream")


def backend() -> Starlette:
    """The backend's application."""
    routes = [
        Route("/v1/chat/completions", _chat, methods=["POST"]),
        Route("/model/{model}/converse-stream", _converse, methods=["POST"]),
        Route("/health", lambda _: Response("ok")),
    ]
    return Starlette(routes=routes)


def gateway(url: str) -> Starlette:
    """The gateway's application, over Bedrock at an address."""
    import boto3  # noqa: PLC0415 - the backend does without

    bedrock: Any = boto3.client("bedrock-runtime", region_name="us-east-1", endpoint_url=url)

    async def chat(request: Request) -> Response:
        body = await request.json()

        def events() -> Iterator[bytes]:
            answer = bedrock.converse_stream(
                modelId="m",
                messages=[{"role": each["role"], "content": [{"text": each["content"]}]} for each in body["messages"]],
                inferenceConfig={"maxTokens": body["max_tokens"]},
            )
            for each in answer["stream"]:
                if "contentBlockDelta" in each:
                    yield chunk({"content": each["contentBlockDelta"]["delta"]["text"]})
            yield b"data: [DONE]\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    return Starlette(
        routes=[Route("/v1/chat/completions", chat, methods=["POST"]), Route("/health", lambda _: Response("ok"))]
    )


def main() -> None:
    """Serve until a signal."""
    kind, port, *urls = sys.argv[1:]
    app = backend() if kind == "backend" else gateway(*urls)
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="error", access_log=False)


if __name__ == "__main__":
    main()
