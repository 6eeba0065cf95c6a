"""The doors through which clients come: the server's process, and the function behind Lambda's Python runtime."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from openai import OpenAI

from support.function import FunctionURL, started
from support.servers import Server


@pytest.fixture(scope="session")
def base_url(demo_server: Server) -> str:
    """Of the streaming server, as clients are told it."""
    return f"{demo_server.url}/v1"


@pytest.fixture(scope="session", params=["server", "function"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    """OpenAI's own client, through each door."""
    if request.param == "server":
        with OpenAI(base_url=request.getfixturevalue("base_url"), api_key="unused", max_retries=0) as client:
            yield client
        return
    environment: dict[str, Any] = request.getfixturevalue("pinned")
    with (
        started(environment, tmp_path_factory.mktemp("function") / "log") as function,
        httpx2.Client(transport=FunctionURL(function)) as http_client,
        OpenAI(base_url="https://abc.on.aws/v1", api_key="unused", max_retries=0, http_client=http_client) as client,
    ):
        yield client
