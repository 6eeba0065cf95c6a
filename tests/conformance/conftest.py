"""The doors through which clients come: the server's process, and the function behind Lambda's Python runtime."""

from collections.abc import Iterator

import pytest
from openai import OpenAI

from support.function import behind_a_url, started
from support.function_url import listening


@pytest.fixture(scope="session", params=["server", "function"])
def base_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of each door, as clients are told it."""
    if request.param == "server":
        yield f"{request.getfixturevalue('demo_server').url}/v1"
        return
    environment: dict[str, str] = request.getfixturevalue("pinned")
    log = tmp_path_factory.mktemp("function") / "log"
    with started(environment, log) as function, listening(behind_a_url(function)) as url:
        yield f"{url}/v1"


@pytest.fixture(scope="session")
def client(base_url: str) -> Iterator[OpenAI]:
    """OpenAI's own client, through each door."""
    with OpenAI(base_url=base_url, api_key="unused", max_retries=0) as client:
        yield client
