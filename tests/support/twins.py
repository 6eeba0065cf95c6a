"""One process that is restored twice: forked when it is ready for the snapshot, so that both begin with its memory.

Python's own hooks for forks would seed generators anew, which no restore does; they are gone around.
"""

import asyncio
import ctypes
import importlib
import os
import runpy
import signal
import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, TypeVar
from unittest import mock

import httpx2

from lambda_llm.inference import serve
from lambda_llm.web.server import Server

T = TypeVar("T")

_DEATH_SIGNAL = 1
_libc = ctypes.PyDLL(None)
"""Holds Python's lock while C runs: whoever wakes up in a twin owns it."""


def split(twins: Sequence[T]) -> T:
    """Go on as two processes; returns one of `twins` in each. The process that was called waits for both and ends."""
    children = []
    for twin in twins:
        child = _libc.fork()
        if child == 0:
            _libc.prctl(_DEATH_SIGNAL, signal.SIGKILL)
            return twin
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    sys.stderr.flush()
    os._exit(0)


def behind_the_web_adapter(ports: Sequence[int], before: str) -> None:
    """Run `lambda_llm.inference.serve` up to its snapshot, and then once on each port."""
    run = Server.run

    async def take_the_snapshot(server: Server) -> None:
        app: Any = server.config.app
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://server") as adapter:
            (await adapter.post(before)).raise_for_status()

    def run_twice(server: Server) -> None:
        asyncio.run(take_the_snapshot(server))
        server.config.port = split(ports)
        run(server)

    with mock.patch.object(Server, "run", run_twice):
        sys.exit(serve.main())


def under_the_runtime_client(apis: Sequence[str]) -> None:
    """Run Lambda's Python runtime client up to the handler's snapshot, and then once for each Runtime API."""
    # Its part in C learns the address of the Runtime API once, when it is imported: each twin imports it anew.
    stand_in: Any = SimpleNamespace(initialize_client=lambda _: None)
    sys.modules["runtime_client"] = stand_in
    client: Any = importlib.import_module("awslambdaric.lambda_runtime_client")

    def restored(self: Any) -> None:
        self.lambda_runtime_address = os.environ["AWS_LAMBDA_RUNTIME_API"] = split(apis)
        del sys.modules["runtime_client"]
        client.runtime_client = importlib.import_module("runtime_client")
        client.runtime_client.initialize_client("twin")

    client.LambdaRuntimeClient.restore_next = restored
    sys.argv = ["awslambdaric", "lambda_llm.inference.handler.handle"]
    runpy.run_module("awslambdaric", run_name="__main__")


DOORS: dict[str, Callable[..., None]] = {
    "adapter": lambda before, *ports: behind_the_web_adapter([int(port) for port in ports], before),
    "runtime": lambda *apis: under_the_runtime_client(apis),
}

if __name__ == "__main__":
    door, *arguments = sys.argv[1:]
    DOORS[door](*arguments)
