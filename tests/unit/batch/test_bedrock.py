"""Batch jobs of Bedrock: what they are given has the shape that botocore knows, and their answers come in any order."""

import json
import random
from dataclasses import dataclass, field
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

from lambda_llm.batch.bedrock import LATE_SECONDS, BedrockJobs
from lambda_llm.batch.config import BedrockBackend
from lambda_llm.batch.errors import BatchFailedError
from support.batches import World, configuration, line

ROLE = "arn:aws:iam::123456789012:role/bedrock"
ARN = "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/abc123def456"
IDS = [f"r{number}" for number in range(120)]


def backend(**changes: Any) -> dict[str, Any]:
    fields = {"model": "amazon.nova-micro-v1:0", "region": "us-east-1", "role": ROLE, "input": 1.0, "output": 4.0}
    return {"kind": "bedrock", **fields, **changes}


@dataclass
class Bedrock:
    """Jobs of Bedrock: a job answers with what it was asked, in another order, when a test says that it ends."""

    s3: Any
    bucket: str
    status: str = "InProgress"
    made: dict[str, Any] = field(default_factory=dict)
    refuses: list[str] = field(default_factory=list)
    stopped: bool = False
    without: frozenset[str] = frozenset()

    def _checked(self, operation: str, given: dict[str, Any]) -> None:
        model = botocore.session.get_session().get_service_model("bedrock").operation_model(operation)
        assert model.input_shape is not None
        report = ParamValidator().validate(given, model.input_shape)
        assert not report.has_errors(), report.generate_report()
        if self.refuses:
            raise ClientError({"Error": {"Code": self.refuses.pop(0), "Message": "so it is"}}, operation)

    def create_model_invocation_job(self, **given: Any) -> dict[str, Any]:
        self._checked("CreateModelInvocationJob", given)
        assert given["modelInvocationType"] == "Converse"
        self.made = given
        return {"jobArn": ARN}

    def get_model_invocation_job(self, **given: Any) -> dict[str, Any]:
        self._checked("GetModelInvocationJob", given)
        assert given["jobIdentifier"] == ARN
        return {"jobArn": ARN, "status": self.status, "message": "because"}

    def stop_model_invocation_job(self, **given: Any) -> dict[str, Any]:
        self._checked("StopModelInvocationJob", given)
        self.stopped, self.status = True, "Stopping"
        return {}

    def asked(self) -> list[dict[str, Any]]:
        """Lines of the job's input."""
        key = self.made["inputDataConfig"]["s3InputDataConfig"]["s3Uri"].partition(f"{self.bucket}/")[2]
        content = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return [json.loads(each) for each in content.splitlines()]

    def ends(self, status: str = "Completed") -> None:
        """Write the output."""
        self.status = status
        folder = self.made["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"].partition(f"{self.bucket}/")[2]
        lines = [self._answer(each) for each in self.asked()]
        lines = [each for each in lines if each["recordId"] not in self.without]
        random.Random(1).shuffle(lines)  # noqa: S311 - any order
        body = "".join(json.dumps(each) + "\n" for each in lines).encode()
        self.s3.put_object(Bucket=self.bucket, Key=f"{folder}abc123def456/input.jsonl.out", Body=body)
        self.s3.put_object(Bucket=self.bucket, Key=f"{folder}abc123def456/manifest.json.out", Body=b"{}\n")

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        text = asked["modelInput"]["messages"][0]["content"][0]["text"]
        if text == "r5":
            return {**asked, "error": {"errorCode": 400, "errorMessage": "a part of the prompt: r5"}}
        message = {"role": "assistant", "content": [{"text": f"You said {text}"}]}
        usage = {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}
        return {**asked, "modelOutput": {"output": {"message": message}, "stopReason": "end_turn", "usage": usage}}


@pytest.fixture
def jobs(world: World) -> Bedrock:
    world.settings = configuration(nova=backend())
    return Bedrock(world.s3, world.bucket)


def begun(world: World, ids: list[str] = IDS, **body: Any) -> tuple[Any, Any]:
    """A batch, and its only part."""
    batch = world.created(b"".join(line(each, each, **body) for each in ids))
    (part,) = world.parts(world.index(batch))
    return batch, part


