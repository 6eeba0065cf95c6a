"""The state machine of batches on the local AWS: every way through it, with functions that do as a plan says.

What a function is asked and what it may answer is the contract between the two; that the real functions keep it,
their own tests show.
"""

import io
import json
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import pytest

from scripts.local_aws.batches import definition
from scripts.local_aws.server import ACCOUNT, LocalAWS, local_aws
from support.servers import until

ROLE = f"arn:aws:iam::{ACCOUNT}:role/any"
BUCKET, TENANT = "store", "acme"

Plan = Mapping[str, Sequence[Any]]
"""Answers by what is asked: DO, or DO-PART."""

# Answers each call with the next line of the batch's plan, the last one again and again; writes down what it was asked.
HANDLER = """
import json, os, time, botocore.session

s3 = botocore.session.get_session().create_client("s3")

def handle(event, context):
    name = event["do"] + (f"-{event['part']['part']}" if "part" in event else "")
    folder = f"asked/{event['batch']}/{name}/"
    seen = s3.list_objects_v2(Bucket="store", Prefix=folder)["KeyCount"]
    body = json.dumps({"at": time.time_ns(), **event})
    s3.put_object(Bucket="store", Key=f"{folder}{seen:03d}", Body=body)
    plan = json.loads(s3.get_object(Bucket="store", Key=f"plans/{event['batch']}")["Body"].read())[name]
    answer = plan[min(seen, len(plan) - 1)]
    if answer == "raise":
        raise ValueError("as planned")
    if answer == "die":
        os._exit(1)
    own = {key: event[key] for key in ("tenant", "batch", "part") if key in event}
    return {**own, "seconds": 1, **answer}
"""

# As the container of a GPU job: says who it is where the test finds it.
CONTAINER = """
import json, os, sys, boto3

index = os.environ["AWS_BATCH_JOB_ARRAY_INDEX"]
told = {name: os.environ.get(name) for name in sys.argv[1].split(",")}
batch = os.environ["LAMBDA_LLM_BATCH_ID"]
attempt = os.environ["AWS_BATCH_JOB_ATTEMPT"]
boto3.client("s3").put_object(Bucket="store", Key=f"jobs/{batch}/{index}-{attempt}", Body=json.dumps(told))
sys.exit(int(sys.argv[2]) if index == "1" and attempt == "1" else 0)
"""
TOLD = ("LAMBDA_LLM_BATCH_TENANT", "LAMBDA_LLM_BATCH_ID", "OF_THE_DEFINITION", "AWS_BATCH_JOB_ARRAY_SIZE")


