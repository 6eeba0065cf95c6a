"""What S3 refuses, and says of an object, each with the remedy that fits the cause."""

import base64
import socket
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from awscrt.checksums import crc64nvme

from lambda_llm.aws.errors import StorageError
from lambda_llm.aws.s3_objects import S3Objects
from lambda_llm.errors import LoadError
from lambda_llm.loading.errors import (
    ForbiddenError,
    InvalidReferenceError,
    NotFoundError,
    UnavailableError,
    UnverifiableError,
)
from lambda_llm.loading.push import push
from lambda_llm.loading.retries import ATTEMPTS
from support.faulty_s3 import (
    ACCESS_POINT,
    ACCESS_POINT_HOST,
    KEY,
    Fault,
    FaultyS3,
    Request,
    always,
    first,
    refuse,
    say,
)
from support.loads import content, load_model

Serve = Callable[..., FaultyS3]

pytestmark = pytest.mark.usefixtures("no_pauses", "parts_of_one_size")


def every_get(request: Request) -> bool:
    return request.method == "GET"


def every_request(_: Request) -> bool:
    return True


# -- What S3 refuses for a reason that has a remedy of its own --------------------------------------


SSE_C = (
    "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve "
    "the object."
)
KMS_KEY = "arn:aws:kms:eu-central-1:123456789012:key/1234"
WHERE = r"s3://models/tiny\.gguf"

REMEDIES: dict[str, tuple[Fault, type[LoadError], str]] = {
    "disabled key": (
        refuse(400, "KMS.DisabledException", f"{KMS_KEY} is disabled."),
        ForbiddenError,
        rf"The KMS key of {WHERE} is disabled: enable it \(400 KMS\.DisabledException: {KMS_KEY} is disabled",
    ),
    "key that will be deleted": (
        refuse(400, "KMS.KMSInvalidStateException", f"{KMS_KEY} is pending deletion."),
        ForbiddenError,
        rf"The KMS key of {WHERE} can't be used in its state, .* cancel its deletion and enable it",
    ),
    "key that is gone": (
        refuse(400, "KMS.NotFoundException", f"Key '{KMS_KEY}' does not exist"),
        ForbiddenError,
        rf"The KMS key of {WHERE} does not exist, or not any more.* under another key",
    ),
    "key that may not be used": (
        refuse(
            403,
            "AccessDenied",
            "User: arn:aws:sts::123456789012:assumed-role/llm/llm is not authorized to perform: kms:Decrypt on "
            f"resource {KMS_KEY} because no identity-based policy allows the kms:Decrypt action",
        ),
        ForbiddenError,
        rf"The KMS key of {WHERE} may not be used .* the role needs kms:Decrypt",
    ),
    "archive": (
        refuse(
            403,
            "InvalidObjectState",
            "The operation is not valid for the object's storage class",
            StorageClass="GLACIER",
        ),
        UnavailableError,
        rf"{WHERE} is archived in GLACIER .*`aws s3api restore-object`",
    ),
    "deep archive": (
        refuse(403, "InvalidObjectState", "The operation is not valid", StorageClass="DEEP_ARCHIVE"),
        UnavailableError,
        "is archived in DEEP_ARCHIVE ",
    ),
    "intelligent tiering's archive": (
        refuse(
            403,
            "InvalidObjectState",
            "The operation is not valid for the object's access tier",
            StorageClass="INTELLIGENT_TIERING",
            AccessTier="DEEP_ARCHIVE_ACCESS",
        ),
        UnavailableError,
        "is archived in DEEP_ARCHIVE_ACCESS ",
    ),
    "archive that is not named": (refuse(403, "InvalidObjectState"), UnavailableError, r"is archived \(403 Inv"),
    "key of the customer's": (
        refuse(400, "InvalidRequest", SSE_C),
        ForbiddenError,
        rf"{WHERE} .*with a key that every request must bring \(SSE-C\).*encrypted by S3 or KMS",
    ),
    "bucket whose requesters pay": (
        refuse(403, "AccessDenied", "Access Denied"),
        ForbiddenError,
        "whose requesters pay",
    ),
    "message that would write to the terminal": (
        refuse(403, "AccessDenied", "Access\nDenied \x7f\x9b31m"),
        ForbiddenError,
        r"\(403 AccessDenied: Access Denied 31m",
    ),
}