def work(world: World, bedrock: Bedrock, batch: Any, part: Any) -> str:
    chosen = world.settings.models["chat"].backends["nova"]
    assert isinstance(chosen, BedrockBackend)
    return BedrockJobs(world.storage, world.record(batch), chosen, 16, bedrock, world.clock).work(part)


def test_answers_are_put_in_order(world: World, jobs: Bedrock) -> None:
    batch, part = begun(world)
    assert work(world, jobs, batch, part) == "wait"
    assert work(world, jobs, batch, part) == "wait"
    assert jobs.asked()[0]["modelInput"]["inferenceConfig"]["maxTokens"] == 16
    jobs.ends()
    assert work(world, jobs, batch, part) == "done"
    world.finalize(batch)
    record = world.record(batch)
    assert record.batch.status == "completed"
    found = world.outputs(batch)
    assert [each["custom_id"] for each in found] == [each for each in IDS if each != "r5"]
    for each in found:
        assert each["response"]["body"]["choices"][0]["message"]["content"] == f"You said {each['custom_id']}"
    (error,) = world.errors(batch)
    assert error["response"]["status_code"] == 400
    assert "prompt" not in json.dumps(error)
    assert record.batch.usage is not None
    assert record.batch.usage.total_tokens == 119 * 15


def test_a_request_of_a_job_is_made_once(world: World, jobs: Bedrock) -> None:
    """Whatever is repeated, Bedrock is told that it is the same."""
    batch, part = begun(world)
    jobs.refuses = ["ThrottlingException"]
    assert work(world, jobs, batch, part) == "wait"
    assert not jobs.made
    assert work(world, jobs, batch, part) == "wait"
    token = jobs.made["clientRequestToken"]
    jobs.refuses = ["InternalServerException"]
    assert work(world, jobs, batch, part) == "wait"
    assert jobs.made["clientRequestToken"] == token


def test_what_bedrock_can_not_do_is_an_error_line(world: World, jobs: Bedrock) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
    batch = world.created(line("a", "a", tools=tools) + b"".join(line(each, each) for each in IDS))
    (part,) = world.parts(world.index(batch))
    work(world, jobs, batch, part)
    assert len(jobs.asked()) == len(IDS)
    jobs.ends()
    work(world, jobs, batch, part)
    world.finalize(batch)
    first = world.errors(batch)[0]
    assert (first["custom_id"], first["response"]["body"]["error"]["param"]) == ("a", "tools")


def test_nothing_that_it_can_do_takes_no_job(world: World, jobs: Bedrock) -> None:
    batch, part = begun(world, logit_bias={"1": 1})
    while work(world, jobs, batch, part) == "wait":
        pass
    assert not jobs.made
    world.finalize(batch)
    assert len(world.errors(batch)) == len(IDS)


def test_a_record_that_the_job_forgets_is_an_error_line(world: World, jobs: Bedrock) -> None:
    batch, part = begun(world)
    work(world, jobs, batch, part)
    jobs.without = frozenset({"R0000000007"})
    jobs.ends()
    work(world, jobs, batch, part)
    world.finalize(batch)
    assert {each["custom_id"] for each in world.errors(batch)} == {"r5", "r7"}


def test_a_cancelled_job_is_stopped_and_what_it_has_is_taken(world: World, jobs: Bedrock) -> None:
    batch, part = begun(world)
    work(world, jobs, batch, part)
    world.batches().cancel(world.tenant, batch.id)
    assert work(world, jobs, batch, part) == "wait"
    assert jobs.stopped
    jobs.without = frozenset(f"R{number:010d}" for number in [5, *range(20, 120)])
    jobs.ends("Stopped")
    assert work(world, jobs, batch, part) == "done"
    world.finalize(batch)
    assert world.record(batch).batch.status == "cancelled"
    assert [each["custom_id"] for each in world.outputs(batch)] == [each for each in IDS[:20] if each != "r5"]