@dataclass
class Machine:
    """The state machine on a local AWS, with its clients."""

    aws: LocalAWS
    states: Any
    s3: Any
    functions: Any
    batch: Any
    arn: str

    def start(self, name: str, plan: Plan, parts: Sequence[Any] | None = None) -> str:
        """Start the run of a batch; its ARN."""
        self.s3.put_object(Bucket=BUCKET, Key=f"plans/{name}", Body=json.dumps(plan))
        if parts is not None:
            lines = "".join(json.dumps(part) + "\n" for part in parts)
            self.s3.put_object(Bucket=BUCKET, Key=f"work/{name}/parts.jsonl", Body=lines)
        given = json.dumps({"tenant": TENANT, "batch": name})
        started = self.states.start_execution(stateMachineArn=self.arn, name=name, input=given)
        return str(started["executionArn"])

    def ended(self, execution: str) -> dict[str, Any]:
        """An execution as soon as it has ended."""

        def description() -> Any:
            found = self.states.describe_execution(executionArn=execution)
            return found if found["status"] != "RUNNING" else None

        found: dict[str, Any] = until(description)
        return found

    def run(self, name: str, plan: Plan, parts: Sequence[Any] | None = None) -> dict[str, Any]:
        return self.ended(self.start(name, plan, parts))

    def asked(self, name: str, what: str) -> list[dict[str, Any]]:
        """What the functions were asked for a batch, one kind of question, in order."""
        return self.bodies(f"asked/{name}/{what}/")

    def bodies(self, prefix: str, end: str = "") -> list[dict[str, Any]]:
        keys = [one["Key"] for one in self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])]
        wanted = [key for key in keys if key.endswith(end)]
        return [json.loads(self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()) for key in wanted]

    def errors(self, execution: str) -> set[str]:
        """Errors of the tasks of a map's children so far."""
        found = set()
        for run in self.states.list_map_runs(executionArn=execution)["mapRuns"]:
            for child in self.states.list_executions(mapRunArn=run["mapRunArn"])["executions"]:
                history = self.states.get_execution_history(executionArn=child["executionArn"], maxResults=1000)
                details = (event.get("taskFailedEventDetails") for event in history["events"])
                found |= {one["error"] for one in details if one}
        return found


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("planned.py", HANDLER)
    with ExitStack() as stack:
        patched = stack.enter_context(pytest.MonkeyPatch.context())
        patched.setenv("SFN_WAIT_SCALE", "0.01")
        aws = stack.enter_context(local_aws(tmp_path_factory.mktemp("aws")))
        clients = [
            stack.enter_context(closing(aws.client(name))) for name in ("stepfunctions", "s3", "lambda", "batch")
        ]
        states, s3, functions, batch = clients
        s3.create_bucket(Bucket=BUCKET)
        arns = [
            functions.create_function(
                FunctionName=name,
                Runtime="python3.13",
                Role=ROLE,
                Handler="planned.handle",
                Code={"ZipFile": zipped.getvalue()},
                Timeout=60,
            )["FunctionArn"]
            for name in ("index", "worker")
        ]
        made = states.create_state_machine(name="batches", definition=definition(*arns), roleArn=ROLE)
        yield Machine(aws, states, s3, functions, batch, made["stateMachineArn"])


def mapped(name: str, concurrency: int = 4, count: int = 0) -> dict[str, Any]:
    """What Index answers when functions are to answer the parts."""
    parts = {"bucket": BUCKET, "key": f"work/{name}/parts.jsonl", "count": count}
    none = {"queue": "", "definition": "", "name": "", "seconds": 600}
    return {"step": "map", "parts": parts, "concurrency": concurrency, "job": none}


DONE, AGAIN, WAIT, END = {"step": "done"}, {"step": "again"}, {"step": "wait"}, {"step": "end"}


def numbered(count: int) -> list[dict[str, int]]:
    return [{"part": number, "first": 100 * number, "last": 100 * number + 99} for number in range(count)]


def test_a_batch_is_indexed_in_rounds_answered_by_parts_and_joined_in_rounds(machine: Machine) -> None:
    plan = {
        "index": [{"step": "index"}, {"step": "index"}, mapped("whole")],
        "work-0": [AGAIN, AGAIN, DONE],
        "work-1": [WAIT, WAIT, AGAIN, DONE],
        "work-2": [DONE],
        "finalize": [{"step": "finalize"}, END],
    }
    assert machine.run("whole", plan, numbered(3))["status"] == "SUCCEEDED"
    whose = {"tenant": TENANT, "batch": "whole"}
    for what, times in {"index": 3, "finalize": 2}.items():
        asked = machine.asked("whole", what)
        assert [{**one, "at": None} for one in asked] == [{"at": None, "do": what, **whose}] * times
    for part, times in enumerate((3, 4, 1)):
        asked = machine.asked("whole", f"work-{part}")
        question = {"do": "work", **whose, "part": numbered(3)[part], "attempt": 0, "at": None}
        assert [{**one, "at": None} for one in asked] == [question] * times
    assert max(one["at"] for part in range(3) for one in machine.asked("whole", f"work-{part}")) < min(
        one["at"] for one in machine.asked("whole", "finalize")
    )
    assert machine.asked("whole", "broken") == []


def test_a_worker_that_raises_or_dies_is_told_how_often(machine: Machine) -> None:
    plan: Plan = {
        "index": [mapped("lossy")],
        "work-0": ["raise", "die", "raise", AGAIN, "die", DONE],
        "work-1": [DONE],
        "finalize": [END],
    }
    assert machine.run("lossy", plan, numbered(2))["status"] == "SUCCEEDED"
    assert [one["attempt"] for one in machine.asked("lossy", "work-0")] == [0, 1, 2, 3, 0, 1]