@pytest.mark.parametrize("described", [True, False], ids=["HEAD allowed", "HEAD refused"])
@pytest.mark.parametrize("name", REMEDIES)
def test_the_remedy_is_that_of_the_cause(serve: Serve, small: bytes, name: str, *, described: bool) -> None:
    fault, kind, says = REMEDIES[name]
    s3 = serve(small, versioned=False)
    # S3 describes what it can't decrypt or has archived; an SSE-C object it describes to nobody without the key.
    s3.plan = always(fault, every_get if described else every_request)
    with pytest.raises(kind, match=says) as error:
        load_model(s3.uri)
    assert str(error.value).isprintable()
    assert len(s3.gets) == 1, "there is no reason to try again"


THROTTLED = {
    "as KMS does": refuse(
        400, "ThrottlingException", "You have exceeded the rate at which you may call KMS. Reduce the frequency."
    ),
    "with KMS's prefix": refuse(400, "KMS.ThrottlingException", "Rate exceeded"),
    "as S3 does": refuse(503, "SlowDown", "Please reduce your request rate for operations involving AWS KMS."),
}


@pytest.mark.parametrize("name", THROTTLED)
def test_a_throttled_key_is_tried_again_and_then_told(serve: Serve, large: bytes, name: str) -> None:
    s3 = serve(large)
    s3.plan = first(3, THROTTLED[name], every_get)
    assert content(load_model(s3.uri)) == large
    s3.begin_anew(large)
    s3.plan = always(THROTTLED[name], every_get)
    with pytest.raises(UnavailableError, match=rf"KMS throttles the use of the key of {WHERE} .*S3 Bucket Key.*quota"):
        load_model(s3.uri)
    assert len(s3.gets) == ATTEMPTS


@pytest.mark.parametrize("code", ["RequestTimeTooSkewed", "RequestExpired"])
def test_a_wrong_clock_is_tried_again_and_then_told(serve: Serve, small: bytes, code: str) -> None:
    skewed = refuse(403, code, "The difference between the request time and the current time is too large.")
    s3 = serve(small)
    s3.plan = first(2, skewed, every_get)
    assert content(load_model(s3.uri)) == small
    s3.plan = always(skewed, every_request)
    with pytest.raises(ForbiddenError, match=rf"clock is wrong by more than S3 accepts for {WHERE} .*{code}.*set it"):
        load_model(s3.uri)


REGIONS: dict[str, tuple[Fault, str]] = {
    "301": (refuse(301, "PermanentRedirect", "The bucket must be addressed using the endpoint."), "its bucket's"),
    "301 with its region": (
        refuse(301, "PermanentRedirect", "Elsewhere.", {"x-amz-bucket-region": "us-west-2"}),
        "us-west-2",
    ),
    "400 of the signature": (
        refuse(
            400,
            "AuthorizationHeaderMalformed",
            "The authorization header is malformed; the region 'eu-central-1' is wrong; expecting 'ap-south-1'",
            Region="ap-south-1",
        ),
        "ap-south-1",
    ),
    "400 of the location": (
        refuse(400, "IllegalLocationConstraintException", "The us-west-2 location constraint is incompatible."),
        "its bucket's",
    ),
}


@pytest.mark.parametrize("name", REGIONS)
def test_a_bucket_in_another_region_is_told(serve: Serve, small: bytes, name: str) -> None:
    fault, region = REGIONS[name]
    s3 = serve(small)
    s3.plan = always(fault, every_request)
    with pytest.raises(
        ForbiddenError,
        match=rf"{WHERE} is in another region than this client .*set AWS_DEFAULT_REGION to {region}, and run",
    ):
        load_model(s3.uri)
    assert len(s3.requests) < ATTEMPTS


def test_a_redirect_for_a_while_is_tried_again(serve: Serve, small: bytes) -> None:
    s3 = serve(small)
    s3.plan = first(2, refuse(307, "TemporaryRedirect", "Please re-send this request."), every_get)
    assert content(load_model(s3.uri)) == small


# -- Access points ----------------------------------------------------------------------------------