def test_a_cancelled_job_s_answers_are_taken_though_earlier_records_have_none(world: World, jobs: Bedrock) -> None:
    """They are paid for; a record without an answer does not hide those behind it."""
    batch, part = begun(world)
    work(world, jobs, batch, part)
    world.batches().cancel(world.tenant, batch.id)
    work(world, jobs, batch, part)
    jobs.without = frozenset(f"R{number:010d}" for number in range(0, 120, 2))
    jobs.ends("Stopped")
    assert work(world, jobs, batch, part) == "done"
    world.finalize(batch)
    assert [each["custom_id"] for each in world.outputs(batch)] == [each for each in IDS[1::2] if each != "r5"]
    assert {each["error"]["code"] for each in world.errors(batch) if each["error"]} == {"batch_cancelled"}


@pytest.mark.parametrize("status", ["PartiallyCompleted", "Expired"])
def test_a_job_whose_time_is_over_ends_its_part(world: World, jobs: Bedrock, status: str) -> None:
    """It never becomes anything else, however often its batch is resumed."""
    batch, part = begun(world)
    work(world, jobs, batch, part)
    jobs.without = frozenset({"R0000000007"})
    jobs.ends(status)
    assert work(world, jobs, batch, part) == "done"
    world.finalize(batch)
    assert world.record(batch).batch.status == "completed"
    assert {each["custom_id"] for each in world.errors(batch)} == {"r5", "r7"}


@pytest.mark.parametrize("status", ["Failed", "Stopped"])
def test_a_job_that_failed_is_not_made_again_by_the_same_run(world: World, jobs: Bedrock, status: str) -> None:
    """The state machine tries a step again, and would go on with the next job for as long as the window has."""
    batch, part = begun(world)
    work(world, jobs, batch, part)
    jobs.status, jobs.made = status, {}
    for _ in range(3):
        with pytest.raises(BatchFailedError, match="because"):
            work(world, jobs, batch, part)
    assert not jobs.made


def test_a_job_that_nobody_can_see_ends_with_the_window(world: World, jobs: Bedrock) -> None:
    batch, part = begun(world)
    work(world, jobs, batch, part)
    jobs.refuses = ["InternalServerException"] * 2
    world.now = world.record(batch).batch.expires_at
    assert work(world, jobs, batch, part) == "wait"
    world.now += LATE_SECONDS
    assert work(world, jobs, batch, part) == "done"
    world.finalize(batch)
    assert world.record(batch).batch.status == "expired"


def test_too_few_requests_that_a_job_can_have_are_told(world: World, jobs: Bedrock) -> None:
    """Bedrock would refuse the job, and nothing would ever come of the batch."""
    batch = world.created(line("r0", "r0", seed=1) + b"".join(line(each, each) for each in IDS[1:100]))
    (part,) = world.parts(world.index(batch))
    assert work(world, jobs, batch, part) == "done"
    assert not jobs.made
    world.finalize(batch)
    assert world.record(batch).batch.status == "completed"
    codes = [each["error"]["code"] for each in world.errors(batch) if each["error"]]
    assert codes == ["too_few_requests"] * 99


def test_ids_of_records_have_the_length_that_bedrock_s_pages_say(world: World, jobs: Bedrock) -> None:
    batch, part = begun(world)
    work(world, jobs, batch, part)
    assert {len(each["recordId"]) for each in jobs.asked()} == {11}
    assert all(each["recordId"].isalnum() for each in jobs.asked())


def test_a_failed_job_fails_the_part_and_another_is_made_on_resuming(world: World, jobs: Bedrock) -> None:
    batch, part = begun(world)
    work(world, jobs, batch, part)
    jobs.status = "Failed"
    with pytest.raises(BatchFailedError, match="because"):
        work(world, jobs, batch, part)
    assert world.finalize(batch)["step"] == "failed"
    first = jobs.made["clientRequestToken"]
    world.batches().resume(world.tenant, batch.id)
    world.index(batch)
    jobs.status = "InProgress"
    assert work(world, jobs, batch, part) == "wait"
    assert jobs.made["clientRequestToken"] != first
    jobs.ends()
    assert work(world, jobs, batch, part) == "done"


def test_a_refusal_is_told(world: World, jobs: Bedrock) -> None:
    batch, part = begun(world)
    jobs.refuses = ["AccessDeniedException"]
    with pytest.raises(BatchFailedError, match="AccessDeniedException"):
        work(world, jobs, batch, part)
