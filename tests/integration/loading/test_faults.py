"""What a store, a network and a clock can do to a load: it ends in the object's bytes or in one sentence."""

import json
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable
from hashlib import sha256
from http.client import HTTPResponse
from itertools import pairwise
from pathlib import Path
from queue import Queue

import pytest
import tenacity

from lambda_llm.gguf import header
from lambda_llm.gguf.errors import CorruptError, DoesNotFitError, NotGGUFError, UnsupportedModelError
from lambda_llm.gguf.options import ModelOptions
from lambda_llm.limits import MIB
from lambda_llm.loading import load as loading
from lambda_llm.loading.errors import (
    ChangedError,
    ForbiddenError,
    NotFoundError,
    OutOfTimeError,
    UnavailableError,
    UnverifiableError,
)
from lambda_llm.loading.load import HEAD_BYTES, inspect
from lambda_llm.loading.retries import ATTEMPTS
from lambda_llm.loading.sources import s3 as s3_module
from lambda_llm.loading.sources.base import ModelReference
from lambda_llm.telemetry import logs
from support.faulty_s3 import (
    SLOW_DOWN,
    Exchange,
    Fault,
    FaultyS3,
    Request,
    after,
    always,
    announce_less,
    drip,
    first,
    flip,
    hang_up,
    is_part,
    late,
    more,
    refuse,
    repeat,
    reset,
    say,
    shifted,
    shorten,
    stall,
    stall_after,
    then,
    whole,
)
from support.leftovers import leftovers
from support.loads import PART, content, load_model
from support.models import Shape, padded, write_llama

Serve = Callable[..., FaultyS3]
HEAD_RANGE = (0, HEAD_BYTES - 1)
REAL_PAUSE = tenacity.wait_random_exponential

