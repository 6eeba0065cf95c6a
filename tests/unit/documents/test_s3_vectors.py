"""What is put into an index of S3 Vectors, by the model that botocore has of the service."""

import json
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import boto3
import pytest
from botocore.config import Config

from lambda_llm.documents.errors import ExportError
from lambda_llm.documents.places import Place
from lambda_llm.documents.rows import Rows
from lambda_llm.documents.s3_vectors import Index
from lambda_llm.documents.vectors import Vector
from lambda_llm.limits import S3_VECTORS_METADATA_BYTES, S3_VECTORS_PUT, S3_VECTORS_PUT_BYTES
from support.aws_service import AWSService, ServiceError, aws_service

ARN = "arn:aws:s3vectors:us-east-1:123456789012:bucket/my-vectors/index/chunks"


@contextmanager
def index_of(service: AWSService) -> Iterator[Index]:
    client: Any = boto3.client(
        "s3vectors",
        endpoint_url=service.url,
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",  # noqa: S106 - nobody checks it
        config=Config(retries={"mode": "standard", "total_max_attempts": 2}),
    )
    with closing(client):
        yield Index(client, ARN)


def put(rows: Rows, answer: Any = None) -> list[list[dict[str, Any]]]:
    """The vectors of each request."""
    service = AWSService("s3vectors", {"PutVectors": answer or (lambda _: {})})
    with aws_service(service), index_of(service) as index:
        index.write(rows)
    assert {each["indexArn"] for each in service.of("PutVectors")} == {ARN}
    return [each["vectors"] for each in service.of("PutVectors")]


def rows(*places: Place, dimension: int = 2, text: str = "text") -> Rows:
    found = Rows("s3://bucket/in/")
    for number, place in enumerate(places):
        vector = struct.pack(f"<{dimension}f", *(number + 0.1 for _ in range(dimension)))
        found.add(place, text, Vector(vector, "encoder"))
    return found


def test_keys_lead_back_and_metadata_say_the_rest() -> None:
    ((first, second),) = put(rows(Place("a.md", None, None, 3), Place("b.jsonl", 7, "own", 0)))
    assert first["key"] == "s3://bucket/in/a.md#3"
    assert first["metadata"] == {"document": "s3://bucket/in/a.md", "chunk": 3, "text": "text"}
    assert second["key"] == "s3://bucket/in/b.jsonl#7#0"
    assert second["metadata"] == {
        "document": "s3://bucket/in/b.jsonl",
        "chunk": 0,
        "line": 7,
        "id": "own",
        "text": "text",
    }
    for number, vector in enumerate((first, second)):
        sent = vector["data"]["float32"]
        assert struct.pack("<2f", *sent) == struct.pack("<2f", number + 0.1, number + 0.1)


def test_a_request_has_no_more_vectors_than_the_service_takes() -> None:
    sent = put(rows(*(Place("a.txt", None, None, number) for number in range(2 * S3_VECTORS_PUT + 1))))
    assert [len(each) for each in sent] == [S3_VECTORS_PUT, S3_VECTORS_PUT, 1]
    keys = [vector["key"] for each in sent for vector in each]
    assert keys == [f"s3://bucket/in/a.txt#{number}" for number in range(2 * S3_VECTORS_PUT + 1)]


def test_nor_more_bytes() -> None:
    places = [Place("a.txt", None, None, number) for number in range(300)]
    sent = put(rows(*places, dimension=4096, text="漢" * 5000))
    assert len(sent) > 1
    for vectors in sent:
        assert len(json.dumps({"indexArn": ARN, "vectors": vectors})) <= S3_VECTORS_PUT_BYTES
    assert sum(len(each) for each in sent) == len(places)


def test_a_text_that_is_too_large_for_metadata_is_left_out() -> None:
    ((vector,),) = put(rows(Place("a.txt", None, None, 0), text="x" * S3_VECTORS_METADATA_BYTES))
    assert vector["metadata"] == {"document": "s3://bucket/in/a.txt", "chunk": 0}


def test_more_numbers_than_the_service_takes_are_refused() -> None:
    with pytest.raises(ExportError, match="S3 Vectors takes 4096 numbers a vector, and the model's have 4097"):
        put(rows(Place("a.txt", None, None, 0), dimension=4097))


def test_too_much_at_once_is_sent_again() -> None:
    answers = iter([ServiceError("TooManyRequestsException"), None])

    def busy(_: dict[str, Any]) -> dict[str, Any]:
        if error := next(answers):
            raise error
        return {}

    assert len(put(rows(Place("a.txt", None, None, 0)), busy)) == 2


def test_a_refusal_is_a_sentence() -> None:
    def refused(_: dict[str, Any]) -> dict[str, Any]:
        raise ServiceError("ValidationException", "dimension")

    with pytest.raises(ExportError, match=rf"^Vectors can't be put into {ARN} \(.*ValidationException.*dimension 2"):
        put(rows(Place("a.txt", None, None, 0)), refused)
