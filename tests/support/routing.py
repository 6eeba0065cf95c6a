"""A router on loopback, asked as a Function URL's callers ask it: the web adapter's header says who they are.

with routing(configuration(server.url), Book()) as router:
    router.client("alice").post("/v1/chat/completions", json=…)
"""

import asyncio
import functools
import json
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from lambda_llm.router.app import create_app
from lambda_llm.router.batches import Store
from lambda_llm.router.identity import tenant_of
from lambda_llm.router.live import Live
from lambda_llm.router.service import Budgets
from lambda_llm.router.settings import Identity
from lambda_llm.router.source import FileSource, Reloading
from lambda_llm.web.correlation import Correlation
from lambda_llm.web.front_door import REQUEST_CONTEXT, FrontDoor, from_adapter
from lambda_llm.web.server import Server
from support.event_streams import JSON, SSE, Answer
from support.servers import until

GUARD_SECONDS = 60
MESSAGES: Any = [{"role": "user", "content": "Hello"}]
BODY: dict[str, Any] = {"model": "chat", "messages": MESSAGES}
EVERY = ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/v1/embeddings", "/v1/rerank"]


def backend(url: str, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "openai_http",
        "place": "account",
        "url": url,
        "model": "theirs",
        "auth": {"kind": "none"},
        "context": 8192,
        "features": ["tools", "json_schema"],
        "operations": EVERY,
        "price": {"input": 1, "output": 5},
        **changes,
    }


def configuration(*urls: str, **tenant: Any) -> dict[str, Any]:
    backends = {f"backend-{number}": backend(url) for number, url in enumerate(urls)}
    return {
        "version": 1,
        "backends": backends,
        "models": {"chat": {"backends": list(backends), "max_tokens": 100}},
        "tenants": {"acme": {"models": ["chat"], "principals": [role("alice")], **tenant}},
    }


def sse(*events: Any, done: bool = True) -> list[bytes]:
    pieces = [f"data: {json.dumps(each)}\n\n".encode() for each in events]
    return [*pieces, b"data: [DONE]\n\n"] if done else pieces


def delta(text: str) -> dict[str, Any]:
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "theirs",
            "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}  # fmt: skip


USAGE = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "theirs", "choices": [],
         "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}}  # fmt: skip
STREAM = Answer(sse(delta("Hel"), delta("lo"), USAGE), headers=SSE)
WHOLE = Answer(
    [
        json.dumps(
            {
                "id": "c",
                "object": "chat.completion",
                "created": 1,
                "model": "theirs",
                "choices": [
                    {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
                ],
                "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
            }
        ).encode()
    ],
    headers=JSON,
)
THROTTLED = Answer([b'{"error": {"message": "m", "code": "rate_limit_exceeded"}}'], 429, {**JSON, "retry-after": "7"})


def signed_by(name: str) -> dict[str, str]:
    """What the web adapter adds to a request that a role has signed."""
    arn = f"arn:aws:sts::123456789012:assumed-role/{name}/session"
    return {REQUEST_CONTEXT: json.dumps({"authorizer": {"iam": {"userArn": arn}}})}


def role(name: str) -> str:
    return f"arn:aws:iam::123456789012:role/{name}"


@dataclass
class Routing:
    """`url` of the router, `path` of its configuration, its event loop and its server."""

    url: str
    path: Path
    live: Live
    loop: asyncio.AbstractEventLoop
    server: Server

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do something where the router runs."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(GUARD_SECONDS)

    def client(self, name: str = "alice") -> httpx2.Client:
        return httpx2.Client(base_url=self.url, headers=signed_by(name), timeout=GUARD_SECONDS)


@contextmanager
def routing(
    folder: Path,
    configuration: Mapping[str, Any],
    budgets: Budgets,
    identity: Identity = Identity.IAM,
    store: Store | None = None,
    *,
    lines: bool = False,
    correlated: bool = False,
) -> Iterator[Routing]:
    path = folder / "router.json"
    path.write_text(json.dumps(configuration))
    live = Live(Reloading(FileSource(path)), budgets)
    app = create_app(live, functools.partial(tenant_of, identity), store=store, lines=lines)
    app.add_middleware(FrontDoor, context_of=from_adapter, tenants=identity is Identity.AUTHORIZER)
    server = Server(
        Correlation(app, takes_ids=False) if correlated else app, live.stop, host="127.0.0.1", port=0, log_config=None
    )

    loops: list[asyncio.AbstractEventLoop] = []

    async def run() -> None:
        loops.append(asyncio.get_running_loop())
        await server.serve()
        await live.close()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    try:
        until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Routing(f"http://127.0.0.1:{port}", path, live, loops[0], server)
    finally:
        server.should_exit = True
        thread.join()