def test_a_part_that_can_t_be_answered_leaves_the_others_and_the_batch_fails(machine: Machine) -> None:
    plan: Plan = {
        "index": [mapped("hopeless")],
        "work-0": ["raise"],
        "work-1": [AGAIN, DONE],
        "work-2": [{"step": "unheard of"}],
        "finalize": [{"step": "failed"}],
    }
    ended = machine.run("hopeless", plan, numbered(3))
    assert (ended["status"], ended["error"]) == ("FAILED", "Batch.PartsAreMissing")
    assert [one["attempt"] for one in machine.asked("hopeless", "work-0")] == list(range(11))
    assert len(machine.asked("hopeless", "work-1")) == 2
    assert len(machine.asked("hopeless", "finalize")) == 1
    assert machine.asked("hopeless", "broken") == []
    (manifest,) = machine.bodies("work/hopeless/parts.jsonl-results/", "manifest.json")
    (failed,) = manifest["ResultFiles"]["FAILED"]
    lines = machine.s3.get_object(Bucket=BUCKET, Key=failed["Key"])["Body"].read().splitlines()
    assert {json.loads(each)["Error"] for each in lines} >= {"Batch.UnknownStep"}


def test_a_map_that_fails_as_a_whole_is_finalized_too(machine: Machine) -> None:
    plan = {"index": [mapped("partless")], "finalize": [END]}
    assert machine.run("partless", plan)["status"] == "SUCCEEDED"
    assert len(machine.asked("partless", "finalize")) == 1


def test_an_input_that_is_refused_ends_at_once(machine: Machine) -> None:
    ended = machine.run("refused", {"index": [{"step": "index"}, END]})
    assert ended["status"] == "SUCCEEDED"
    assert machine.bodies("asked/refused/finalize/") == []


@pytest.mark.parametrize("what", ["index", "finalize"])
def test_what_fails_again_and_again_is_broken(machine: Machine, what: str) -> None:
    name = f"broken-{what}"
    plan: Plan = {"index": [mapped(name)], "work-0": [DONE], "finalize": [END], "broken": [END], what: ["raise"]}
    ended = machine.run(name, plan, numbered(1))
    assert (ended["status"], ended["error"]) == ("FAILED", "Batch.Broken")
    assert len(machine.asked(name, what)) == 6
    (broken,) = machine.asked(name, "broken")
    assert {**broken, "at": None} == {"do": "broken", "tenant": TENANT, "batch": name, "at": None}


def test_even_if_that_can_t_be_written_the_execution_fails(machine: Machine) -> None:
    ended = machine.run("lost", {"index": ["raise"], "broken": ["raise"]})
    assert (ended["status"], ended["error"]) == ("FAILED", "Batch.Broken")
    assert len(machine.asked("lost", "broken")) == 6


def test_a_step_that_nobody_knows_is_broken(machine: Machine) -> None:
    ended = machine.run("unknown", {"index": [{"step": "unheard of"}], "broken": [END]})
    assert (ended["status"], ended["error"]) == ("FAILED", "Batch.Broken")
    assert len(machine.asked("unknown", "broken")) == 1


def test_as_many_workers_as_index_says_and_no_more(machine: Machine) -> None:
    plan = {"index": [mapped("narrow", 1)], "finalize": [END], **{f"work-{part}": [AGAIN, DONE] for part in range(4)}}
    assert machine.run("narrow", plan, numbered(4))["status"] == "SUCCEEDED"
    asked = sorted((one for part in range(4) for one in machine.asked("narrow", f"work-{part}")), key=lambda a: a["at"])
    assert [one["part"]["part"] for one in asked] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_throttled_workers_wait_until_there_is_room(machine: Machine) -> None:
    machine.functions.put_function_concurrency(FunctionName="worker", ReservedConcurrentExecutions=0)
    plan = {"index": [mapped("throttled")], "work-0": [DONE], "work-1": [DONE], "finalize": [END]}
    execution = machine.start("throttled", plan, numbered(2))
    until(lambda: "Lambda.TooManyRequestsException" in machine.errors(execution))
    assert machine.asked("throttled", "work-0") == []
    machine.functions.delete_function_concurrency(FunctionName="worker")
    assert machine.ended(execution)["status"] == "SUCCEEDED"
    assert machine.errors(execution) == {"Lambda.TooManyRequestsException"}
    assert [len(machine.asked("throttled", f"work-{part}")) for part in range(2)] == [1, 1]


