"""The queue worker's zip under Lambda's Python runtime client, between real queues and a function, with IAM evaluated.

The function answers as an inference function does, or fails as its request says.
"""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lambda_llm.queue_worker import settings
from lambda_llm.queue_worker.errors import QueueSettingsError
from lambda_llm.queue_worker.worker import BESIDE_ANSWER_SECONDS
from scripts.local_aws.server import ACCOUNT, REGION, LocalAWS, local_aws
from support.lambda_process import Environment, role, running, unpacked, zipped

CODE = """
import json

def handle(event, context):
    assert (event["rawPath"], event["requestContext"]["http"]["method"]) == ("/v1/chat/completions", "POST")
    request = json.loads(event["body"])
    assert request["stream"] is False
    said = request["messages"][0]["content"]
    if said == "crash":
        raise ValueError(said)
    if said == "nothing":
        return said
    if said == "too long":
        error = {"error": {"code": "context_length_exceeded", "message": f"It is {said}."}}
        return {"statusCode": 400, "headers": {}, "body": json.dumps(error), "isBase64Encoded": False}
    content = "x" * 1_100_000 if said == "a novel" else f"You said {said}."
    body = json.dumps({"choices": [{"message": {"content": content}}]})
    return {"statusCode": 200, "headers": {}, "body": body, "isBase64Encoded": False}
"""
FUNCTION = "chat"
ANSWER_SECONDS = 10
TRUST = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}


def asked(said: str, **more: Any) -> str:
    """A message."""
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": said}], **more})


