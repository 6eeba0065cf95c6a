"""Files and batches through the router's function as a process: OpenAI's client, a real bucket and machine."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import psutil
import pytest

from lambda_llm.batch_store import layout
from scripts.local_aws.server import LocalAWS
from support.batch_store import ENDS, LINES, Place, clients_of
from support.budgets import make_table
from support.routing import configuration, signed_by
from support.servers import AFTER, BEFORE, LIMIT_SECONDS, ROOT, Server, serving

SERVE_ROUTER = ROOT / "functions/bin/serve-router"
TABLE = "llm-budgets-of-batches"


@pytest.fixture(scope="module")
def place(local_aws: LocalAWS) -> Iterator[Place]:
    with clients_of(local_aws) as made:
        yield Place(*made, ENDS, "batches/of/the/router/")


@pytest.fixture(scope="module")
def server(local_aws: LocalAWS, place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("router")
    written = configuration("http://127.0.0.1:1", batch_dollars=5)
    written["models"]["vectors"] = {"backends": ["backend-0"]}
    (folder / "router.json").write_text(json.dumps(written))
    environment = {
        **local_aws.environment,
        "LAMBDA_LLM_ROUTER_CONFIGURATION": "router.json",
        "LAMBDA_LLM_ROUTER_TABLE": make_table(local_aws, TABLE),
        "LAMBDA_LLM_ROUTER_IDENTITY": "iam",
        "LAMBDA_LLM_ROUTER_BATCHES": place.uri,
        "LAMBDA_LLM_ROUTER_BATCH_MACHINE": place.machine,
        "TMPDIR": "/there/is/no/such/folder",
    }
    with serving(folder, environment, SERVE_ROUTER) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    """As OpenAI makes it, but for the header that the web adapter adds."""
    with openai.OpenAI(
        base_url=f"{server.url}/v1", api_key="unused", default_headers=signed_by("alice"), timeout=LIMIT_SECONDS
    ) as asking:
        yield asking


def connections(server: Server) -> list[Any]:
    found = psutil.Process(server.process.pid).net_connections("tcp")
    return [each for each in found if each.status == psutil.CONN_ESTABLISHED and each.laddr.port != server.port]


def test_a_batch_from_its_file_to_its_output(client: openai.OpenAI, place: Place) -> None:
    sent = client.files.create(file=("in.jsonl", LINES), purpose="batch")
    batch = client.batches.create(
        input_file_id=sent.id,
        endpoint="/v1/embeddings",
        completion_window="24h",
        metadata={"job": "nightly"},
        output_expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert (batch.status, batch.metadata, batch.expires_at) == (
        "validating",
        {"job": "nightly"},
        batch.created_at + 24 * 3600,
    )
    place.until_ended(batch.id)
    record = place.batches().read("acme", batch.id)
    assert (record.record.rights.models, record.record.max_dollars) == (("chat",), 5.0)
    # What its functions do:
    output = place.files.create("acme", b'{"custom_id": "1"}\n', f"{batch.id}_output.jsonl", "batch_output", 3600)
    ended = record.record.with_batch(status="completed", output_file_id=output.id)
    assert place.batches().change(record, ended) is not None

    found = client.batches.retrieve(batch.id)
    assert (found.status, found.output_file_id) == ("completed", output.id)
    assert [each.id for each in client.batches.list()] == [batch.id]
    assert found.output_file_id is not None
    assert client.files.content(found.output_file_id).text == '{"custom_id": "1"}\n'
    assert client.files.content(sent.id).read() == LINES
    assert {(each.id, each.purpose) for each in client.files.list()} == {
        (sent.id, "batch"),
        (output.id, "batch_output"),
    }
    assert client.files.delete(sent.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.content(sent.id)


def test_a_batch_is_cancelled(client: openai.OpenAI, place: Place) -> None:
    sent = client.files.create(file=("in.jsonl", LINES * 20_000), purpose="batch")
    batch = client.batches.create(input_file_id=sent.id, endpoint="/v1/embeddings", completion_window="48h")  # type: ignore[arg-type]  # OpenAI has 24h alone
    assert client.batches.cancel(batch.id).status == "cancelling"
    assert layout.stop(batch.id) in place.keys("work/")
    assert client.batches.retrieve(batch.id).status == "cancelling"


def test_a_snapshot_has_no_connection_of_a_batch(server: Server, client: openai.OpenAI) -> None:
    before = len(client.files.list().data)
    assert connections(server)
    assert httpx2.post(f"{server.url}{BEFORE}", timeout=LIMIT_SECONDS).status_code == 204
    assert connections(server) == []
    assert httpx2.post(f"{server.url}{AFTER}", timeout=LIMIT_SECONDS).status_code == 204
    assert len(client.files.list().data) == before
    assert not [line for line in server.lines() if line["level"] == "ERROR"]