@pytest.fixture
def resolves_to_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name below s3.test is this machine."""
    resolve = socket.getaddrinfo

    def resolve_some(host: str, *others: Any, **more: Any) -> Any:
        return resolve("127.0.0.1" if host.endswith("s3.test") else host, *others, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_some)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "s3.test")


@pytest.mark.usefixtures("resolves_to_loopback")
def test_an_access_point_is_read_in_its_own_region(serve: Serve, large: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    s3 = serve(large)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://s3.test:{s3.port}")
    loaded = load_model(f"s3://{ACCESS_POINT}/{KEY}")
    assert content(loaded) == large
    assert loaded.download.checksums == ("CRC64NVME",)
    assert {request.headers["host"] for request in s3.requests} == {f"{ACCESS_POINT_HOST}.s3.test:{s3.port}"}
    assert all("/us-west-2/s3/" in request.headers["authorization"] for request in s3.requests)
    s3.plan = always(refuse(403, "AccessDenied", "Access Denied"), every_request)
    with pytest.raises(ForbiddenError, match=rf"reading s3://{ACCESS_POINT}/{KEY} .*403"):
        load_model(f"s3://{ACCESS_POINT}/{KEY}")


def test_an_access_point_of_another_partition_is_refused_at_once(serve: Serve, small: bytes) -> None:
    s3 = serve(small)
    uri = f"s3://{ACCESS_POINT.replace('arn:aws:', 'arn:aws-cn:').replace('us-west-2', 'cn-north-1')}/{KEY}"
    with pytest.raises(InvalidReferenceError, match=rf"'{uri}' can't name an object in S3 .*partition"):
        load_model(uri)
    assert s3.requests == []


# -- Checksums --------------------------------------------------------------------------------------


@pytest.mark.parametrize("marked", ["", "COMPOSITE"])
def test_a_checksum_of_parts_is_not_compared_even_if_its_type_is_not_told(
    serve: Serve, small: bytes, marked: str
) -> None:
    s3 = serve(small, checksum=None)
    headers = {"x_amz_checksum_crc64nvme": "AAAAAAAAAAA=-5"} | ({"x_amz_checksum_type": marked} if marked else {})
    s3.plan = always(say(**headers), lambda request: request.method == "HEAD")
    loaded = load_model(s3.uri, sha256=sha256(small).hexdigest())
    assert content(loaded) == small
    assert loaded.download.checksums == ("SHA-256",)
    with pytest.raises(UnverifiableError, match="no CRC64NVME checksum of the whole of"):
        load_model(s3.uri)


@pytest.mark.parametrize("pinned", [True, False])
def test_a_checksum_of_the_whole_counts_without_its_type(serve: Serve, small: bytes, *, pinned: bool) -> None:
    s3 = serve(small, checksum=None)
    right = base64.b64encode(crc64nvme(small).to_bytes(8)).decode()
    s3.plan = always(say(x_amz_checksum_crc64nvme=right), lambda request: request.method == "HEAD")
    loaded = load_model(s3.uri, sha256=sha256(small).hexdigest() if pinned else None)
    assert loaded.download.checksums == ("CRC64NVME", "SHA-256")[: 1 + pinned]
    assert content(loaded) == small


# -- Sessions ---------------------------------------------------------------------------------------


def test_an_entry_that_was_archived_is_as_good_as_none(serve: Serve) -> None:
    s3 = serve(b"")
    s3.plan = always(REMEDIES["archive"][0], every_request)
    with closing(S3Objects(s3.uri)) as objects:
        assert objects.get("entry", 100) is None


def test_a_redirect_without_a_region_fails_a_session_s_request_only(serve: Serve) -> None:
    s3 = serve(b"")
    s3.plan = always(REGIONS["301"][0], every_request)
    with closing(S3Objects(s3.uri)) as objects, pytest.raises(StorageError, match="PermanentRedirect"):
        objects.get("entry", 100)


# -- Uploads ----------------------------------------------------------------------------------------


PUSHES: dict[str, tuple[Fault, type[LoadError], str]] = {
    "no bucket": (refuse(404, "NoSuchBucket"), NotFoundError, r"no bucket 'models': create it"),
    "no permission": (refuse(403, "AccessDenied", "Access Denied"), ForbiddenError, "credentials need s3:PutObject"),
    "disabled key": (REMEDIES["disabled key"][0], ForbiddenError, r"KMS key of s3://\S+ is disabled: enable it"),
    "key that may not be used": (REMEDIES["key that may not be used"][0], ForbiddenError, "kms:GenerateDataKey"),
    "another region": (REGIONS["301"][0], ForbiddenError, "is in another region than this client"),
    "old credentials": (refuse(400, "ExpiredToken"), ForbiddenError, r"credentials for s3://\S+ are not valid .*renew"),
    "wrong clock": (refuse(403, "RequestTimeTooSkewed"), ForbiddenError, "clock is wrong"),
    "anything else": (refuse(400, "InvalidRequest", "No."), UnavailableError, r"not be written \(400 Inv.* try again"),
}


@pytest.mark.parametrize("name", PUSHES)
def test_an_upload_that_is_refused_is_told_by_its_cause(serve: Serve, small_path: Path, name: str) -> None:
    fault, kind, says = PUSHES[name]
    s3 = serve(b"")
    s3.plan = always(fault, every_request)
    with pytest.raises(kind, match=says):
        push(small_path, s3.uri)


def test_an_upload_without_credentials_is_told(serve: Serve, small_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    s3 = serve(b"")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ForbiddenError, match=rf"no credentials to write {s3.uri}"):
        push(small_path, s3.uri)