pytestmark = pytest.mark.usefixtures("no_pauses", "parts_of_one_size")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection counts as stalled soon, so that a test need not wait."""
    monkeypatch.setattr(s3_module, "SOCKET_SECONDS", 0.3)


def every_get(request: Request) -> bool:
    return request.method == "GET"


def every_request(_: Request) -> bool:
    return True


# -- Nothing goes wrong -----------------------------------------------------------------------------


def test_every_byte_is_asked_for_once_and_of_one_version_only(serve: Serve, large: bytes) -> None:
    s3 = serve(large)
    loaded = load_model(s3.uri)
    assert content(loaded) == large
    assert loaded.download.size == len(large)
    assert loaded.download.retries == 0
    assert loaded.download.checksums == ("CRC64NVME",)
    for request in s3.gets:
        assert request.headers["if-match"] == s3.newest.etag
        assert request.version_id == "version-1"
    ranges = sorted(request.range for request in s3.gets if request.range)
    assert len(ranges) == len(s3.gets)
    assert ranges[0][0] == 0
    assert ranges[-1][1] == len(large) - 1
    assert all(end + 1 == start for (_, end), (start, _) in pairwise(ranges))


def test_what_was_loaded_can_not_be_changed_any_more(serve: Serve, small: bytes) -> None:
    s3 = serve(small)
    with load_model(s3.uri).file as file, Path(file.path).open("r+b", buffering=0) as opened:
        with pytest.raises(PermissionError):
            opened.write(b"x")
        with pytest.raises(PermissionError):
            opened.truncate(0)


def test_the_header_is_read_before_anything_else(serve: Serve, large: bytes) -> None:
    s3 = serve(large)
    load_model(s3.uri).file.close()
    assert [request.method for request in s3.requests[:2]] == ["HEAD", "GET"]
    assert s3.gets[0].range == HEAD_RANGE


def test_an_object_without_versions_is_held_by_its_etag(serve: Serve, small: bytes) -> None:
    s3 = serve(small, versioned=False)
    loaded = load_model(s3.uri)
    assert content(loaded) == small
    assert loaded.inspection.described.version_id is None
    assert {request.version_id for request in s3.requests} == {None}
    assert {request.headers["if-match"] for request in s3.gets} == {s3.newest.etag}


@pytest.mark.parametrize(
    "size",
    [HEAD_BYTES - 1, HEAD_BYTES, HEAD_BYTES + 1, PART, HEAD_BYTES + PART - 1, HEAD_BYTES + PART, HEAD_BYTES + PART + 1],
)
def test_sizes_around_the_edges_of_parts_are_whole(serve: Serve, small: bytes, size: int) -> None:
    model = padded(small, size)
    s3 = serve(model)
    assert content(load_model(s3.uri)) == model
    assert len(s3.gets) == 1 + -(-max(size - HEAD_BYTES, 0) // PART)


def test_a_file_smaller_than_the_first_read_takes_one_request(serve: Serve, small: bytes) -> None:
    s3 = serve(small)
    assert content(load_model(s3.uri)) == small
    assert [request.range for request in s3.gets] == [(0, len(small) - 1)]


def test_a_long_vocabulary_takes_a_second_read_and_no_byte_twice(
    serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> None:
    model = write_llama(tmp_path_factory.mktemp("model") / "words.gguf", Shape(vocabulary=60_000)).read_bytes()
    s3 = serve(model)
    loaded = load_model(s3.uri)
    assert content(loaded) == model
    assert loaded.inspection.header.vocabulary == 60_000
    assert [request.range for request in s3.gets[:2]] == [HEAD_RANGE, (HEAD_BYTES, 8 * HEAD_BYTES - 1)]


def test_no_more_is_read_than_a_header_may_take(serve: Serve, small: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "HEAD_BYTES", 500)
    for module in (loading, header):
        monkeypatch.setattr(module, "HEADER_MAX_BYTES", 5000)
    s3 = serve(small)
    with pytest.raises(NotGGUFError, match=r"s3://models/tiny\.gguf: The GGUF header is damaged"):
        load_model(s3.uri)
    assert [request.range for request in s3.gets] == [(0, 499), (500, 3999), (4000, 4999)]


def test_inspecting_reads_the_header_only(serve: Serve, large: bytes) -> None:
    s3 = serve(large)
    inspection = inspect(ModelReference(s3.uri))
    assert inspection.described.size == len(large)
    assert inspection.described.version_id == "version-1"
    assert inspection.header.layers == 3
    assert [request.range for request in s3.gets] == [HEAD_RANGE]


def test_progress_never_goes_back_and_ends_at_the_size(serve: Serve, large: bytes) -> None:
    s3 = serve(large)
    s3.plan = lambda _: reset(after=1_100_000) if len(s3.gets) in {2, 3, 4} else drip(2 * MIB, 0.1)
    seen: list[tuple[int, int]] = []
    threads: set[int] = set()

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        threads.add(threading.get_ident())

    load_model(s3.uri, progress=progress).file.close()
    done = [each for each, _ in seen]
    assert done == sorted(done)
    assert done[0] >= HEAD_BYTES
    assert len(set(done)) > 2
    assert done[-1] == len(large)
    assert {total for _, total in seen} == {len(large)}
    assert threads == {threading.get_ident()}


@pytest.mark.usefixtures("impatient")
def test_progress_begins_with_what_the_header_took(serve: Serve, large: bytes) -> None:
    s3 = serve(large)
    s3.plan = always(stall)

    def progress(done: int, total: int) -> None:
        assert (done, total) == (HEAD_BYTES, len(large))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_model(s3.uri, progress=progress)


def test_what_was_loaded_is_told_in_one_line_of_the_log(
    serve: Serve, large: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    s3 = serve(large)
    s3.plan = first(2, SLOW_DOWN)
    logger = logging.getLogger("lambda_llm")
    before = logger.handlers[:], logger.level, logger.propagate
    logger.addHandler(logs.handler())
    logger.setLevel(logging.INFO)
    try:
        load_model(s3.uri, sha256=sha256(large).hexdigest()).file.close()
    finally:
        logger.handlers[:], logger.level, logger.propagate = before
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert told["message"].startswith(f"loaded {s3.uri}: {len(large)} bytes in ")
    assert told["message"].endswith("2 retries, verified by CRC64NVME and SHA-256")
    assert told["uri"] == s3.uri
    assert told["version_id"] == "version-1"
    assert told["bytes"] == len(large)
    assert told["seconds"] > 0
    assert told["gb_per_second"] > 0
    assert told["retries"] == 2
    assert told["checksums"] == ["CRC64NVME", "SHA-256"]


# -- What S3 refuses --------------------------------------------------------------------------------


def test_a_missing_permission_names_the_object_and_the_permission(serve: Serve, small: bytes) -> None:
    s3 = serve(small)
    s3.plan = always(refuse(403, "AccessDenied", "Access Denied"), every_request)
    with pytest.raises(ForbiddenError, match=r"s3://models/tiny\.gguf .*403 AccessDenied.*s3:GetObject "):
        load_model(s3.uri)


def test_a_permission_that_is_lost_midway_is_no_reason_to_try_again(serve: Serve, large: bytes) -> None:
    s3 = serve(large)
    s3.plan = after(1, refuse(403, "AccessDenied", "Access Denied"))
    with pytest.raises(ForbiddenError, match="AccessDenied"):
        load_model(s3.uri)
    asked = [request.range for request in s3.gets]
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "ExpiredToken"),
        (403, "InvalidAccessKeyId"),
        (403, "SignatureDoesNotMatch"),
        (400, "InvalidToken"),
        (400, "TokenRefreshRequired"),
    ],
)
def test_credentials_that_are_not_valid_are_to_be_renewed(serve: Serve, small: bytes, status: int, code: str) -> None:
    s3 = serve(small)
    s3.plan = always(refuse(status, code, "The provided token has expired."), every_request)
    with pytest.raises(ForbiddenError, match=rf"credentials for s3://models/tiny\.gguf are not valid.*{code}.*renew"):
        load_model(s3.uri)


def test_credentials_that_expire_midway_are_told_with_the_bytes(serve: Serve, large: bytes) -> None:
    s3 = serve(large)
    s3.plan = after(2, refuse(400, "ExpiredToken", "The provided token has expired."))
    with pytest.raises(
        ForbiddenError,
        match=r"credentials for s3://models/tiny\.gguf .* not valid \(400 ExpiredToken: .* bytes \d+-\d+\): renew them",
    ):
        load_model(s3.uri)


def test_credentials_that_are_about_to_expire_are_renewed_midway(
    serve: Serve, large: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    s3 = serve(large)
    script = tmp_path / "credentials"
    # Always about to expire, so that each request asks for new ones.
    script.write_text(
        "#!/bin/sh\n"
        f"echo x >> {tmp_path}/asked\n"
        f"number=$(wc -l < {tmp_path}/asked)\n"
        'expires=$(date -u -d "+30 seconds" +%Y-%m-%dT%H:%M:%SZ)\n'
        'echo "{\\"Version\\": 1, \\"AccessKeyId\\": \\"AKID$number\\", \\"SecretAccessKey\\": \\"x\\", '
        '\\"SessionToken\\": \\"x\\", \\"Expiration\\": \\"$expires\\"}"\n'
    )
    script.chmod(0o755)
    (tmp_path / "config").write_text(f"[default]\nregion = eu-central-1\ncredential_process = {script}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    assert content(load_model(s3.uri)) == large
    signed_with = {request.headers["authorization"].split("Credential=")[1].split("/")[0] for request in s3.requests}
    assert len(signed_with) > 1


def test_no_credentials_at_all_are_told_apart(serve: Serve, small: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    s3 = serve(small)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ForbiddenError, match=r"no credentials to read s3://models/tiny\.gguf"):
        load_model(s3.uri)
    assert s3.requests == []


def test_an_unknown_version_is_named(serve: Serve, small: bytes) -> None:
    s3 = serve(small)
    with pytest.raises(NotFoundError, match=r"s3://models/tiny\.gguf has no version 'version-9'"):
        load_model(s3.uri, version_id="version-9")


def test_a_delete_marker_is_no_object(serve: Serve, small: bytes) -> None:
    s3 = serve(small)
    s3.plan = always(refuse(405, "MethodNotAllowed"), every_request)
    with pytest.raises(NotFoundError, match=r"no object s3://models/tiny\.gguf \(version version-1\)"):
        load_model(s3.uri, version_id="version-1")


def test_an_object_that_may_be_read_but_not_described_is_not_loaded(serve: Serve, small: bytes) -> None:
    s3 = serve(small)
    s3.plan = always(refuse(403, "AccessDenied"), lambda request: request.method == "HEAD")
    with pytest.raises(UnavailableError, match=r"refuses HEAD on s3://models/tiny\.gguf but allows GET"):
        load_model(s3.uri)


# -- The object is not what it should be ------------------------------------------------------------


def test_an_older_version_is_loaded_when_it_is_pinned(serve: Serve, small: bytes, large: bytes) -> None:
    s3 = serve(small)
    s3.put(large)
    loaded = load_model(s3.uri, version_id="version-1")
    assert content(loaded) == small
    assert {request.version_id for request in s3.requests} == {"version-1"}


def test_a_version_that_arrives_meanwhile_does_not_matter(serve: Serve, large: bytes) -> None:
    s3 = serve(large)
    s3.plan = first(1, then(lambda s3: s3.put(b"something else")))
    assert content(load_model(s3.uri)) == large


def test_an_object_replaced_meanwhile_is_noticed(serve: Serve, large: bytes) -> None:
    s3 = serve(large, versioned=False)
    s3.plan = first(1, then(lambda s3: s3.put(padded(b"", len(large)))))
    with pytest.raises(ChangedError, match=r"s3://models/tiny\.gguf was replaced while .*412 .*bytes \d+-\d+\)"):
        load_model(s3.uri)


def test_an_object_that_shrinks_meanwhile_is_noticed(serve: Serve, large: bytes) -> None:
    s3 = serve(large)
    s3.plan = first(1, then(lambda s3: s3.cut(HEAD_BYTES)))
    with pytest.raises(ChangedError, match=r"s3://models/tiny\.gguf .* is shorter than it was .*416 .*bytes \d+-\d+\)"):
        load_model(s3.uri)


def test_a_truncated_object_is_refused_before_the_download(serve: Serve, large: bytes) -> None:
    s3 = serve(large[:-1000])
    with pytest.raises(
        CorruptError, match=r"s3://models/tiny\.gguf: The file is truncated: .*39,003,264 bytes.*39,002,264"
    ):
        load_model(s3.uri)
    assert [request.range for request in s3.gets] == [HEAD_RANGE]


def test_an_empty_object_is_refused(serve: Serve) -> None:
    s3 = serve(b"")
    with pytest.raises(CorruptError, match=r"s3://models/tiny\.gguf is empty"):
        load_model(s3.uri)
    assert s3.gets == []


@pytest.mark.parametrize("position", [100_000, HEAD_BYTES, HEAD_BYTES + PART + 7, -1])
def test_one_flipped_bit_in_the_store_is_noticed(serve: Serve, large: bytes, position: int) -> None:
    s3 = serve(large)
    s3.damage(position)
    with pytest.raises(CorruptError, match=r"s3://models/tiny\.gguf is damaged or was swapped: its CRC64NVME is "):
        load_model(s3.uri)


@pytest.mark.parametrize("position", [HEAD_BYTES - 1, HEAD_BYTES + PART - 1, 39_003_263])
def test_one_flipped_bit_on_the_way_is_noticed(serve: Serve, large: bytes, position: int) -> None:
    s3 = serve(large)
    s3.plan = always(flip(position), every_get)
    with pytest.raises(CorruptError, match=r"s3://models/tiny\.gguf is damaged .* CRC64NVME"):
        load_model(s3.uri)


def test_an_object_of_another_size_than_pinned_is_refused_unread(serve: Serve, small: bytes) -> None:
    s3 = serve(small)
    with pytest.raises(ChangedError, match=rf"tiny\.gguf has {len(small):,} bytes, but 1,234,567 are pinned"):
        load_model(s3.uri, size=1_234_567)
    assert s3.gets == []


def test_another_object_of_the_same_size_than_pinned_is_refused(serve: Serve, large: bytes) -> None:
    pinned = sha256(large).hexdigest()
    swapped = large[:-5] + b"other"
    s3 = serve(swapped)
    with pytest.raises(
        CorruptError, match=rf"SHA-256 is {sha256(swapped).hexdigest()}, expected {pinned}.*correct the pin"
    ):
        load_model(s3.uri, size=len(large), sha256=pinned)


@pytest.mark.parametrize("spell", [str.lower, str.upper])
def test_both_checksums_are_compared_where_both_are_known(
    serve: Serve, large: bytes, spell: Callable[[str], str]
) -> None:
    s3 = serve(large)
    loaded = load_model(s3.uri, size=len(large), sha256=spell(sha256(large).hexdigest()))
    assert content(loaded) == large
    assert loaded.download.checksums == ("CRC64NVME", "SHA-256")


@pytest.mark.parametrize("checksum", [None, "COMPOSITE"])
def test_nothing_is_downloaded_that_could_not_be_verified(serve: Serve, small: bytes, checksum: str | None) -> None:
    s3 = serve(small, checksum=checksum)
    with pytest.raises(
        UnverifiableError,
        match=r"no CRC64NVME checksum of the whole of s3://models/tiny\.gguf.*LAMBDA_LLM_MODEL_SHA256",
    ):
        load_model(s3.uri)
    assert s3.gets == []


@pytest.mark.parametrize("checksum", [None, "COMPOSITE"])
def test_a_pinned_sha256_stands_in_for_the_stores_checksum(serve: Serve, large: bytes, checksum: str | None) -> None:
    s3 = serve(large, checksum=checksum)
    loaded = load_model(s3.uri, sha256=sha256(large).hexdigest())
    assert content(loaded) == large
    assert loaded.download.checksums == ("SHA-256",)


def test_data_that_comes_twice_is_noticed(serve: Serve, large: bytes) -> None:
    s3 = serve(large)
    s3.plan = first(1, repeat(1_000_000))
    with pytest.raises(
        CorruptError, match=r"s3://models/tiny\.gguf is damaged .* CRC64NVME is \w{16}, expected \w{16}"
    ):
        load_model(s3.uri)


def test_more_bytes_than_announced_are_not_taken_for_the_next_answer(serve: Serve, large: bytes) -> None:
    s3 = serve(large)
    s3.plan = first(2, more(100_000))
    assert content(load_model(s3.uri)) == large


def test_a_checksum_of_something_else_is_noticed(serve: Serve, large: bytes) -> None:
    s3 = serve(large)
    s3.plan = always(say(x_amz_checksum_crc64nvme="AAAAAAAAAAA="), lambda request: request.method == "HEAD")
    with pytest.raises(CorruptError, match=r"s3://models/tiny\.gguf is damaged .* expected 0000000000000000; upload"):
        load_model(s3.uri)


def test_a_checksum_that_is_none_is_not_taken_for_one(serve: Serve, small: bytes) -> None:
    s3 = serve(small)
    s3.plan = always(say(x_amz_checksum_crc64nvme="what?"), lambda request: request.method == "HEAD")
    with pytest.raises(UnavailableError, match=r"s3://models/tiny\.gguf.*'what\?'"):
        load_model(s3.uri)


# -- The model is not one that can run --------------------------------------------------------------


def test_another_kind_of_file_is_refused_after_its_first_bytes(serve: Serve, large: bytes) -> None:
    s3 = serve(b"PK\x03\x04" + large)
    with pytest.raises(NotGGUFError, match=r"s3://models/tiny\.gguf: This is not a GGUF file \(it begins with b'PK"):
        load_model(s3.uri)
    assert [request.range for request in s3.gets] == [HEAD_RANGE]


def test_a_damaged_header_is_refused_before_the_download(serve: Serve, large: bytes) -> None:
    s3 = serve(large[:8] + b"\xff" * 8 + large[16:])
    with pytest.raises(NotGGUFError, match=r"s3://models/tiny\.gguf: The GGUF header is damaged"):
        load_model(s3.uri)
    assert [request.range for request in s3.gets] == [HEAD_RANGE]


def test_a_vocabulary_alone_is_no_model(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> None:
    s3 = serve(write_llama(tmp_path_factory.mktemp("model") / "words.gguf", tensors=False).read_bytes())
    with pytest.raises(
        UnsupportedModelError, match=r"s3://models/tiny\.gguf: The file has no weights, only a vocabulary"
    ):
        load_model(s3.uri)


def test_a_model_too_large_for_the_memory_is_refused_before_the_download(serve: Serve, large: bytes) -> None:
    s3 = serve(large)
    with pytest.raises(
        DoesNotFitError,
        match=r"s3://models/tiny\.gguf: The model does not fit: weights 37\.2 MB.*process 256 MB.*of 286 MB",
    ):
        load_model(s3.uri, memory=300_000_000)
    assert [request.range for request in s3.gets] == [HEAD_RANGE]


def test_a_context_longer_than_the_models_is_refused_before_the_download(serve: Serve, large: bytes) -> None:
    s3 = serve(large)
    with pytest.raises(
        UnsupportedModelError,
        match=r"s3://models/tiny\.gguf: A context of 513 tokens .* 512 that the model was trained for",
    ):
        load_model(s3.uri, options=ModelOptions(context_length=513))
    assert [request.range for request in s3.gets] == [HEAD_RANGE]


# -- The network fails for a while ------------------------------------------------------------------


PASSING: dict[str, Fault] = {
    "breaks midway": reset(after=700_000),
    "is closed midway": shorten(after=700_000),
    "is closed unanswered": hang_up,
    "is told to slow down": SLOW_DOWN,
    "meets an internal error": refuse(500, "InternalError", "We encountered an internal error."),
    "meets a gateway's error page": refuse(502, "", ""),
    "is told of too many requests": refuse(429, "TooManyRequests", "Please retry"),
    "times out at the other end": refuse(400, "RequestTimeout", "Idle connections will be closed."),
    "brings another range": shifted,
    "brings fewer bytes than its range": announce_less(700_000),
    "brings no byte of its range": announce_less(0),
    "brings all that there is": whole,
    "is answered late": late(0.2),
}


@pytest.mark.parametrize("name", PASSING)
def test_a_load_survives_when_a_request(serve: Serve, large: bytes, name: str) -> None:
    s3 = serve(large)
    s3.plan = first(3, PASSING[name])
    loaded = load_model(s3.uri)
    assert content(loaded) == large
    assert loaded.download.retries == (0 if name in {"brings all that there is", "is answered late"} else 3)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", [stall, stall_after(700_000)], ids=["from the start", "midway"])
def test_a_load_survives_a_connection_that_stalls(serve: Serve, large: bytes, fault: Fault) -> None:
    s3 = serve(large)
    s3.plan = first(2, fault)
    loaded = load_model(s3.uri)
    assert content(loaded) == large
    assert loaded.download.retries >= 2


def test_a_load_survives_a_damaged_tls_record(serve: Serve, large: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    s3 = serve(large)
    really_read = HTTPResponse.read
    damage = [ssl.SSLError(1, "[SSL: DECRYPTION_FAILED_OR_BAD_RECORD_MAC] decryption failed or bad record mac")]

    # As TLS reports it; a server with a certificate of its own would need more than Python.
    def read(self: HTTPResponse, count: int | None = None) -> bytes:
        if damage and threading.current_thread().name.startswith("lambda-llm-load"):
            raise damage.pop()
        return really_read(self, count)

    monkeypatch.setattr(HTTPResponse, "read", read)
    loaded = load_model(s3.uri)
    assert content(loaded) == large
    assert loaded.download.retries == 1


def test_a_broken_request_goes_on_where_it_broke(serve: Serve, small: bytes) -> None:
    model = padded(small, HEAD_BYTES + PART)
    s3 = serve(model)
    s3.plan = first(1, announce_less(700_000))
    assert content(load_model(s3.uri)) == model
    assert [request.range for request in s3.gets][1:] == [
        (HEAD_BYTES, len(model) - 1),
        (HEAD_BYTES + 700_000, len(model) - 1),
    ]


def test_tries_that_bring_something_are_not_counted(serve: Serve, small: bytes) -> None:
    model = padded(small, HEAD_BYTES + PART)
    s3 = serve(model)
    s3.plan = first(3 * ATTEMPTS, announce_less(100_000))
    loaded = load_model(s3.uri)
    assert content(loaded) == model
    assert loaded.download.retries == 3 * ATTEMPTS


def test_the_description_and_the_header_are_tried_again_too(serve: Serve, small: bytes) -> None:
    s3 = serve(small)
    s3.plan = lambda _: SLOW_DOWN if len(s3.requests) in {1, 2, 4, 5} else None
    assert content(load_model(s3.uri)) == small
    assert [request.method for request in s3.requests] == ["HEAD"] * 3 + ["GET"] * 3


def test_pauses_between_tries_are_real(serve: Serve, large: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenacity, "wait_random_exponential", REAL_PAUSE)
    s3 = serve(large)
    s3.plan = first(2, SLOW_DOWN)
    loaded = load_model(s3.uri)
    assert content(loaded) == large
    assert loaded.download.retries == 2


def test_a_store_without_ranges_is_read_in_one_piece(serve: Serve, large: bytes) -> None:
    s3 = serve(large)
    s3.plan = always(whole, every_get)
    assert content(load_model(s3.uri)) == large
    assert [request.range for request in s3.gets] == [HEAD_RANGE, (HEAD_BYTES, len(large) - 1)]


def test_a_store_without_ranges_that_breaks_is_read_on(serve: Serve, large: bytes) -> None:
    s3 = serve(large)

    def whole_but_broken(exchange: Exchange) -> None:
        exchange.end()
        stored = exchange.s3.newest.body
        exchange.status, exchange.body = 200, stored
        exchange.headers.pop("Content-Range")
        exchange.send_head()
        exchange.send_body(0, 5_000_000)

    s3.plan = lambda _: whole if len(s3.gets) != 2 else whole_but_broken
    loaded = load_model(s3.uri)
    assert content(loaded) == large
    assert loaded.download.retries == 1


# -- The network fails for good ---------------------------------------------------------------------


def test_a_store_that_is_always_busy_is_given_up(serve: Serve, large: bytes) -> None:
    s3 = serve(large)
    s3.plan = always(SLOW_DOWN)
    with pytest.raises(UnavailableError, match=r"could not serve s3://models/tiny\.gguf .*503 SlowDown.*try again"):
        load_model(s3.uri)
    asked = [request.range for request in s3.gets]
    assert max(asked.count(each) for each in asked) == ATTEMPTS


def test_a_store_that_never_describes_is_given_up(serve: Serve, small: bytes) -> None:
    s3 = serve(small)
    s3.plan = always(SLOW_DOWN, every_request)
    with pytest.raises(UnavailableError, match=r"s3://models/tiny\.gguf.*503"):
        load_model(s3.uri)
    assert len(s3.requests) == ATTEMPTS


def test_a_store_that_is_not_there_is_named(serve: Serve, small: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    s3 = serve(small)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    with pytest.raises(UnavailableError, match=r"can't be reached for s3://models/tiny\.gguf.*http://127\.0\.0\.1:1"):
        load_model(s3.uri)


def test_an_object_that_ends_early_time_after_time_is_damaged(serve: Serve, large: bytes) -> None:
    s3 = serve(large)
    s3.plan = always(announce_less(0))
    with pytest.raises(CorruptError, match=r"ended s3://models/tiny\.gguf at byte \d+ instead of"):
        load_model(s3.uri)


def test_a_wrong_range_time_after_time_is_told(serve: Serve, large: bytes) -> None:
    s3 = serve(large)
    s3.plan = always(shifted)
    with pytest.raises(CorruptError, match=r"Bytes \d+-\d+ of s3://models/tiny\.gguf were requested, but 'bytes \d+-"):
        load_model(s3.uri)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("which", [every_request, every_get, is_part], ids=["description", "header", "parts"])
@pytest.mark.parametrize("fault", [stall, stall_after(700_000)], ids=["from the start", "midway"])
def test_a_store_that_stalls_for_good_is_given_up_in_time(
    serve: Serve, large: bytes, fault: Fault, which: Callable[[Request], bool]
) -> None:
    s3 = serve(large)
    s3.plan = always(fault, which)
    with pytest.raises((OutOfTimeError, UnavailableError), match=r"s3://models/tiny\.gguf"):
        load_model(s3.uri, seconds=1)


def test_the_time_budget_ends_a_stall_that_a_connection_would_wait_out(serve: Serve, large: bytes) -> None:
    s3 = serve(large)
    s3.plan = always(stall_after(700_000))
    with pytest.raises(OutOfTimeError, match=r"s3://models/tiny\.gguf was not loaded within 0\.5 s.*LOAD_SECONDS"):
        load_model(s3.uri, seconds=0.5)


@pytest.mark.parametrize("which", [every_get, is_part], ids=["header", "parts"])
def test_bytes_that_drip_do_not_outlast_the_time_budget(
    serve: Serve, large: bytes, which: Callable[[Request], bool]
) -> None:
    s3 = serve(large)
    s3.plan = always(drip(10, 0.05), which)
    with pytest.raises(OutOfTimeError, match=r"s3://models/tiny\.gguf was not loaded within 0\.5 s"):
        load_model(s3.uri, seconds=0.5)


def test_the_time_budget_ends_the_pauses_between_tries(
    serve: Serve, large: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenacity, "wait_random_exponential", lambda **_: tenacity.wait_fixed(600))
    s3 = serve(large)
    s3.plan = always(SLOW_DOWN)
    with pytest.raises(OutOfTimeError, match=r"within 0\.5 s, its time budget"):
        load_model(s3.uri, seconds=0.5)
    asked = [request.range for request in s3.gets]
    assert len(asked) == len(set(asked))


def silence(left: "Queue[bool]") -> Fault:
    """Nothing ever comes; `left` then tells whether it was the client that ended it."""

    def fault(exchange: Exchange) -> None:
        left.put(not exchange.wait(20))
        exchange.end()

    return fault


@pytest.mark.parametrize("which", [every_request, every_get, is_part], ids=["description", "header", "parts"])
def test_the_time_budget_ends_a_silence_before_the_headers(
    serve: Serve, large: bytes, which: Callable[[Request], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_module, "SOCKET_SECONDS", 600)
    s3 = serve(large)
    left: Queue[bool] = Queue()
    s3.plan = always(silence(left), which)
    # Long enough for the requests before the silent one on a busy machine.
    with pytest.raises(OutOfTimeError, match=r"s3://models/tiny\.gguf was not loaded within 2 s"):
        load_model(s3.uri, seconds=2)
    assert left.get(timeout=30)


def test_an_answer_that_comes_after_the_time_is_over_is_cut_at_once(serve: Serve, large: bytes) -> None:
    s3 = serve(large)

    def late(exchange: Exchange) -> None:
        # Sooner than the connection's own timeout, which is as long as the budget but begins with the request.
        exchange.wait(0.6)
        (drip(10, 0.05) if is_part(exchange.request) else Exchange.send)(exchange)

    s3.plan = always(late, every_get)
    with pytest.raises(OutOfTimeError):
        load_model(s3.uri, seconds=1)


def test_one_failed_part_ends_the_others(serve: Serve, large: bytes) -> None:
    s3 = serve(large)

    def plan(request: Request) -> Fault | None:
        if not is_part(request):
            return None
        return refuse(403, "AccessDenied") if request.range == (HEAD_BYTES, HEAD_BYTES + PART - 1) else stall_after(10)

    s3.plan = plan
    with pytest.raises(ForbiddenError, match="AccessDenied"):
        load_model(s3.uri)


def test_the_time_budget_ends_a_tls_handshake_that_is_never_answered(
    ports: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_module, "SOCKET_SECONDS", 600)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ports.add(port)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"https://127.0.0.1:{port}")
        with pytest.raises(OutOfTimeError, match=r"s3://models/tiny\.gguf was not loaded within 0\.5 s"):
            load_model("s3://models/tiny.gguf", seconds=0.5)
        server.settimeout(30)
        with server.accept()[0] as connection:
            connection.settimeout(30)
            while connection.recv(4096):
                pass


def test_one_failed_part_ends_those_that_nobody_has_answered_yet(
    serve: Serve, large: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_module, "SOCKET_SECONDS", 600)
    s3 = serve(large)
    left: Queue[bool] = Queue()

    waiting = threading.Event()

    def refused(exchange: Exchange) -> None:
        waiting.wait(10)
        refuse(403, "AccessDenied")(exchange)

    def plan(request: Request) -> Fault | None:
        if not is_part(request):
            return None
        if request.range == (HEAD_BYTES, HEAD_BYTES + PART - 1):
            return refused
        waiting.set()
        return silence(left)

    s3.plan = plan
    with pytest.raises(ForbiddenError, match=r"AccessDenied.*bytes 1048576-5242879"):
        load_model(s3.uri)
    assert left.get(timeout=30)


@pytest.mark.parametrize("header", ["Content_Length", "Last_Modified"])
def test_a_description_that_makes_no_sense_is_told(serve: Serve, small: bytes, header: str) -> None:
    s3 = serve(small)
    s3.plan = always(say(**{header: "~"}), lambda request: request.method == "HEAD")
    with pytest.raises(UnavailableError, match=r"S3's response for s3://models/tiny\.gguf is invalid"):
        load_model(s3.uri)


# -- The caller leaves ------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", [0, 1], ids=["at the first progress", "at the last"])
def test_ctrl_c_leaves_nothing_behind(serve: Serve, large: bytes, moment: int) -> None:
    s3 = serve(large)
    s3.plan = always(drip(MIB, 0.02))

    def progress(done: int, total: int) -> None:
        if moment == 0 or done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_model(s3.uri, progress=progress)
    assert leftovers({s3.port}) == []


def test_ctrl_c_is_not_hidden_by_a_part_that_fails_meanwhile(serve: Serve, large: bytes) -> None:
    s3 = serve(large)
    interrupted = threading.Event()

    def refused_late(exchange: Exchange) -> None:
        interrupted.wait(5)
        refuse(403, "AccessDenied")(exchange)

    s3.plan = always(refused_late)

    def progress(_: int, __: int) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_model(s3.uri, progress=progress)


def test_a_memory_that_is_not_there_is_told_before_the_download(
    serve: Serve, large: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3 = serve(large)

    def no_memory(_: int, __: int) -> None:
        raise OSError(12, os.strerror(12))

    monkeypatch.setattr(os, "ftruncate", no_memory)
    with pytest.raises(DoesNotFitError, match=r"No room for a file of 39,003,264 bytes in memory .*Cannot allocate"):
        load_model(s3.uri)
    assert [request.range for request in s3.gets] == [HEAD_RANGE]
