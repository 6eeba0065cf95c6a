"""The router's function as a process behind the web adapter: its start, its snapshot, and what it refuses."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import openai
import psutil
import pytest

from lambda_llm.router.budget import Limits, Window
from lambda_llm.router.ledger import Ledger
from lambda_llm.web.adapter import EVENTS_PATH, UNANSWERED
from scripts.local_aws.server import LocalAWS
from support.budgets import make_table
from support.collector import collecting
from support.event_streams import Answer, AnsweringServer, answering
from support.routing import BODY, WHOLE, configuration, role, signed_by
from support.servers import AFTER, BEFORE, LIMIT_SECONDS, ROOT, Server, serving, started

SERVE_ROUTER = ROOT / "functions/bin/serve-router"
TABLE = "llm-budgets-of-a-function"
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def backend() -> Iterator[AnsweringServer]:
    """What it answers is a chat completion and a response at once."""
    (chat,) = WHOLE.pieces
    assert isinstance(chat, bytes)
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
    }
    both = {**json.loads(chat), "output": [message], "status": "completed"}
    with answering(Answer([json.dumps(both).encode()], headers=WHOLE.headers)) as server:
        yield server


@pytest.fixture(scope="module")
def environment(local_aws: LocalAWS, backend: AnsweringServer) -> dict[str, str]:
    make_table(local_aws, TABLE)
    local_aws.make_bucket("router-configurations")
    configured = configuration(backend.url, month={"dollars": 1})
    with closing(local_aws.client("s3")) as s3:
        s3.put_object(Bucket="router-configurations", Key="router.json", Body=json.dumps(configured).encode())
    local_aws.make_bucket("router-results")
    with closing(local_aws.client("sqs")) as sqs:
        queue: str = sqs.create_queue(QueueName="router-requests")["QueueUrl"]
    return {
        **local_aws.environment,
        "LAMBDA_LLM_ROUTER_RESULTS": "s3://router-results/background/",
        "LAMBDA_LLM_ROUTER_QUEUE": queue,
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


def worked(environment: dict[str, str], local_aws: LocalAWS) -> list[dict[str, Any]]:
    """Have a worker answer what waits in the queue, in a process of its own as Lambda starts it; its lines."""
    queue = environment["LAMBDA_LLM_ROUTER_QUEUE"]
    with closing(local_aws.client("sqs")) as sqs:
        (message,) = sqs.receive_message(
            QueueUrl=queue, MessageSystemAttributeNames=["ApproximateReceiveCount"], WaitTimeSeconds=5
        )["Messages"]
        record = {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
        }
        code = (
            "import json, sys; from types import SimpleNamespace; from lambda_llm.router.worker import handle; "
            "context = SimpleNamespace(get_remaining_time_in_millis=lambda: 300_000, aws_request_id='lambda-s'); "
            "print(json.dumps(handle(json.load(sys.stdin), context)))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps({"Records": [record]}),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        *lines, answer = done.stdout.splitlines()
        assert json.loads(answer) == {"batchItemFailures": []}
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return [json.loads(line) for line in lines]


def test_a_response_in_the_background_is_answered_once_and_read_by_its_tenant(
    server: Server, environment: dict[str, str], local_aws: LocalAWS, backend: AnsweringServer
) -> None:
    asked = len(backend.asked)
    with (
        httpx2.Client(headers=signed_by("alice"), timeout=LIMIT_SECONDS) as http,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", http_client=http, max_retries=0) as client,
    ):
        key = {"Idempotency-Key": "the first"}
        sent = client.responses.create(model="chat", input="Hello", background=True, extra_headers=key)
        assert sent.status == "queued"
        again = client.responses.create(model="chat", input="Hello", background=True, extra_headers=key)
        assert again.id == sent.id
        with pytest.raises(openai.ConflictError, match="another request"):
            client.responses.create(model="chat", input="Bye", background=True, extra_headers=key)
        init, line = worked(environment, local_aws)
        found = client.responses.retrieve(sent.id)
        assert (found.status, found.output_text) == ("completed", "Hello")
        assert client.responses.cancel(sent.id).status == "completed"
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve("resp_" + 48 * "0")
        with pytest.raises(openai.BadRequestError, match="stream can't be used together with background"):
            client.responses.create(model="chat", input="Hello", background=True, stream=True)
    assert len(backend.asked) == asked + 1
    submitted = next(one for one in server.figures() if one.get("operation") == "/v1/responses")
    assert (init["event"], line["request_id"]) == ("init", submitted["request_id"])
    assert backend.asked[-1].headers["x-request-id"] == submitted["request_id"]
    assert [(one["status"], one["backend"], one["tenant"]) for one in (submitted, line)] == [
        (200, "none", "acme"),
        (200, "backend-0", "acme"),
    ]
    stranger = httpx2.get(f"{server.url}/v1/responses/{sent.id}", headers=signed_by("mallory"), timeout=LIMIT_SECONDS)
    assert stranger.status_code == 404


def test_a_request_is_one_trace_from_its_caller_to_the_backend(
    environment: dict[str, str], local_aws: LocalAWS, backend: AnsweringServer, tmp_path: Path
) -> None:
    """The spans are with the collector when the answer has ended, as the process may be frozen then."""
    trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    given = {**signed_by("alice"), "traceparent": f"00-{trace}-{caller}-01", "x-request-id": "the-caller-s"}
    with (
        collecting() as collector,
        serving(tmp_path, {**environment, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}, SERVE_ROUTER) as running,
    ):
        own = ask(running, headers=given).headers["x-request-id"]
        spans = {span.name: span for span in collector.spans if span.trace_id.hex() == trace}
        lines = running.figures()
    assert spans.keys() == {"POST", "route", "choose", "chat chat"}
    parents = {name: span.parent_span_id for name, span in spans.items()}
    route = spans["route"].span_id
    expected = {"POST": bytes.fromhex(caller), "route": spans["POST"].span_id, "choose": route, "chat chat": route}
    assert parents == expected
    asked = backend.asked[-1].headers
    assert asked["traceparent"] == f"00-{trace}-{spans['chat chat'].span_id.hex()}-01"
    assert asked["x-request-id"] == own != "the-caller-s"
    assert [line["event"] for line in lines] == ["init", "request"]
    request = lines[1]
    with closing(local_aws.client("dynamodb")) as dynamodb:
        spent = Ledger(TABLE, dynamodb).left("acme", Limits(), time.time())[Window.MONTH].spent
    assert (request["budget_window"], request["BudgetUsed"]) == ("month", pytest.approx(spent.micro_dollars / 1e4))
    assert 0 < request["Dollars"] <= spent.micro_dollars / 1e6
    assert (request["request_id"], request["trace_id"]) == (own, trace)
    assert request["application"] == role("alice")


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
