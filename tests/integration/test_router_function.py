"""The router's function as a process behind the web adapter: its start, its snapshot, and what it refuses."""

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from lambda_llm.router.ledger import Ledger
from lambda_llm.web.adapter import EVENTS_PATH, UNANSWERED
from scripts.local_aws.server import LocalAWS
from support.budgets import make_table
from support.event_streams import AnsweringServer, answering
from support.routing import BODY, WHOLE, configuration, signed_by
from support.servers import AFTER, BEFORE, LIMIT_SECONDS, ROOT, Server, serving, started

SERVE_ROUTER = ROOT / "functions/bin/serve-router"
TABLE = "llm-budgets-of-a-function"
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def backend() -> Iterator[AnsweringServer]:
    with answering(WHOLE) as server:
        yield server


@pytest.fixture(scope="module")
def environment(local_aws: LocalAWS, backend: AnsweringServer) -> dict[str, str]:
    make_table(local_aws, TABLE)
    local_aws.make_bucket("router-configurations")
    with closing(local_aws.client("s3")) as s3:
        s3.put_object(
            Bucket="router-configurations", Key="router.json", Body=json.dumps(configuration(backend.url)).encode()
        )
    return {
        **local_aws.environment,
        "LAMBDA_LLM_ROUTER_CONFIGURATION": "s3://router-configurations/router.json",
        "LAMBDA_LLM_ROUTER_TABLE": TABLE,
        "LAMBDA_LLM_ROUTER_IDENTITY": "iam",
    }


@pytest.fixture(scope="module")
def server(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("router"), environment, SERVE_ROUTER) as running:
        yield running


def ask(server: Server, path: str = CHAT, headers: Mapping[str, str] | None = None) -> httpx2.Response:
    given = signed_by("alice") if headers is None else headers
    return httpx2.post(f"{server.url}{path}", json=BODY, headers=dict(given), timeout=LIMIT_SECONDS)


def connections(server: Server) -> list[Any]:
    """Of the process, to other servers."""
    found = psutil.Process(server.process.pid).net_connections("tcp")
    return [each for each in found if each.status == psutil.CONN_ESTABLISHED and each.laddr.port != server.port]


def test_a_snapshot_has_no_connection_and_a_restored_router_answers(
    server: Server, local_aws: LocalAWS, backend: AnsweringServer
) -> None:
    assert ask(server).json()["choices"][0]["message"]["content"] == "Hello"
    assert connections(server)
    assert httpx2.post(f"{server.url}{BEFORE}", timeout=LIMIT_SECONDS).status_code == 204
    assert connections(server) == []
    assert httpx2.post(f"{server.url}{AFTER}", timeout=LIMIT_SECONDS).status_code == 204
    asked = len(backend.asked)
    assert ask(server).status_code == 200
    assert len(backend.asked) == asked + 1
    with closing(local_aws.client("dynamodb")) as dynamodb:
        assert Ledger(TABLE, dynamodb).tenants() == ["acme"]
    assert not [line for line in server.lines() if line["level"] == "ERROR"]
    assert "Hello" not in server.log.read_text()


@pytest.mark.parametrize("path", [BEFORE, AFTER])
def test_nobody_outside_reaches_a_snapshot_hook(server: Server, path: str) -> None:
    assert ask(server, path).json()["error"]["code"] == "not_for_callers"


def test_an_invocation_that_is_no_http_request_fails(server: Server) -> None:
    """Its payload could name any tenant."""
    answer = ask(server, EVENTS_PATH, {})
    assert (answer.status_code, answer.json()["error"]["code"]) == (UNANSWERED, "unanswered_event")


def test_without_the_adapter_s_word_nobody_is_served(server: Server) -> None:
    assert ask(server, headers={}).status_code == 403


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"LAMBDA_LLM_ROUTER_TABLE": ""}, "LAMBDA_LLM_ROUTER_TABLE is not set"),
        ({"LAMBDA_LLM_ROUTER_CONFIGURATION": "s3://router-configurations/nothing"}, "can't be read"),
        ({"LAMBDA_LLM_ROUTER_CONFIGURATION": "pyproject.toml"}, "can't be read"),
    ],
)
def test_without_a_configuration_that_can_be_used_it_does_not_start(
    tmp_path: Path, environment: dict[str, str], changes: dict[str, str], sentence: str
) -> None:
    with started(tmp_path, {**environment, **changes}, SERVE_ROUTER) as server:
        assert server.process.wait(LIMIT_SECONDS) == 1
    (line,) = [line for line in server.lines() if line["level"] == "ERROR"]
    assert sentence in line["message"]
