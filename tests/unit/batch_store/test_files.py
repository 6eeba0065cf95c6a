"""Files of tenants in a real bucket."""

import io
from collections.abc import Callable
from contextlib import closing
from typing import Any

import httpx2
import pytest

from lambda_llm.aws import clients
from lambda_llm.batch_store import layout
from lambda_llm.batch_store.errors import InputError, NoSuchError, StoreError
from lambda_llm.batch_store.files import NAME_BYTES, Files
from support.batch_store import LINES, Place

NAMES = ["in.jsonl", "Anfragen für März.jsonl", "質問.jsonl", "a/b\\c?d=e&f%41 \u2028.jsonl", "é" * (NAME_BYTES // 2)]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_as_it_was_given(place: Place, name: str) -> None:
    made = place.files.create(place.tenant, LINES, name, "batch", 3600)
    assert made == place.files.get(place.tenant, made.id)
    assert made.model_dump() == {
        "id": made.id,
        "object": "file",
        "bytes": len(LINES),
        "created_at": int(place.now),
        "expires_at": int(place.now) + 3600,
        "filename": name,
        "purpose": "batch",
        "status": "processed",
    }
    with closing(place.files.open(place.tenant, made.id)) as body:
        assert body.read() == LINES


def test_a_large_file_is_sent_in_parts(place: Place) -> None:
    content = bytes(range(256)) * (80 * 1024)
    made = place.files.create(place.tenant, io.BytesIO(content), "in.jsonl", "batch")
    source = place.files.source(place.tenant, made.id)
    assert (made.bytes, made.expires_at, made.filename) == (len(content), None, "in.jsonl")
    assert source.etag.strip('"').partition("-")[2] == "3"
    with closing(place.files.open(place.tenant, made.id)) as body:
        assert body.read() == content


@pytest.mark.parametrize("name", ["", "a" * (NAME_BYTES + 1), "é" * (NAME_BYTES // 2 + 1)])
def test_a_name_must_have_its_place_in_the_metadata(place: Place, name: str) -> None:
    with pytest.raises(InputError, match=r"name must have 1 to 255 bytes") as caught:
        place.files.create(place.tenant, LINES, name, "batch")
    assert caught.value.param == "file"
    assert place.keys("files/") == []


def test_whoever_writes_the_object_itself_makes_a_file_of_it(place: Place) -> None:
    """As the finalizer does it."""
    file_id = layout.new_file(place.now, "0" * 16)
    said = place.files.metadata("out für alle.jsonl", "batch_output", int(place.now) + 10)
    place.put(layout.file(place.tenant, file_id), b"{}\n", Metadata=said)
    found = place.files.get(place.tenant, file_id)
    assert (found.filename, found.purpose, found.bytes) == ("out für alle.jsonl", "batch_output", 3)
    assert (found.created_at, found.expires_at) == (int(place.now), int(place.now) + 10)


def test_a_file_is_its_tenant_s_until_it_is_deleted_or_expires(place: Place) -> None:
    files = place.files
    kept = files.create(place.tenant, LINES, "kept", "batch").id
    deleted = files.create(place.tenant, LINES, "deleted", "batch").id
    expired = files.create(place.tenant, LINES, "expired", "batch", 3600).id
    place.now += 3599
    assert files.get(place.tenant, expired).filename == "expired"
    place.now += 1
    files.delete(place.tenant, deleted)
    cases = [(place.other, kept), (place.tenant, deleted), (place.tenant, expired), (place.tenant, "../kept")]
    for tenant, file_id in cases:
        for call in (files.get, files.open, files.delete, files.source, lambda who, what: files.url(who, what, 9)):
            with pytest.raises(NoSuchError, match="There is no file") as caught:
                call(tenant, file_id)
            assert caught.value.param == ("input_file_id" if call == files.source else "file_id")
    assert [each.id for each in files.list(place.tenant)[0]] == [kept]
    assert files.list(place.other) == ([], False)
    assert files.get(place.tenant, kept).filename == "kept"


def test_what_is_no_file_is_not_there(place: Place) -> None:
    file_id = layout.new_file(place.now)
    place.put(layout.file(place.tenant, file_id), b"")
    place.put(layout.files(place.tenant) + "notes.txt", b"")
    with pytest.raises(NoSuchError):
        place.files.get(place.tenant, file_id)
    assert place.files.list(place.tenant) == ([], False)


def pages(files: Files, tenant: str, limit: int, **given: Any) -> list[list[str]]:
    found, more, after = [], True, None
    while more:
        page, more = files.list(tenant, after=after, limit=limit, **given)
        found.append([each.filename for each in page])
        after = page[-1].id if page else None
    return found


def test_pages_have_every_file_once(place: Place) -> None:
    files = place.files
    for number in range(7):
        place.now += 0.01  # ids tell milliseconds apart
        files.create(place.tenant, LINES, str(number), "batch" if number % 3 else "batch_output")
    assert pages(files, place.tenant, 3) == [["6", "5", "4"], ["3", "2", "1"], ["0"]]
    assert pages(files, place.tenant, 7) == [["6", "5", "4", "3", "2", "1", "0"]]
    assert pages(files, place.tenant, 3, order="asc") == [["0", "1", "2"], ["3", "4", "5"], ["6"]]
    assert pages(files, place.tenant, 2, purpose="batch") == [["5", "4"], ["2", "1"]]
    assert pages(files, place.tenant, 2, purpose="batch_output", order="asc") == [["0", "3"], ["6"]]
    with pytest.raises(InputError, match="after must be the id of a file"):
        files.list(place.tenant, after="batch_1")


def test_more_files_than_s3_lists_at_once_are_listed(place: Place) -> None:
    said = place.files.metadata("f", "batch", None)
    for number in range(1003):
        place.put(layout.file(place.tenant, layout.new_file(place.now, f"{number:016x}")), Metadata=said)
    found, more = place.files.list(place.tenant, limit=2000)
    assert (len(found), more) == (1003, False)
    assert found[::-1] == place.files.list(place.tenant, limit=2000, order="asc")[0]


def test_an_address_gives_the_content_to_anybody_for_a_time(place: Place) -> None:
    made = place.files.create(place.tenant, LINES, 'out "1" für.jsonl', "batch")
    answer = httpx2.get(place.files.url(place.tenant, made.id, 60))
    assert (answer.status_code, answer.content) == (200, LINES)
    said = answer.headers["content-disposition"]
    assert said == "attachment; filename*=UTF-8''out%20%221%22%20f%C3%BCr.jsonl"
    other = place.uploaded(name="another")
    theirs = place.files.url(place.tenant, made.id, 60).replace(made.id, other)
    longer = place.files.url(place.tenant, made.id, 60).replace("X-Amz-Expires=60", "X-Amz-Expires=600")
    assert [httpx2.get(each).status_code for each in (theirs, longer)] == [403, 403]


def test_an_address_names_its_region_and_can_be_of_what_kms_encrypts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")  # of a local AWS
    with closing(clients.create("s3", "eu-central-1", signs_urls=True)) as s3:
        url = httpx2.URL(s3.generate_presigned_url("get_object", Params={"Bucket": "store-1", "Key": "k"}))
    assert url.host == "store-1.s3.eu-central-1.amazonaws.com"
    assert url.params["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"


def test_the_input_of_a_batch_is_a_file_of_its_tenant(place: Place) -> None:
    file_id = place.uploaded(LINES * 3)
    source = place.files.source(place.tenant, file_id)
    head = place.s3.head_object(Bucket=source.bucket, Key=source.key)
    assert (source.bucket, source.size, source.etag) == (place.bucket, 3 * len(LINES), head["ETag"])
    output = place.files.create(place.tenant, LINES, "out", "batch_output").id
    with pytest.raises(InputError, match="is a batch's output") as caught:
        place.files.source(place.tenant, output)
    assert caught.value.param == "input_file_id"


def test_or_an_object_below_the_tenant_s_prefix(place: Place) -> None:
    key = f"{layout.uploads(place.tenant)}a folder/Größe?.jsonl"
    place.put(key, LINES)
    uri = f"{place.files.uploads(place.tenant)}a folder/Größe?.jsonl"
    source = place.files.source(place.tenant, uri)
    assert (source.bucket, source.key, source.size) == (place.bucket, place.prefix + key, len(LINES))
    theirs = [
        place.files.uploads(place.other) + "in.jsonl",
        place.files.uploads(place.tenant).replace(place.bucket, "another") + "in.jsonl",
        place.files.uploads(place.tenant),
        f"{place.files.uploads(place.tenant)}../{place.other}/in.jsonl",
        f"{place.uri}batches/in.jsonl",
        "s3://",
        "s3://arn:aws:s3:::bucket/key",
    ]
    for each in theirs:
        with pytest.raises(InputError) as caught:
            place.files.source(place.tenant, each)
        assert caught.value.param == "input_file_id"
    with pytest.raises(NoSuchError, match=r"There is no object s3://.* upload it") as missing:
        place.files.source(place.tenant, place.files.uploads(place.tenant) + "missing.jsonl")
    assert missing.value.param == "input_file_id"


@pytest.mark.parametrize("kind", [bytes, io.BytesIO])
def test_what_s3_refuses_is_one_sentence(place: Place, kind: Callable[[bytes], Any]) -> None:
    files = Files("s3://there-is-no-such-bucket/", place.s3)
    with pytest.raises(StoreError, match=r"^Files and batches below s3://there-is-no-such-bucket/ can't be read"):
        files.create(place.tenant, kind(LINES), "in", "batch")
    with pytest.raises(StoreError):
        files.list(place.tenant)
