"""examples/event-driven, applied: messages are answered once, and one that can't be ends in the dead letter queue."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support.answers import EXPECTED, QUESTION, user
from support.applied import Applied, refusal, terraform
from support.modules import TERRAFORM_FROM
from support.servers import until

WORKER = "lambda-llm-events-worker"
RECEIVES = 2


@pytest.fixture(scope="module")
def pushed(applied: Applied, demo_model: Path) -> Iterator[None]:
    """The model, pushed as the example's README has it, and messages that are tried again at once."""
    applied.aws.make_bucket("event-models")
    applied.push(demo_model, "s3://event-models/model.gguf", "event-driven")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TF_VAR_receives", str(RECEIVES))
        patched.setenv("TF_VAR_retry_seconds", "0")
        yield


pytestmark = [pytest.mark.needs("terraform", get=TERRAFORM_FROM), pytest.mark.usefixtures("pushed")]


def request(**changes: Any) -> str:
    return json.dumps({"model": "lambda-llm-demo", "messages": [user(QUESTION)], "temperature": 0, **changes})


def received(sqs: Any, queue: str, number: int) -> list[dict[str, Any]]:
    """As many messages of a queue."""
    found: list[dict[str, Any]] = []

    def all_there() -> bool:
        messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=3600)
        found.extend(messages.get("Messages", []))
        return len(found) >= number

    until(all_there)
    return found


@terraform("event-driven", scope="module", name="stack")
def test_messages_are_answered_once_and_a_bad_one_becomes_a_dead_letter(stack: Any, applied: Applied) -> None:
    outputs = applied.outputs(stack)
    secret_word = "xyzzy"  # noqa: S105 - it must not be in a log
    bodies = {"first": request(), "bad": f'{{"{secret_word}', "second": request(stream=True)}
    with closing(applied.aws.client("sqs")) as sqs:
        entries = [{"Id": name, "MessageBody": body} for name, body in bodies.items()]
        sent = sqs.send_message_batch(QueueUrl=outputs["requests"], Entries=entries)["Successful"]
        ids = {one["Id"]: one["MessageId"] for one in sent}
        (dead,) = received(sqs, outputs["dead_letters"], 1)
        assert (dead["MessageId"], dead["Body"]) == (ids["bad"], bodies["bad"])
        answers = [json.loads(message["Body"]) for message in received(sqs, outputs["answers"], 2)]
        assert sorted(answer["id"] for answer in answers) == sorted([ids["first"], ids["second"]])
        for answer in answers:
            assert answer["response"]["object"] == "chat.completion"
            assert EXPECTED in answer["response"]["choices"][0]["message"]["content"]
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        requests = {"QueueUrl": outputs["requests"], "AttributeNames": names}
        # Lambda deletes a message after its answer was sent.
        until(lambda: set(sqs.get_queue_attributes(**requests)["Attributes"].values()) == {"0"})
    log = applied.log(outputs["worker_log_group"])
    assert log.count(f"message {ids['bad']} failed: The message is no JSON object") == RECEIVES
    assert not [name for name in ("first", "second") if f"message {ids[name]} failed" in log]
    assert not [word for word in (secret_word, QUESTION, EXPECTED) if word in log]


@terraform("event-driven", scope="module", name="stack")
def test_the_worker_may_do_nothing_else(stack: Any, applied: Applied) -> None:
    outputs = applied.outputs(stack)
    theirs = applied.role_credentials(WORKER)
    with closing(applied.aws.client("sqs", theirs)) as sqs, closing(applied.aws.client("lambda", theirs)) as functions:
        refused = [
            refusal(sqs, "send_message", QueueUrl=outputs["requests"], MessageBody="{}"),
            refusal(sqs, "receive_message", QueueUrl=outputs["answers"]),
            refusal(sqs, "receive_message", QueueUrl=outputs["dead_letters"]),
            refusal(functions, "invoke", FunctionName=WORKER),
        ]
        assert [code.rpartition(".")[2] for code in refused] == ["AccessDenied"] * 3 + ["AccessDeniedException"]


@terraform("event-driven", scope="module", name="stack")
def test_a_second_apply_changes_nothing_and_a_destroy_leaves_nothing(stack: Any, applied: Applied) -> None:
    assert applied.changes(stack) == []
    done = applied.run(stack, "destroy", "-auto-approve")
    assert done.returncode == 0, done.stderr
    left = applied.leftovers()
    assert [bucket["Name"] for bucket in left.pop("buckets")] == ["event-models"]
    assert left == {}
    with closing(applied.aws.client("sqs")) as sqs, closing(applied.aws.client("lambda")) as functions:
        assert sqs.list_queues().get("QueueUrls", []) == []
        assert functions.list_event_source_mappings()["EventSourceMappings"] == []
