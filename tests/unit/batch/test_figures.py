"""The lines of a batch and of its parts: the handler in a process of its own, before a real bucket and a server."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import pytest

from lambda_llm.aws.invoke import SEPARATOR
from lambda_llm.batch_store import figures, layout
from lambda_llm.batch_store.batches import Batches
from lambda_llm.telemetry.lines import BATCH, BATCH_PART
from scripts.local_aws.server import LocalAWS
from support.batches import MACHINE, World, configuration, function, line
from support.collector import collecting
from support.event_streams import Answer, answering, event
from support.written_lines import Written, checked, metrics

PROMPT = "what nobody may log"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
XRAY = f"Root=1-{TRACE[:8]}-{TRACE[8:]};Parent={PARENT};Sampled=0"
HANDLING = """
import json, sys
from lambda_llm.batch.handler import handle
class Context:
    aws_request_id = "lambda-s"
    def get_remaining_time_in_millis(self):
        return 900_000
for each in json.loads(sys.argv[1]):
    try:
        handle(each, Context())
    except Exception as error:
        print(type(error).__name__, file=sys.stderr)
"""
ANSWER = {"choices": [{"message": {"content": PROMPT}}], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}


def invoked(status: int = 200, body: Any = ANSWER) -> Answer:
    """What an invocation returns."""
    prelude = json.dumps({"statusCode": status, "headers": {"content-type": "application/json"}}).encode()
    content = prelude + SEPARATOR + json.dumps(body).encode()
    return Answer([event("PayloadChunk", content), event("InvokeComplete", {})])


def created(world: World, url: str, ids: Sequence[str]) -> Any:
    world.settings = configuration(ours=function(url=url, parallel=1, concurrency=1))
    world.now = time.time()
    world.storage.put(layout.CONFIGURATION, world.settings.model_dump_json().encode())
    return world.created(b"".join(line(each, PROMPT) for each in ids))


def handled(world: World, aws: LocalAWS, batch: Any, *steps: dict[str, Any], **settings: str) -> list[dict[str, Any]]:
    """The lines of a process that handles events."""
    known = {name: value for name, value in aws.environment.items() if name.startswith("AWS_")}
    variables = {**known, "LAMBDA_LLM_BATCH_STORE": world.uri, "PATH": os.environ["PATH"], **settings}
    events = json.dumps([{"tenant": world.tenant, "batch": batch.id, **step} for step in steps])
    run = subprocess.run(
        [sys.executable, "-c", HANDLING, events], env=variables, capture_output=True, text=True, check=True, timeout=120
    )
    assert PROMPT not in run.stdout + run.stderr
    return checked(run.stdout.splitlines())


def indexed(world: World, aws: LocalAWS, batch: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The steps of a batch's parts, and the lines of what finds them."""
    lines = handled(world, aws, batch, {"do": "index"})
    parts = (world.storage.get(layout.parts(batch.id)) or b"").splitlines()
    return [{"do": "work", "part": json.loads(part)} for part in parts], lines


def test_a_batch_from_its_index_to_its_output(world: World, local_aws: LocalAWS) -> None:
    """One answer, one refusal; what was done is not told again where a step is tried again."""
    with answering(invoked(), invoked(400, {"error": {"code": "bad", "message": PROMPT}})) as server:
        batch = created(world, server.url, ["a", "b"])
        works, begun = indexed(world, local_aws, batch)
        ended = handled(world, local_aws, batch, *works, works[1], {"do": "finalize"}, {"do": "finalize"})
    parts = [each for each in ended if each["event"] == BATCH_PART.event]
    assert [(each["part"], each["Records"], each["RecordErrors"], each["status"]) for each in parts] == [
        (0, 1, 0, "done"),
        (1, 1, 1, "done"),
        (1, 0, 0, "done"),
    ]
    first = parts[0]
    assert (first["InputTokens"], first["OutputTokens"]) == (3, 2)
    assert (first["batch"], first["part"], first["tenant"]) == (batch.id, 0, "acme")
    assert (first["model"], first["backend"], first["backend_kind"]) == ("chat", "ours", "lambda")
    assert first["Dollars"] > 0
    assert parts[2]["Dollars"] == 0
    assert metrics(first) == {"Records", "RecordErrors", "InputTokens", "OutputTokens", "Dollars"}
    stands = [each for each in (*begun, *ended) if each["event"] == BATCH.event]
    names = ("status", "records", "completed", "failed", "model", "backend_kind")
    assert [tuple(each.get(name) for name in names) for each in stands] == [
        ("in_progress", 2, 0, 0, "chat", "lambda"),
        ("finalizing", 2, 0, 0, "chat", "lambda"),
        ("completed", 2, 1, 1, "chat", "lambda"),
    ]
    for each in (*parts, *stands):
        assert each["batch"] == each["request_id"] == batch.id
        assert each["lambda_request_id"] == "lambda-s"


def test_a_batch_s_requests_are_within_the_trace_of_the_worker(world: World, local_aws: LocalAWS) -> None:
    """A span for each step; Lambda's trace, and the batch's id in each record's."""
    with collecting() as collector, answering(invoked()) as server:
        batch = created(world, server.url, ["a"])
        (work,), _ = indexed(world, local_aws, batch)
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "_X_AMZN_TRACE_ID": XRAY}
        handled(world, local_aws, batch, work, {"do": "finalize"}, **settings)
        assert {span.name for span in collector.spans} == {"work", "finalize"}
        span = collector.named("work")
    (asked,) = server.asked
    sent = asked.json["headers"]
    assert sent["traceparent"] == f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01" == asked.headers["traceparent"]
    assert sent["x-request-id"] == f"{batch.id}-0"
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)


def test_a_part_that_nobody_may_answer(world: World, local_aws: LocalAWS) -> None:
    """The function is not there: the batch can't go on, and says so each time that it is tried."""
    with answering(Answer([b"{}"], 404)) as server:
        batch = created(world, server.url, ["a"])
        (work,), _ = indexed(world, local_aws, batch)
        lines = handled(world, local_aws, batch, work, work, {"do": "broken"}, {"do": "broken"})
    parts = [each for each in lines if each["event"] == BATCH_PART.event]
    assert [(each["status"], each["error"], each["Records"]) for each in parts] == 2 * [
        ("failed", parts[0]["error"], 0)
    ]
    (failed,) = [each for each in lines if each["event"] == BATCH.event]
    assert (failed["status"], failed["error"]) == ("failed", "broken")


def test_who_creates_and_cancels_a_batch_says_so_once(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    written = Written(capsys)
    batches = Batches(world.uri, world.s3, world.states, MACHINE, world.clock, changed=figures.write)
    batch = world.created(line("a", PROMPT))
    assert written.of(BATCH) == []
    for _ in range(2):
        batches.cancel(world.tenant, batch.id)
    (found,) = written.of(BATCH)
    assert (found["status"], found["batch"], found["tenant"]) == ("cancelling", batch.id, "acme")