@pytest.mark.parametrize(("exits", "attempts"), [(0, 1), (1, 2), (1, 1)], ids=["right", "retried", "failing"])
def test_an_array_job_has_a_container_for_each_part(machine: Machine, exits: int, attempts: int) -> None:
    name = f"array-{exits}-{attempts}"
    queue = machine.batch.create_job_queue(
        jobQueueName=name, priority=1, computeEnvironmentOrder=[{"order": 1, "computeEnvironment": "gpu"}]
    )
    registered = machine.batch.register_job_definition(
        jobDefinitionName=name,
        type="container",
        containerProperties={
            "image": "vllm:any",
            "command": [sys.executable, "-c", CONTAINER, ",".join(TOLD), str(exits)],
            "environment": [{"name": TOLD[2], "value": "kept"}, {"name": TOLD[1], "value": "overridden"}],
        },
        retryStrategy={"attempts": attempts},
    )
    job = {"queue": queue["jobQueueArn"], "definition": registered["jobDefinitionArn"], "name": name, "seconds": 600}
    plan = {"index": [{**mapped(name, count=3), "step": "array", "job": job}], "finalize": [END]}
    assert machine.run(name, plan)["status"] == "SUCCEEDED", "a failed job too: Finalize judges"
    assert len(machine.asked(name, "finalize")) == 1
    found = machine.s3.list_objects_v2(Bucket=BUCKET, Prefix=f"jobs/{name}/")["Contents"]
    retried = ["1-2"] if attempts > 1 else []
    assert [one["Key"].rpartition("/")[2] for one in found] == ["0-1", "1-1", *retried, "2-1"]
    told = dict(zip(TOLD, (TENANT, name, "kept", "3"), strict=True))
    assert machine.bodies(f"jobs/{name}/") == [told] * len(found)
    jobs = machine.batch.list_jobs(jobQueue=name)["jobSummaryList"]
    (parent,) = [one["jobId"] for one in jobs if ":" not in one["jobId"]]
    described = machine.batch.describe_jobs(jobs=[parent, f"{parent}:1"])["jobs"]
    expected = "FAILED" if exits and attempts == 1 else "SUCCEEDED"
    assert [one["status"] for one in described] == [expected, expected]
    assert described[0]["arrayProperties"]["size"] == 3


def test_more_parts_than_an_execution_could_hold_results_of(machine: Machine) -> None:
    """A map that returns its results fails; the local AWS does as well."""
    count, long = 300, "x" * 1000
    parts = [{"part": number, "long": long} for number in range(count)]
    plan: Plan = {"index": [mapped("many", 8)], "finalize": [END], **{f"work-{n}": [DONE] for n in range(count)}}
    assert machine.run("many", plan, parts)["status"] == "SUCCEEDED"
    machine.s3.put_object(Bucket=BUCKET, Key="plain.jsonl", Body="".join(json.dumps(part) + "\n" for part in parts))
    plain = {
        "Type": "Map",
        "ItemReader": {
            "Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": {"InputType": "JSONL"},
            "Parameters": {"Bucket": BUCKET, "Key": "plain.jsonl"},
        },
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "Pass",
            "States": {"Pass": {"Type": "Pass", "End": True}},
        },
        "ResultPath": None,
        "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}],
        "End": True,
    }
    returning = {"StartAt": "Map", "States": {"Map": plain, "Caught": {"Type": "Succeed"}}}
    made = machine.states.create_state_machine(name="plain", definition=json.dumps(returning), roleArn=ROLE)
    started = machine.states.start_execution(stateMachineArn=made["stateMachineArn"])
    ended = machine.ended(started["executionArn"])
    assert (ended["status"], ended["error"]) == ("FAILED", "States.DataLimitExceeded")
