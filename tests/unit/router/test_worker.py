"""The worker of background responses, between a real queue, bucket and table: whatever happens, one answer, one charge.

A death is tried at every call of AWS, before it and after it. Then the message is delivered to another process.
"""

import json
import logging
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lambda_llm.router import worker as module
from lambda_llm.router.budget import Amount, Limits
from lambda_llm.router.errors import NotConfiguredError, NotFoundError
from lambda_llm.router.results import ENDED
from lambda_llm.router.settings import Identity, Settings
from lambda_llm.router.worker import RECEIVES_MAX, WAIT_SECONDS, Function, handle
from lambda_llm.telemetry.context import correlated
from lambda_llm.telemetry.lines import ROUTER_REQUEST
from scripts.local_aws.server import LocalAWS
from support.background import PRICE, SECONDS, Fate, KilledError, Stage, answered, clients_of, refused
from support.budgets import make_table
from support.event_streams import SILENCE, Answer, answering
from support.written_lines import Written

STEPS = ["get_object", "put_object", "transact_write_items", "transact_write_items", "put_object"]
"""What a worker asks AWS for: read, claim, reserve, settle, write."""

NOTHING = Amount()


@pytest.fixture(scope="module")
def made(local_aws: LocalAWS) -> Iterator[dict[str, Any]]:
    with clients_of(local_aws) as made:
        yield made


@pytest.fixture(scope="module")
def table(local_aws: LocalAWS) -> str:
    return make_table(local_aws, "llm-budgets-worker")


