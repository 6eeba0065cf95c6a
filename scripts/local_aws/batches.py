"""Batches on a local AWS: the state machine of `modules/batch`, its functions' zip, and a function that is the model.

Functions and S3 fail as often as `Faults` says, by a seeded schedule.
"""

import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final
from unittest import mock

from lambda_llm.batch.settings import STORE
from lambda_llm.batch_store.batches import Batches
from lambda_llm.batch_store.files import Files
from lambda_llm.batch_store.records import Rights
from lambda_llm.limits import TIMEOUT_MAX_SECONDS
from lambda_llm.openai_types.batches import ENDED, Batch, BatchRequest
from scripts import ROOT
from scripts.local_aws.package import LocalPackageError
from scripts.local_aws.server import ACCOUNT, REGION, LocalAWS, local_aws

TEMPLATE: Final = ROOT / "modules/batch/machine.asl.json"
MODEL: Final = Path(__file__).with_name("batch_model.py")
FAULTS: Final = Path(__file__).with_name("batch_faults.py")

URL: Final = "/v1/chat/completions"
TENANT: Final = "acme"
BUCKET: Final = "batches"
ROLE: Final = f"arn:aws:iam::{ACCOUNT}:role/any"

WAIT_SCALE: Final = 0.01
"""Of the state machine's waits between two attempts."""


@dataclass(frozen=True)
class Faults:
    """What goes wrong.

    Attributes:
        seed: of all of it.
        kills: probability that a function's process dies, at each request to the model and on either side of a write.
        s3_errors: that a request to S3 is answered with 503.
        moods: share of requests that the model throttles or fails at, the first time.
    """

    seed: int = 1
    kills: float = 0.0
    s3_errors: float = 0.0
    moods: float = 0.0


@dataclass(frozen=True)
class Stand:
    """A running one.

    Attributes:
        aws: that it runs on.
        folder: where its functions note what they did.
        store: URI of the store.
        variables: of the functions.
        machine: ARN of the state machine.
        files: of the store.
        batches: likewise.
        s3: client of S3.
        states: client of Step Functions.
        functions: client of Lambda.
    """

    aws: LocalAWS
    folder: Path
    store: str
    variables: Mapping[str, str]
    machine: str
    files: Files
    batches: Batches
    s3: Any
    states: Any
    functions: Any

    def create(self, content: BinaryIO | bytes) -> Batch:
        """Store an input and start its batch.

        Args:
            content: of the file; it is closed.
        """
        file = self.files.create(TENANT, content, "in.jsonl", "batch")
        request = BatchRequest(input_file_id=file.id, endpoint=URL, completion_window="24h")
        return self.batches.create(TENANT, request, Rights())

    def ended(self, batch_id: str, seconds: float) -> Batch:
        """A batch at its end.

        Args:
            batch_id: of it.
            seconds: to wait for it.

        Raises:
            TimeoutError: it has not ended by then.
        """
        until = time.monotonic() + seconds
        while (batch := self.batches.get(TENANT, batch_id)).status not in ENDED:
            if time.monotonic() > until:
                raise TimeoutError(f"The batch is still {batch.status} after {seconds:.0f} s: see {self.aws.log}.")
            time.sleep(0.1)
        return batch

    def settled(self, execution: str, seconds: float = 60.0) -> str:
        """Status of an execution that was to end."""
        until = time.monotonic() + seconds
        arn = f"{self.machine.replace(':stateMachine:', ':execution:')}:{execution}"
        while (status := str(self.states.describe_execution(executionArn=arn)["status"])) == "RUNNING":
            if time.monotonic() > until:
                raise TimeoutError(f"The execution {execution} still runs: see {self.aws.log}.")
            time.sleep(0.1)
        return status

    def children(self, execution: str) -> int:
        """Executions that an execution's map has started."""
        arn = f"{self.machine.replace(':stateMachine:', ':execution:')}:{execution}"
        return sum(
            self.states.describe_map_run(mapRunArn=run["mapRunArn"])["executionCounts"]["total"]
            for run in self.states.list_map_runs(executionArn=arn)["mapRuns"]
        )

    def lines(self, file_id: str | None) -> Iterator[dict[str, Any]]:
        """Lines of a file; none, if there is no file."""
        if file_id is not None:
            with closing(self.files.open(TENANT, file_id)) as content:
                for each in content.read().splitlines():
                    yield json.loads(each)

    def noted(self, what: str) -> list[str]:
        """What the functions have noted: `asked` texts, `killed` processes, `s3_errors`."""
        path = self.folder / what
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def make_model(self, name: str, variables: Mapping[str, str]) -> str:
        """Make a function that answers as `batch_model` does; ARN of its alias `live`."""
        self.functions.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Role=ROLE,
            Handler="batch_model.handle",
            Code={"ZipFile": _zipped(MODEL)},
            Timeout=60,
            Environment={"Variables": dict(variables)},
        )
        version = self.functions.publish_version(FunctionName=name)["Version"]
        made = self.functions.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
        return str(made["AliasArn"])

    def configure(self, **models: Mapping[str, Any]) -> None:
        """Write the store's configuration.

        Args:
            models: fields of the one backend of each, beside those that it has anyhow.
        """
        fields = {"kind": "lambda", "region": REGION, "model": "theirs", "prefill": 1000, "decode": 100}
        written = {
            "version": 1,
            "machine": self.machine,
            "models": {
                name: {
                    "operations": [URL],
                    "max_tokens": 16,
                    "backends": {"own": {**fields, "function": alias(name), "url": self.aws.endpoint, **backend}},
                }
                for name, backend in models.items()
            },
        }
        self.s3.put_object(Bucket=BUCKET, Key="configuration.json", Body=json.dumps(written))