@dataclass
class Queues:
    """A queue for requests and one for answers, with the worker between them."""

    sqs: Any
    requests: str
    answers: str
    worker: Environment

    @property
    def fifo(self) -> bool:
        return self.requests.endswith(".fifo")

    def send(self, *bodies: str) -> list[dict[str, Any]]:
        """Send messages and receive them as Lambda does; return the records of its event."""
        for number, body in enumerate(bodies):
            order = {"MessageGroupId": "a", "MessageDeduplicationId": f"{time.time()}-{number}"} if self.fifo else {}
            self.sqs.send_message(QueueUrl=self.requests, MessageBody=body, **order)
        records = []
        for message in self.receive(VisibilityTimeout=3600):
            attributes = {"MessageGroupId": "a"} if self.fifo else {}
            records.append(
                {
                    "messageId": message["MessageId"],
                    "receiptHandle": message["ReceiptHandle"],
                    "body": message["Body"],
                    "attributes": attributes,
                    "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{self.requests.rpartition('/')[2]}",
                }
            )
        return sorted(records, key=lambda record: bodies.index(record["body"]))

    def receive(self, **more: int) -> list[dict[str, Any]]:
        """The messages that are waiting now; they are received again only by what makes them visible."""
        given = {"VisibilityTimeout": 3600, **more}
        found = []
        while messages := self.sqs.receive_message(QueueUrl=self.requests, MaxNumberOfMessages=10, **given).get(
            "Messages"
        ):
            found += messages
        return found

    def work(self, records: list[dict[str, Any]], **more: float) -> list[str]:
        """Have the records answered; return the bodies of those that failed, which wait to be received again."""
        answer = self.worker({"Records": records}, **more)
        assert list(answer) == ["batchItemFailures"]
        failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        for record in records:
            if record["messageId"] not in failed:  # as Lambda does it
                self.sqs.delete_message(QueueUrl=self.requests, ReceiptHandle=record["receiptHandle"])
        waiting = self.receive()
        assert {message["MessageId"] for message in waiting} == failed
        for message in waiting:
            self.sqs.delete_message(QueueUrl=self.requests, ReceiptHandle=message["ReceiptHandle"])
        assert len(answer["batchItemFailures"]) == len(failed)
        return [record["body"] for record in records if record["messageId"] in failed]

    def answered(self) -> dict[str, dict[str, Any]]:
        """The answers by the ids of their messages; each was sent once."""
        found: dict[str, dict[str, Any]] = {}
        while messages := self.sqs.receive_message(QueueUrl=self.answers, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                body = json.loads(message["Body"])
                assert body["id"] not in found
                found[body["id"]] = body
                self.sqs.delete_message(QueueUrl=self.answers, ReceiptHandle=message["ReceiptHandle"])
        return found


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    with local_aws(tmp_path_factory.mktemp("aws"), strict=True) as aws:
        yield aws


@pytest.fixture(scope="module")
def functions(aws: LocalAWS, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of Lambda, with the function and its alias."""
    with ExitStack() as stack:
        iam, functions = (aws.client(service) for service in ("iam", "lambda"))
        stack.callback(iam.close)
        stack.callback(functions.close)
        trust = json.dumps({"Version": "2012-10-17", "Statement": [TRUST]})
        arn = iam.create_role(RoleName="function", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        functions.create_function(
            FunctionName=FUNCTION,
            Role=arn,
            Runtime="python3.13",
            Handler="code.handle",
            Code={"ZipFile": zipped(tmp_path_factory.mktemp("code") / "code.zip", CODE)},
            Publish=True,
        )
        functions.get_waiter("function_active_v2").wait(FunctionName=FUNCTION, WaiterConfig={"Delay": 1})
        functions.create_alias(FunctionName=FUNCTION, Name="live", FunctionVersion="1")
        yield functions


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked(tmp_path_factory.mktemp("var"), "queue-worker")


@pytest.fixture(scope="module", params=["standard", "fifo"])
def queues(
    request: pytest.FixtureRequest,
    aws: LocalAWS,
    functions: Any,
    task: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Queues]:
    assert functions
    alias = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{FUNCTION}:live"
    ending, attributes = (".fifo", {"FifoQueue": "true"}) if request.param == "fifo" else ("", {})
    with ExitStack() as stack:
        sqs = aws.client("sqs")
        stack.callback(sqs.close)
        urls = {
            name: sqs.create_queue(QueueName=f"{name}{ending}", Attributes=attributes)["QueueUrl"]
            for name in ("requests", "answers")
        }
        rights = role(
            aws,
            [
                (["lambda:InvokeFunction"], alias),
                (["sqs:SendMessage"], f"arn:aws:sqs:{REGION}:{ACCOUNT}:answers{ending}"),
                (["sqs:ChangeMessageVisibility"], f"arn:aws:sqs:{REGION}:{ACCOUNT}:requests{ending}"),
            ],
        )
        environment = rights | {
            settings.FUNCTION: alias,
            settings.REQUESTS: urls["requests"],
            settings.ANSWERS: urls["answers"],
            settings.ANSWER_SECONDS: str(ANSWER_SECONDS),
            settings.RETRY_SECONDS: "0",
        }
        worker = stack.enter_context(running(tmp_path_factory.mktemp("worker"), task, "queue-worker", environment))
        yield Queues(sqs, urls["requests"], urls["answers"], worker)


def test_every_message_is_answered_once(queues: Queues) -> None:
    records = queues.send(asked("one"), asked("two", stream=True), asked("zwölf \N{GRINNING FACE} \ud800"))
    assert queues.work(records) == []
    answers = queues.answered()
    said = [answers[record["messageId"]]["response"]["choices"][0]["message"]["content"] for record in records]
    assert said == ["You said one.", "You said two.", "You said zwölf \N{GRINNING FACE} \ud800."]
    assert all(answer.keys() == {"id", "request_id", "response"} for answer in answers.values())
    assert len({answer["request_id"] for answer in answers.values()} - {""}) == 3


BAD = {
    "malformed": ("{", "The message is no JSON object"),
    "a list": ("[]", "The message is no JSON object"),
    "deep": ("[" * 100_000, "The message is no JSON object"),
    "an event": ('{"Records": []}', "The function failed (Runtime.HandlerError); its log has request "),
    "refused": (asked("too long"), "The function answered with status 400 (context_length_exceeded)."),
    "crashing": (asked("crash"), "The function failed (Runtime.HandlerError); its log has request "),
    "no response": (asked("nothing"), "is no HTTP response"),
    "too large": (asked("a novel"), "(InvalidParameterValue): it takes what its own limit"),
}


@pytest.mark.parametrize(("body", "reason"), BAD.values(), ids=BAD)
def test_a_message_that_fails_takes_no_other_with_it(queues: Queues, body: str, reason: str) -> None:
    """Behind it in a FIFO queue the others wait, in their order."""
    before = len(queues.worker.log)
    records = queues.send(asked("one"), body, asked("two"))
    assert queues.work(records) == ([body, asked("two")] if queues.fifo else [body])
    expected = [records[0]["messageId"], *([] if queues.fifo else [records[2]["messageId"]])]
    assert list(queues.answered()) == expected
    log = queues.worker.log[before:]
    assert reason in log
    assert records[1]["messageId"] in log


def test_what_is_asked_and_answered_is_in_no_log(queues: Queues) -> None:
    word = "xyzzy"
    records = queues.send(asked(word), f'{{"{word}": ', asked("too long"))
    queues.work(records)
    queues.answered()
    log = queues.worker.log
    assert records[0]["messageId"] in log
    assert not [one for one in (word, "It is too long", "You said", "receiptHandle") if one in log]
    assert not [record for record in records if record["receiptHandle"] in log]


def test_messages_stay_while_the_function_is_throttled(queues: Queues, functions: Any) -> None:
    records = queues.send(asked("one"), asked("two"))
    functions.put_function_concurrency(FunctionName=FUNCTION, ReservedConcurrentExecutions=0)
    try:
        assert queues.work(records) == [asked("one"), asked("two")]
    finally:
        functions.delete_function_concurrency(FunctionName=FUNCTION)
    assert queues.answered() == {}
    assert "TooManyRequestsException" in queues.worker.log


def test_nothing_is_begun_that_would_end_too_late(queues: Queues) -> None:
    records = queues.send(asked("one"), asked("two"))
    short = time.time() + ANSWER_SECONDS + BESIDE_ANSWER_SECONDS - 1
    assert queues.work(records, deadline=short) == [asked("one"), asked("two")]
    assert queues.answered() == {}


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        (settings.FUNCTION, "", f"{settings.FUNCTION} is not set: set it to the ARN of an inference function's alias."),
        (settings.ANSWER_SECONDS, "ten", f"{settings.ANSWER_SECONDS} is ten: set it to "),
        (settings.RETRY_SECONDS, "-1", f"{settings.RETRY_SECONDS} is -1: set it to "),
    ],
)
def test_a_setting_that_is_wrong_is_named(
    variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (settings.FUNCTION, settings.REQUESTS, settings.ANSWERS):
        monkeypatch.setenv(name, "x")
    for name in (settings.ANSWER_SECONDS, settings.RETRY_SECONDS):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv(variable, value)
    with pytest.raises(QueueSettingsError) as refused:
        settings.QueueSettings.load()
    assert str(refused.value).startswith(said)
