"""Documents in a real bucket, and a batch of which the test is the batch: it answers what the input asks for."""

import base64
import hashlib
import json
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import pytest

from lambda_llm.aws.s3_uri import parse_object
from lambda_llm.batch_store import layout
from lambda_llm.documents.chunks import Splitter
from lambda_llm.documents.prepare import Prepared, State, prepare
from lambda_llm.documents.settings import Settings
from lambda_llm.openai_types.batches import Batch
from scripts.local_aws.server import LocalAWS

TENANT = "acme"
MODEL = "encoder"
DIMENSION = 8
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:batch"


def numbers(text: str, dimension: int = DIMENSION) -> list[float]:
    """A text's vector: as good as any, and the same each time."""
    digest = hashlib.sha256(text.encode()).digest()
    return [digest[number % len(digest)] / 256 - 0.25 for number in range(dimension)]


def encoded(values: list[float]) -> str:
    """The same as clients of OpenAI's API get it, if they ask for base64."""
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()


def answer(record: Mapping[str, Any], values: Any = None, *, model: str = MODEL) -> dict[str, Any]:
    """A line of an output: by default as the record asked for it."""
    own = numbers(record["body"]["input"])
    if values is None:
        values = encoded(own) if record["body"].get("encoding_format") == "base64" else own
    body = {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": values}],
        "model": model,
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }
    response = {"status_code": 200, "request_id": "r", "body": body}
    return {"id": "batch_req_1", "custom_id": record["custom_id"], "response": response, "error": None}


def refusal(record: Mapping[str, Any], code: str) -> dict[str, Any]:
    """A line of an error file, for a record that nobody could answer."""
    error = {"code": code, "message": "no"}
    return {"id": "batch_req_1", "custom_id": record["custom_id"], "response": None, "error": error}


def jsonl(lines: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@dataclass
class Stage:
    """A bucket with documents below `in/`, a store below `store/`, and room for vectors below `out/`."""

    s3: Any
    bucket: str

    @property
    def settings(self) -> Settings:
        return Settings(
            source=f"s3://{self.bucket}/in/",
            store=f"s3://{self.bucket}/store/",
            machine=MACHINE,
            tenant=TENANT,
            model=MODEL,
            target=f"s3://{self.bucket}/out/",
            size=80,
        )

    def put(self, documents: Mapping[str, str | bytes]) -> None:
        for key, content in documents.items():
            self.s3.put_object(Bucket=self.bucket, Key=f"in/{key}", Body=content)

    def content(self, key: str) -> bytes:
        content: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return content

    def keys(self, prefix: str) -> list[str]:
        return [each["Key"] for each in self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])]

    def prepared(self, run: str = "r1", seconds: Callable[[], float] = lambda: 900.0, **changes: Any) -> Prepared:
        """All invocations of the prepare step, whose state goes through JSON between them."""
        settings = replace(self.settings, **changes)
        splitter = Splitter(settings.size, settings.overlap)
        state: State | None = None
        while True:
            done = prepare(self.s3, settings, splitter, run, state, seconds)
            if isinstance(done, Prepared):
                return done
            state = State.model_validate_json(done.model_dump_json())

    def records(self, prepared: Prepared) -> list[dict[str, Any]]:
        """Lines of a batch's input."""
        return [json.loads(line) for line in self.content(parse_object(prepared.input)[1]).splitlines()]

    def ended(self, prepared: Prepared, answers: list[dict[str, Any]], errors: list[dict[str, Any]]) -> Batch:
        """A batch with these lines in its files, as its finalizer leaves it; without lines there is no file."""
        names: dict[str, Any] = {}
        for name, lines in (("output_file_id", answers), ("error_file_id", errors)):
            if lines:
                names[name] = layout.new_file(1_700_000_000)
                key = f"store/{layout.file(TENANT, names[name])}"
                self.s3.put_object(Bucket=self.bucket, Key=key, Body=jsonl(lines))
        return Batch(
            id=layout.new_batch(1_700_000_000),
            endpoint="/v1/embeddings",
            input_file_id=prepared.input,
            completion_window="24h",
            status="completed",
            created_at=1_700_000_000,
            expires_at=1_700_086_400,
            **names,
        )


@pytest.fixture(scope="session")
def documents_s3(local_aws: LocalAWS) -> Iterator[Any]:
    with closing(local_aws.client("s3")) as s3:
        yield s3


@pytest.fixture
def stage(documents_s3: Any) -> Stage:
    bucket = f"documents-{uuid4().hex}"
    documents_s3.create_bucket(Bucket=bucket)
    return Stage(documents_s3, bucket)