def alias(name: str) -> str:
    """ARN of the alias `live` of a function, whether it is there or not."""
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}:live"


def line(custom_id: str, text: str, model: str = "chat") -> bytes:
    """A line of an input, whose text says what becomes of it: see `batch_model` and `batch_faults`."""
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": URL, "body": body}).encode() + b"\n"


def definition(index: str, worker: str) -> str:
    """The state machine as `modules/batch` writes it with a GPU backend, for `CreateStateMachine`.

    Args:
        index: ARN of the function that indexes and finalizes.
        worker: ARN of the one that answers parts.
    """
    values = {"partition": "aws", "index": index, "worker": worker, "seconds": "864000"}
    text = re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], TEMPLATE.read_text(encoding="utf-8"))
    return json.dumps(json.loads(text))


def package(path: Path) -> Path:
    """Build the zip of a batch's functions for this machine.

    Raises:
        LocalPackageError: it could not be built.
    """
    command = [sys.executable, "-m", "scripts.build.package", "--local", f"batch={path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LocalPackageError(f"The batch's package could not be built: {done.stderr.strip()[-600:]}")
    return path


@contextmanager
def stand(
    faults: Faults, *, concurrency: int = 8, parallel: int = 4, decode: float = 100.0, seconds: float = 0.0
) -> Iterator[Stand]:
    """Run a local AWS with a model `chat` and what batches need.

    Args:
        faults: that happen.
        concurrency: requests to the model at once, of all workers.
        parallel: of one worker.
        decode: tokens a second that the model is said to have: the fewer, the more parts there are.
        seconds: that the model's answers take.

    Raises:
        LocalAWSError: it is not installed or did not start.
        LocalPackageError: the zip could not be built.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name in ("aws", "notes"):
            (folder / name).mkdir()
        with zipfile.ZipFile(package(folder / "batch.zip")) as archive:
            archive.extractall(folder / "task")
        stack.enter_context(mock.patch.dict(os.environ, SFN_WAIT_SCALE=str(WAIT_SCALE)))
        aws = stack.enter_context(local_aws(folder / "aws"))
        s3, states, functions = (
            stack.enter_context(closing(aws.client(name))) for name in ("s3", "stepfunctions", "lambda")
        )
        s3.create_bucket(Bucket=BUCKET)
        store = f"s3://{BUCKET}/"
        variables = {
            "BATCH_FOLDER": str(folder / "notes"),
            "BATCH_SEED": str(faults.seed),
            "BATCH_KILLS": str(faults.kills),
            "BATCH_S3_ERRORS": str(faults.s3_errors),
            "BATCH_MOODS": str(faults.moods),
            "BATCH_SECONDS": str(seconds),
        }
        # Unpacked once, and compiled by the first process: each of many processes would do both again.
        package_s = {"PYTHONPATH": str(folder / "task")}
        arns = [
            functions.create_function(
                FunctionName=name,
                Runtime="python3.13",
                Role=ROLE,
                Handler="batch_faults.handle",
                Code={"ZipFile": _zipped(FAULTS)},
                Timeout=TIMEOUT_MAX_SECONDS,
                Environment={"Variables": {**variables, **package_s, STORE: store}},
            )["FunctionArn"]
            for name in ("index", "worker")
        ]
        made = states.create_state_machine(name="batches", definition=definition(*arns), roleArn=ROLE)
        machine = made["stateMachineArn"]
        backend = {"concurrency": concurrency, "parallel": parallel, "decode": decode}
        running = Stand(
            aws,
            folder / "notes",
            store,
            variables,
            machine,
            Files(store, s3),
            Batches(store, s3, states, machine),
            s3,
            states,
            functions,
        )
        running.make_model("chat", variables)
        running.configure(chat=backend)
        yield running


def _zipped(path: Path) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(path.name, path.read_bytes())
    return content.getvalue()
