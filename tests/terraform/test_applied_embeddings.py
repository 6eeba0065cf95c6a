"""examples/embeddings-at-scale, applied: documents become vectors in Parquet by a batch, with IAM evaluated."""

import io
import json
import re
import shlex
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lambda_llm.aws.tenant_folder import tenant_folder
from support.applied import Applied, event, refusal, terraform
from support.modules import ROOT, TERRAFORM_FROM
from support.servers import until
from support.tls_bridge import bridged

NAME = "lambda-llm-embeddings"
FUNCTION = f"{NAME}-documents"
BUCKET = "my-documents"
FORGOTTEN = "module.batch.aws_sfn_state_machine.this: update"
"""The local AWS does not keep whether a state machine's executions are traced."""

DOCUMENTS = {
    "texts/lambda.md": "# Lambda\n\nA function has 10,240 MB of memory.\n\n# SnapStart\n\nSnapshots are restored.",
    "texts/more/plain.txt": "A plain text without any structure. It has two sentences.",
    "texts/lines.jsonl": '{"id": "first", "text": "The first of many."}\n{"id": "second", "text": "The second one."}\n',
    "texts/picture.png": "not a text",
    "texts/broken.jsonl": "{",
    "other.txt": "Not below the prefix.",
}
README = ROOT / "examples/embeddings-at-scale/README.md"
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
ASSIGNED = re.compile(r"export (\w+)=\$\((.*)\)")


@pytest.fixture(scope="module")
def documents(applied: Applied) -> Iterator[None]:
    """Documents, and the variables of the example's README."""
    applied.aws.make_bucket(BUCKET)
    with (
        closing(applied.aws.client("s3")) as s3,
        pytest.MonkeyPatch.context() as patched,
        bridged(applied.aws.endpoint, applied.environment["AWS_CA_BUNDLE"]) as lambda_endpoint,
    ):
        patched.setenv("TF_VAR_lambda_endpoint", lambda_endpoint)
        for key, text in DOCUMENTS.items():
            s3.put_object(Bucket=BUCKET, Key=key, Body=text.encode())
        (exported,) = [line for _, block in BLOCKS for line in block.splitlines() if "TF_VAR_" in line]
        for assigned in shlex.split(exported)[1:]:
            patched.setenv(*assigned.split("=", 1))
        patched.setenv("TF_VAR_wait_seconds", "1")
        patched.setenv("TF_VAR_chunks", '{"size": 60}')
        yield


pytestmark = [pytest.mark.needs("terraform", get=TERRAFORM_FROM), pytest.mark.usefixtures("documents")]


class Shell:
    """The README's commands of one service, by AWS's own model of it: the command line may not be installed."""

    def __init__(self, applied: Applied, outputs: dict[str, Any]) -> None:
        self._applied = applied
        self._outputs = outputs
        self.variables: dict[str, str] = {}
        self.answers: list[dict[str, Any]] = []

    def run(self) -> None:
        lines = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
        for line in lines:
            if (assigned := ASSIGNED.fullmatch(line)) and assigned[2].startswith("terraform "):
                self.variables[assigned[1]] = self._outputs[assigned[2].split()[-1]]
            elif assigned:
                self.variables[assigned[1]] = self._aws(assigned[2])
            elif line.startswith("aws "):
                self._aws(line)

    def _aws(self, command: str) -> str:
        for name, value in self.variables.items():
            command = command.replace(f"${name}", value)
        _, service, operation, *rest = shlex.split(command)
        options = dict(zip(rest[::2], rest[1::2], strict=True))
        query = options.pop("--query", "")
        options.pop("--output", None)
        with closing(self._applied.aws.client(service)) as client:
            words = {option: option[2:].split("-") for option in options}
            given = {word[0] + "".join(map(str.title, word[1:])): options[name] for name, word in words.items()}
            self.answers.append(getattr(client, operation.replace("-", "_"))(**given))
        return str(self.answers[-1].get(query))


def ended(applied: Applied, execution: str) -> dict[str, Any]:
    """An execution at its end."""
    with closing(applied.aws.client("stepfunctions")) as states:
        until(lambda: states.describe_execution(executionArn=execution)["status"] != "RUNNING")
        found: dict[str, Any] = states.describe_execution(executionArn=execution)
        return found


@terraform("embeddings-at-scale", scope="module", name="stack")
def test_documents_become_vectors(stack: Any, applied: Applied, tmp_path: Path) -> None:
    shell = Shell(applied, applied.outputs(stack))
    shell.run()
    run = ended(applied, shell.variables["RUN"])
    assert run["status"] == "SUCCEEDED", (run, applied.log(applied.outputs(stack)["log_group"]))
    report = json.loads(run["output"])
    assert (report["run"], report["status"], report["failed"], report["parts"]) == ("first", "completed", {}, 1), why(
        applied
    )
    counts = report["documents"]
    assert (counts["documents"], counts["left_out"], counts["skipped"]) == (4, 1, {".png": 1})
    with closing(applied.aws.client("s3")) as s3:
        folder = "vectors/run=first/"
        keys = [each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET, Prefix="vectors/")["Contents"]]
        assert keys == [f"{folder}_report.json", f"{folder}part-00000.parquet"]
        files = {key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}
    assert json.loads(files[f"{folder}_report.json"]) == report
    rows = pq.read_table(io.BytesIO(files[f"{folder}part-00000.parquet"])).to_pylist()
    assert len(rows) == report["rows"] == counts["chunks"]
    assert [(row["document"], row["line"], row["id"], row["chunk"], row["text"]) for row in rows] == [
        (f"s3://{BUCKET}/texts/lambda.md", None, None, 0, "# Lambda\n\nA function has 10,240 MB of memory."),
        (f"s3://{BUCKET}/texts/lambda.md", None, None, 1, "# SnapStart\n\nSnapshots are restored."),
        (f"s3://{BUCKET}/texts/lines.jsonl", 0, "first", 0, "The first of many."),
        (f"s3://{BUCKET}/texts/lines.jsonl", 1, "second", 0, "The second one."),
        (f"s3://{BUCKET}/texts/more/plain.txt", None, None, 0, DOCUMENTS["texts/more/plain.txt"]),
    ]
    for row, vector in zip(rows, embedded(applied, [row["text"] for row in rows]), strict=True):
        assert row["vector"] == pytest.approx(vector, abs=1e-5)
    read_as_the_readme_does(files, tmp_path, len(rows))


