"""What a model's address may look like."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lambda_llm.loading.budget import Budget
from lambda_llm.loading.errors import ForbiddenError, InvalidReferenceError
from lambda_llm.loading.sources.base import ModelReference
from lambda_llm.loading.sources.file import FileSource
from lambda_llm.loading.sources.registry import _OPENERS, open_source, register
from lambda_llm.loading.sources.s3 import S3Source, object_location
from lambda_llm.loading.text import read_text


@pytest.fixture(autouse=True)
def _a_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.delenv("AWS_PROFILE", raising=False)


@pytest.fixture
def budget() -> Iterator[Budget]:
    with Budget(10, "test") as running:
        yield running


@pytest.mark.parametrize(
    ("uri", "bucket", "key"),
    [
        ("s3://models/tiny.gguf", "models", "tiny.gguf"),
        ("s3://models/a/b/tiny.gguf", "models", "a/b/tiny.gguf"),
        ("s3://models//tiny.gguf", "models", "/tiny.gguf"),
        ("s3://models/what?.gguf", "models", "what?.gguf"),
        ("s3://models/what?", "models", "what?"),
        ("s3://models/no#1.gguf", "models", "no#1.gguf"),
        ("s3://models/100%25 more.gguf", "models", "100%25 more.gguf"),
        ("s3://models/ü.gguf", "models", "ü.gguf"),
        ("s3://models/a://b", "models", "a://b"),
        ("s3://models/folder/", "models", "folder/"),
    ],
)
def test_a_key_is_taken_as_it_is_written(uri: str, bucket: str, key: str, budget: Budget) -> None:
    assert object_location(uri) == (bucket, key)
    source = open_source(ModelReference(uri), budget)
    source.close()
    assert isinstance(source, S3Source)
    assert source.uri == uri


@pytest.mark.parametrize("uri", ["s3://", "s3://models", "s3://models/", "s3:///tiny.gguf", "S3://models/tiny.gguf"])
def test_an_address_without_bucket_or_key_is_refused(uri: str, budget: Budget) -> None:
    with pytest.raises(InvalidReferenceError, match=rf"'{uri}' names no object in S3: write s3://BUCKET/KEY"):
        open_source(ModelReference(uri), budget)


@pytest.mark.parametrize("uri", ["https://example.com/tiny.gguf", "hf://org/model", "gs://models/tiny.gguf"])
def test_an_unknown_scheme_is_refused_with_those_that_are_known(uri: str, budget: Budget) -> None:
    scheme = uri.partition(":")[0]
    with pytest.raises(
        InvalidReferenceError, match=rf"unknown scheme '{scheme}': give s3://BUCKET/KEY, file:///PATH or a path"
    ):
        open_source(ModelReference(uri), budget)


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///models/tiny.gguf", "/models/tiny.gguf"),
        ("file://localhost/models/tiny.gguf", "/models/tiny.gguf"),
        ("file:/models/tiny.gguf", "/models/tiny.gguf"),
        ("file:///models/a%20tiny%23one.gguf", "/models/a tiny#one.gguf"),
        ("/models/tiny.gguf", "/models/tiny.gguf"),
        ("models/tiny.gguf", "models/tiny.gguf"),
        ("./tiny.gguf", "tiny.gguf"),
        ("a%20tiny#one?.gguf", "a%20tiny#one?.gguf"),
        ("tiny:q4_0.gguf", "tiny:q4_0.gguf"),
    ],
)
def test_a_file_is_named_by_url_or_path(uri: str, path: str, budget: Budget) -> None:
    source = open_source(ModelReference(uri), budget)
    assert isinstance(source, FileSource)
    assert source.uri == path


def test_a_path_as_python_writes_it_names_the_file(tmp_path: Path, budget: Budget) -> None:
    file = tmp_path / "100% a #tiny? ü.gguf"
    assert open_source(ModelReference(file.as_uri()), budget).uri == str(file)


@pytest.mark.parametrize("uri", ["file://models/tiny.gguf", "file://server/models/tiny.gguf"])
def test_a_file_of_another_machine_is_refused(uri: str, budget: Budget) -> None:
    with pytest.raises(InvalidReferenceError, match=rf"'{uri}' names a host: write file:///PATH with three slashes"):
        open_source(ModelReference(uri), budget)


@pytest.mark.parametrize("uri", ["s3://[models/tiny.gguf", "file://[models/tiny.gguf", "http://mod\u2100els/x"])
def test_an_address_that_is_none_is_refused(uri: str, budget: Budget) -> None:
    with pytest.raises(InvalidReferenceError, match="can't be parsed"):
        open_source(ModelReference(uri), budget)


def test_a_missing_profile_is_told(monkeypatch: pytest.MonkeyPatch, budget: Budget) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ForbiddenError, match=r"s3://models/tiny\.gguf .*nobody"):
        open_source(ModelReference("s3://models/tiny.gguf"), budget)


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("s3://models/a/tiny-Q4_0.gguf", "tiny-Q4_0"),
        ("file:///models/tiny.gguf", "tiny"),
        ("tiny.gguf", "tiny"),
        ("/models/tiny.bin", "tiny.bin"),
        ("s3://models/folder/", "folder"),
    ],
)
def test_a_model_has_the_name_of_its_file(uri: str, name: str) -> None:
    assert ModelReference(uri).name == name


def test_a_source_of_another_kind_can_be_registered(tmp_path: Path, budget: Budget) -> None:
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("Be brief.", encoding="utf-8")
    assert read_text(f"shelf://{prompt}", seconds=10) == f"shelf://{prompt}"
    register("shelf", lambda reference, _: FileSource(Path(reference.uri.removeprefix("shelf://"))))
    try:
        assert open_source(ModelReference("shelf:///models/tiny.gguf"), budget).uri == "/models/tiny.gguf"
        assert read_text(f"shelf://{prompt}", seconds=10) == "Be brief."
    finally:
        del _OPENERS["shelf"]