@pytest.fixture
def stage(
    local_aws: LocalAWS, made: dict[str, Any], table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Stage:
    for name, value in local_aws.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    return Stage(made, table, tmp_path, monkeypatch)


def text(response: dict[str, Any]) -> str:
    return str(response["output"][0]["content"][0]["text"])


def test_a_response_is_answered_and_charged(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """The backend gets what was asked for, under the id that the books have, and without what is the router's."""
    caplog.set_level(logging.DEBUG, "lambda_llm")
    with answering(answered()) as server:
        stage.configure(server.url)
        sent = stage.submit(metadata={"a": "b"})
        fate = Fate()
        records = stage.received()
        assert "secret" not in records[0]["body"]
        assert stage.deliver(records, function=stage.function(fate)) == []
    assert fate.names == STEPS
    [asked] = server.asked
    assert asked.json == {
        "model": "theirs", "input": "a secret question", "max_output_tokens": 50, "store": False,
        "metadata": {"a": "b"},
    }  # fmt: skip
    assert asked.headers["x-request-id"].startswith(sent["id"] + "-")
    response = stage.get(sent["id"])
    assert (response["status"], text(response), response["usage"]["output_tokens"]) == ("completed", "Hi", 5)
    ours = ("id", "created_at", "expires_at", "model", "background", "store", "metadata")
    assert {name: response[name] for name in ours} == {name: sent[name] for name in ours}
    assert response["completed_at"] == stage.now
    assert stage.spent() == (PRICE, NOTHING)
    assert stage.received() == []
    [key] = stage.objects()
    assert b"secret" not in stage.s3.get_object(Bucket=stage.bucket, Key=key)["Body"].read(), "it has ended"
    assert "secret" not in caplog.text


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("step", range(len(STEPS)))
def test_dead_at_any_step_there_is_one_answer_and_one_charge(stage: Stage, step: int, *, done: bool) -> None:
    with answering(answered("first"), answered("second")) as server:
        stage.configure(server.url)
        sent = stage.submit()
        records = stage.received()
        with pytest.raises(KilledError):
            stage.deliver(records, function=stage.function(Fate(step, done=done)))
        claimed = (step, done) >= (1, True)
        ended = (step, done) == (len(STEPS) - 1, True)
        waits = stage.deliver(records, 2)
        assert bool(waits) == (claimed and not ended), "while the dead one may be alive, nobody else answers"
        stage.until_done(waits, 3)
    response = stage.get(sent["id"])
    reruns = step >= 3 and not ended
    assert (response["status"], text(response)) == ("completed", "second" if reruns else "first")
    assert len(server.asked) == (2 if reruns else 1)
    assert stage.spent() == (PRICE, NOTHING)
    assert stage.received() == []


@pytest.mark.parametrize("step", range(len(STEPS)))
def test_cancelled_at_any_step_it_stays_so(stage: Stage, step: int) -> None:
    """What the backend has done is charged, and what it has not even begun is not."""
    with answering(answered()) as server:
        stage.configure(server.url)
        sent = stage.submit()
        told: list[dict[str, Any]] = []
        fate = Fate(meanwhile={step: lambda: told.append(stage.cancel(sent["id"]))})
        again = stage.deliver(stage.received(), function=stage.function(fate))
        stage.until_done(again, 2)
    assert [each["status"] for each in told] == ["cancelled"]
    assert stage.get(sent["id"]) == told[0] == stage.cancel(sent["id"])
    begun = step >= 2
    assert len(server.asked) == begun
    assert stage.spent() == (PRICE if begun else NOTHING, NOTHING)


@pytest.mark.parametrize("step", range(len(STEPS)))
def test_erased_at_any_step_nothing_comes_back(stage: Stage, step: int) -> None:
    with answering(answered()) as server:
        stage.configure(server.url)
        sent = stage.submit()
        again = stage.deliver(stage.received(), function=stage.function(Fate(meanwhile={step: stage.erase})))
        stage.until_done(again, 2)
    assert stage.objects() == []
    with pytest.raises(NotFoundError):
        stage.get(sent["id"])
    assert stage.received() == []


@pytest.mark.parametrize("how", ["cancelled", "erased"])
def test_a_response_that_is_not_wanted_any_more_ends_the_backends_work(stage: Stage, how: str) -> None:
    with answering(Answer([SILENCE])) as server, ThreadPoolExecutor(1) as pool:
        stage.configure(server.url)
        sent = stage.submit()
        working = pool.submit(stage.deliver, stage.received(), function=stage.function(poll_seconds=0.02))
        while not server.asked:
            assert not working.done()
        assert stage.get(sent["id"])["status"] == "in_progress"
        if how == "cancelled":
            assert stage.cancel(sent["id"])["status"] == "cancelled"
        else:
            stage.erase()
        assert working.result(60) == []
        assert server.left.wait(60)
    assert stage.spent() == (NOTHING, NOTHING), "no answer has begun"
    assert len(stage.objects()) == (how == "cancelled")


def test_of_two_workers_at_once_one_answers(stage: Stage) -> None:
    with answering(answered()) as server, ThreadPoolExecutor(4) as pool:
        stage.configure(server.url)
        for _ in range(5):
            stage.submit()
        records = stage.received()
        functions = [stage.function() for _ in range(4)]
        together = threading.Barrier(len(functions))

        def deliver(function: Function) -> None:
            together.wait(60)
            function.handle({"Records": records}, SECONDS)

        list(pool.map(deliver, functions))
    assert len(server.asked) == len({each.headers["x-request-id"] for each in server.asked}) == 5
    assert stage.spent() == (Amount(5 * PRICE.tokens, 5 * PRICE.micro_dollars), NOTHING)
    assert [stage.get(key.rpartition("/")[2].removesuffix(".json"))["status"] for key in stage.objects()] == 5 * [
        "completed"
    ]


def test_a_worker_that_others_take_for_dead_changes_nothing(stage: Stage) -> None:
    with answering(Answer([SILENCE]), answered("second")) as server, ThreadPoolExecutor(1) as pool:
        stage.configure(server.url)
        sent = stage.submit()
        records = stage.received()
        late = pool.submit(stage.function(poll_seconds=0.02).handle, {"Records": records}, SECONDS)
        while not server.asked:
            assert not late.done()
        stage.now += SECONDS + 1
        assert stage.deliver(records, 2) == []
        late.result(60)
        assert len(server.asked) == 2
    assert text(stage.get(sent["id"])) == "second"
    assert stage.spent() == (PRICE, NOTHING)


@pytest.mark.parametrize("seed", range(25))
def test_whatever_happens_there_is_one_end_and_one_charge(stage: Stage, seed: int) -> None:
    """Deaths, refusals, second deliveries and a cancellation, in an order of chance."""
    chance = random.Random(seed)  # noqa: S311 - for a test
    answers = [chance.choice([answered("Hi"), refused(503)]) for _ in range(RECEIVES_MAX)]
    with answering(*answers, answered("Hi")) as server:
        stage.configure(server.url)
        sent = stage.submit()
        records = [{**each, "copy": copy} for each in stage.received() for copy in range(chance.randint(1, 2))]
        for receives in range(1, RECEIVES_MAX + 2):
            fate = Fate(chance.choice([None, *range(len(STEPS))]), done=chance.random() < 0.5)
            if chance.random() < 0.1:
                fate.meanwhile = {chance.randrange(len(STEPS)): lambda: stage.cancel(sent["id"])}
            with suppress(KilledError):
                records = each_of(stage.function(fate), records, receives)
            stage.now += chance.choice([0, SECONDS + 1])
            seen = stage.get(sent["id"])
            if seen["status"] in ENDED:
                break
        stage.now += SECONDS + 1
        each_of(stage.function(), records, RECEIVES_MAX + 1)
    ended = stage.get(sent["id"])
    assert ended["status"] in ENDED
    if seen["status"] in ENDED:
        assert ended == seen
    assert len({asked.headers["x-request-id"] for asked in server.asked}) <= 1
    spent, _ = stage.spent()
    assert spent == PRICE or (spent == NOTHING and ended["status"] != "completed")


def each_of(function: Function, records: list[dict[str, Any]], receives: int) -> list[dict[str, Any]]:
    """Have a function handle records together; returns those that come again."""
    for record in records:
        record["attributes"] = {"ApproximateReceiveCount": str(receives)}
    told = function.handle({"Records": records}, SECONDS)["batchItemFailures"]
    again = {each["itemIdentifier"] for each in told}
    return [record for record in records if record["messageId"] in again]


def test_backends_without_room_are_asked_again(stage: Stage) -> None:
    """After the time that they say, or after longer and longer, and without a claim meanwhile."""
    with answering(refused(429, **{"retry-after": "600"}), refused(503), answered()) as server:
        stage.configure(server.url)
        sent = stage.submit()
        waits: list[int] = []
        records = stage.received()
        for receives in (1, 2, 3):
            fate = Fate()
            records = stage.deliver(records, receives, stage.function(fate))
            waits += [given["VisibilityTimeout"] for given in fate.of("change_message_visibility")]
            assert stage.get(sent["id"])["status"] == ("completed" if receives == 3 else "queued")
        assert records == []
    assert waits == [600, 2 * WAIT_SECONDS]
    assert len(server.asked) == 3
    assert stage.spent() == (PRICE, NOTHING)


def test_a_message_that_waits_is_left_in_the_queue(stage: Stage) -> None:
    with answering(refused(503)) as server:
        stage.configure(server.url)
        stage.submit()
        assert len(stage.deliver(stage.received())) == 1
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    counted = stage.sqs.get_queue_attributes(QueueUrl=stage.queue, AttributeNames=names)["Attributes"]
    assert [counted[each] for each in names] == ["0", "1"]


@pytest.mark.parametrize(
    ("answer", "attempts", "code", "says"),
    [
        (refused(429), RECEIVES_MAX, "rate_limit_exceeded", "refused the request with status 429"),
        (refused(500), RECEIVES_MAX, "server_error", "refused the request with status 500"),
        (refused(400), 1, "invalid_prompt", "refused the request with status 400"),
        (refused(403), 1, "server_error", "refused the request with status 403"),
        (answered(output=None), 1, "server_error", "is no response: it has no output"),
        (answered(error={"code": "x"}), 1, "server_error", "is an error, in spite of its status"),
    ],
)
def test_what_does_not_work_fails_with_a_sentence(
    stage: Stage, answer: Answer, attempts: int, code: str, says: str
) -> None:
    with answering(answer) as server:
        stage.configure(server.url)
        sent = stage.submit()
        assert stage.until_done(stage.received()) == attempts
        assert len(server.asked) == attempts
    response = stage.get(sent["id"])
    assert (response["status"], response["error"]["code"], response["output"]) == ("failed", code, [])
    assert says in response["error"]["message"]
    assert stage.spent()[1] == NOTHING


def test_a_response_that_kills_its_workers_fails(stage: Stage) -> None:
    with answering(answered()) as server:
        stage.configure(server.url)
        sent = stage.submit()
        records = stage.received()
        for receives in range(1, RECEIVES_MAX + 1):
            stage.now += SECONDS + 1
            with pytest.raises(KilledError):
                stage.deliver(records, receives, stage.function(Fate(2)))
        stage.now += SECONDS + 1
        assert stage.deliver(records, RECEIVES_MAX + 1) == []
    response = stage.get(sent["id"])
    assert (response["status"], server.asked) == ("failed", [])
    assert response["error"]["message"].startswith("The request was given up after 5 attempts")


def test_what_is_queued_for_hours_fails_and_what_has_expired_is_not_answered(stage: Stage) -> None:
    with answering(answered()) as server:
        stage.configure(server.url)
        late, gone = stage.submit(), stage.submit()
        first, second = stage.received()
        first, second = (first, second) if json.loads(first["body"])["id"] == late["id"] else (second, first)
        stage.now += 6 * 3600
        assert stage.deliver([first]) == []
        assert stage.get(late["id"])["error"]["message"] == "Nobody has answered the request in time: send it again."
        stage.now += 18 * 3600
        assert stage.deliver([second]) == []
        for each in (late, gone):
            with pytest.raises(NotFoundError):
                stage.get(each["id"])
    assert server.asked == []


@pytest.mark.parametrize(("window", "waits"), [("minute", True), ("day", False)])
def test_a_budget_that_is_used_up_meanwhile(stage: Stage, window: str, *, waits: bool) -> None:
    """That of a minute begins anew soon; that of a day does not."""
    stage.now += 10 * 3600  # hours before the end of the day
    with answering(answered()) as server:
        stage.configure(server.url, **{window: {"tokens": 100}})
        sent = stage.submit()
        stage.ledger.reserve(stage.tenant, Amount(90), Limits(), "another", stage.now)
        records = stage.deliver(stage.received())
        assert server.asked == []
        assert bool(records) == waits
        if waits:
            assert stage.get(sent["id"])["status"] == "queued"
            stage.until_done(records, 2)
            assert stage.get(sent["id"])["status"] == "completed"
        else:
            assert stage.get(sent["id"])["error"]["code"] == "rate_limit_exceeded"


def test_a_tenant_that_has_lost_its_rights_gets_no_answer(stage: Stage) -> None:
    with answering(answered()) as server:
        stage.configure(server.url)
        sent = stage.submit()
        stage.configure(server.url, models=[])
        assert stage.deliver(stage.received()) == []
        assert server.asked == []
    assert stage.get(sent["id"])["error"]["message"].startswith("There is no model 'chat' for this tenant")


def test_with_little_time_left_it_is_another_invocations(stage: Stage) -> None:
    with answering(answered()) as server:
        stage.configure(server.url)
        stage.submit()
        records = stage.received()
        told = stage.function().handle({"Records": records}, 20)
        assert told == {"batchItemFailures": [{"itemIdentifier": records[0]["messageId"]}]}
        assert server.asked == []
        assert stage.deliver(records) == []


@pytest.mark.parametrize("body", ["no JSON", "[]", '{"tenant": "a"}', '{"tenant": 1, "id": "x"}'])
def test_what_is_no_message_of_the_router_comes_again_and_harms_no_other(stage: Stage, body: str) -> None:
    with answering(answered()) as server:
        stage.configure(server.url)
        sent = stage.submit()
        stage.sqs.send_message(QueueUrl=stage.queue, MessageBody=body)
        [left] = stage.deliver(stage.received())
    assert left["body"] == body
    assert stage.get(sent["id"])["status"] == "completed"


def test_an_asynchronous_endpoint_answers_in_the_background(stage: Stage) -> None:
    """It has chat completions alone, and its answer in S3."""
    message = {"role": "assistant", "content": "Hi"}
    usage = {"prompt_tokens": 12, "completion_tokens": 5}
    answer = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}
    stage.s3.put_object(Bucket=stage.bucket, Key="out/1", Body=json.dumps(answer).encode())
    told = Answer([b"{}"], 202, {"x-amzn-sagemaker-outputlocation": f"s3://{stage.bucket}/out/1"})
    with answering(told) as server:
        stage.configure(server.url)
        written = json.loads(stage.configuration.read_text())
        own = {
            name: written["backends"]["server"][name]
            for name in ("place", "url", "model", "context", "operations", "price")
        }
        written["backends"]["server"] = own | {"kind": "sagemaker_async", "region": "us-east-1", "endpoint": "gpu"}
        stage.configuration.write_text(json.dumps(written))
        sent = stage.submit()
        assert stage.deliver(stage.received()) == []
    assert server.asked[0].json["messages"] == [{"role": "user", "content": "a secret question"}]
    response = stage.get(sent["id"])
    assert (response["status"], text(response), response["id"]) == ("completed", "Hi", sent["id"])
    assert stage.spent() == (PRICE, NOTHING)


def test_the_handler_of_lambda(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It takes its settings from the environment, once, and goes on with the request that was sent before."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    monkeypatch.setattr(module, "_function", lambda: made)
    with answering(answered()) as server:
        stage.configure(server.url)
        made = stage.function()
        with correlated(request_id="one", trace_id=trace):
            sent = stage.submit()
        context = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000, aws_request_id="lambda-s")
        assert handle({"Records": stage.received()}, context) == {"batchItemFailures": []}
        assert stage.get(sent["id"])["status"] == "completed"
        (asked,) = server.asked
        assert asked.headers["x-request-id"] == "one"
        assert asked.headers["traceparent"].split("-")[1] == trace
    line = Written(capsys).one(ROUTER_REQUEST)
    assert (line["request_id"], line["trace_id"], line["lambda_request_id"]) == ("one", trace, "lambda-s")
    assert (line["operation"], line["tenant"], line["status"]) == ("/v1/responses", stage.tenant, 200)
    assert (line["Errors"], line["InputTokens"], line["OutputTokens"]) == (0, 12, 5)


def test_an_attempt_that_has_to_wait_has_a_line_too(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(refused(429), answered()) as server:
        stage.configure(server.url)
        stage.submit()
        records = stage.received()
        for status in (429, 200):
            stage.function().handle({"Records": records}, SECONDS)
            lines = Written(capsys).of(ROUTER_REQUEST)
            assert [(line["status"], line["backend"]) for line in lines] == [(status, "server")]


def test_without_a_place_for_results_it_says_so() -> None:
    with pytest.raises(NotConfiguredError, match="set LAMBDA_LLM_ROUTER_RESULTS and LAMBDA_LLM_ROUTER_QUEUE"):
        Function(Settings("router.yaml", "table", Identity.IAM))


def test_importing_it_loads_no_sdk() -> None:
    code = "import sys, lambda_llm.router.worker; print({'boto3', 'botocore'} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"