def why(applied: Applied) -> str:
    """What the batch's worker says of records that have no answer."""
    return applied.log(f"/aws/lambda/{NAME}-batch-worker")


def embedded(applied: Applied, texts: list[str]) -> list[list[float]]:
    """What the encoder's function itself says."""
    with closing(applied.aws.client("lambda")) as functions:
        request = event("POST", "/v1/embeddings", {"input": texts})
        answered = functions.invoke(FunctionName=f"{NAME}-encoder", Qualifier="live", Payload=request)
        answer = json.loads(answered["Payload"].read())
    return [each["embedding"] for each in json.loads(answer["body"])["data"]]


def read_as_the_readme_does(files: dict[str, bytes], folder: Path, rows: int) -> None:
    """From a copy: Arrow's own client of S3 does not know this one's certificate."""
    for key, content in files.items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(content)
    (program,) = [block for kind, block in BLOCKS if kind == "python"]
    names: dict[str, Any] = {}
    exec(program.replace(f"s3://{BUCKET}/vectors/", f"{folder}/vectors/"), names)  # noqa: S102 - our own document
    assert names["vectors"].num_rows == rows
    assert set(names["vectors"]["run"].to_pylist()) == {"first"}


@terraform("embeddings-at-scale", scope="module", name="stack")
def test_a_run_without_texts_ends_without_a_batch(stack: Any, applied: Applied) -> None:
    outputs = applied.outputs(stack)
    with closing(applied.aws.client("s3")) as s3, closing(applied.aws.client("stepfunctions")) as states:
        before = len(states.list_executions(stateMachineArn=outputs["batches"])["executions"])
        for key in DOCUMENTS:
            if key != "texts/picture.png":
                s3.delete_object(Bucket=BUCKET, Key=key)
        started = states.start_execution(stateMachineArn=outputs["state_machine"], name="empty")
        run = ended(applied, started["executionArn"])
        assert run["status"] == "SUCCEEDED", run
        assert json.loads(run["output"])["counts"]["skipped"] == {".png": 1}
        assert len(states.list_executions(stateMachineArn=outputs["batches"])["executions"]) == before


@terraform("embeddings-at-scale", scope="module", name="stack")
def test_the_function_may_do_nothing_else(stack: Any, applied: Applied) -> None:
    outputs = applied.outputs(stack)
    theirs = applied.role_credentials(FUNCTION)
    store, _, prefix = outputs["store"].removeprefix("s3://").partition("/")
    others = tenant_folder("somebody else")
    with closing(applied.aws.client("s3", theirs)) as s3, closing(applied.aws.client("lambda", theirs)) as functions:
        refused = [
            refusal(s3, "put_object", Bucket=BUCKET, Key="texts/new.txt", Body=b""),
            refusal(s3, "get_object", Bucket=BUCKET, Key="other.txt"),
            refusal(s3, "get_object", Bucket=BUCKET, Key="vectors/run=first/_report.json"),
            refusal(s3, "put_object", Bucket=store, Key=f"{prefix}uploads/{others}x.jsonl", Body=b""),
            refusal(s3, "get_object", Bucket=store, Key=f"{prefix}files/{others}file-1"),
            refusal(s3, "put_object", Bucket=store, Key=f"{prefix}configuration.json", Body=b""),
            refusal(functions, "invoke", FunctionName=FUNCTION),
        ]
    assert [code.rpartition(".")[2] for code in refused] == ["AccessDenied"] * 6 + ["AccessDeniedException"]


@terraform("embeddings-at-scale", scope="module", name="stack")
def test_a_second_apply_changes_nothing_a_schedule_can_be_added_and_a_destroy_leaves_nothing(
    stack: Any, applied: Applied
) -> None:
    assert set(applied.changes(stack)) <= {FORGOTTEN}
    scheduled = set(applied.changes(stack, schedule="rate(1 day)")) - {FORGOTTEN}
    assert scheduled == {
        "aws_iam_role.schedule[0]: create",
        "aws_iam_role_policy.schedule[0]: create",
        "aws_scheduler_schedule.this[0]: create",
    }
    done = applied.run(stack, "destroy", "-auto-approve")
    assert done.returncode == 0, done.stderr
    left = applied.leftovers()
    assert [bucket["Name"] for bucket in left.pop("buckets")] == [BUCKET]
    assert left == {}
    with closing(applied.aws.client("stepfunctions")) as states:
        assert states.list_state_machines()["stateMachines"] == []
