"""Files of tenants in S3: one object each, whose metadata says the rest.

A file that has expired is as if it were not there, whenever the bucket's lifecycle rule deletes it.

Roles need `s3:GetObject`, `s3:PutObject` and `s3:DeleteObject` below `files/`, `s3:GetObject` below `uploads/`, and
`s3:ListBucket` for both, without which S3 does not tell what is missing from what is forbidden.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, takewhile
from typing import Any, BinaryIO, Final, Literal
from urllib.parse import quote, unquote

from lambda_llm.aws.errors import S3URIError
from lambda_llm.aws.s3_uri import parse_object
from lambda_llm.batch_store import layout
from lambda_llm.batch_store.bucket import GoneError, StoreBucket
from lambda_llm.batch_store.errors import InputError, NoSuchError
from lambda_llm.batch_store.records import Source
from lambda_llm.openai_types.batches import FileObject

Purpose = Literal["batch", "batch_output"]

NAME_BYTES: Final = 255
"""Longest name, in UTF-8, as file systems have it: percent-encoded it has its place in S3's 2 KB of metadata.
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html"""

READERS: Final = 16
"""Objects that are read at once."""

_TYPE: Final = "application/jsonl"


class Files:
    """Files of all tenants. Thread-safe; each call waits for S3."""

    def __init__(self, uri: str, client: Any, clock: Callable[[], float] = time.time) -> None:
        """Take the place; no request is sent.

        Args:
            uri: of the store, `s3://bucket/prefix/`.
            client: of S3; for `url` one whose addresses hold everywhere, see `aws.clients.create`.
            clock: seconds since 1970.

        Raises:
            S3URIError: `uri` has another form.
        """
        self._bucket = StoreBucket(uri, client)
        self._clock = clock

    def create(
        self,
        tenant: str,
        content: BinaryIO | bytes,
        filename: str,
        purpose: Purpose,
        expires_seconds: int | None = None,
    ) -> FileObject:
        """Store a file.

        Args:
            tenant: whose it is.
            content: of it; a file may have any size, is sent in parts, and is closed.
            filename: that its tenant gives it.
            purpose: what it is for.
            expires_seconds: after which it is not there any more; None: as the bucket's lifecycle rule says.

        Raises:
            InputError: the name is empty or too long.
            StoreError: S3 does not answer, or refuses.
        """
        now = self._clock()
        file_id = layout.new_file(now)
        expires_at = None if expires_seconds is None else int(now) + expires_seconds
        extra = {"Metadata": self.metadata(filename, purpose, expires_at), "ContentType": _TYPE}
        key = self._key(tenant, file_id)
        if isinstance(content, bytes):
            self._bucket.call("put_object", Key=key, Body=content, **extra)
        else:
            self._upload(key, content, extra)
        return self.get(tenant, file_id)

    def metadata(self, filename: str, purpose: Purpose, expires_at: int | None) -> dict[str, str]:
        """S3's metadata of a file, for whoever writes its object.

        Args:
            filename: that its tenant sees.
            purpose: what it is for.
            expires_at: when it is not there any more, in seconds since 1970; None: as the bucket's lifecycle rule says.

        Raises:
            InputError: the name is empty or too long.
        """
        if not 0 < len(filename.encode(errors="replace")) <= NAME_BYTES:
            raise InputError(
                "file", f"A file's name must have 1 to {NAME_BYTES} bytes in UTF-8: give the file a shorter one."
            )
        # Metadata are headers of HTTP, which have ASCII alone.
        found = {"filename": quote(filename, safe="", errors="replace"), "purpose": purpose}
        return found if expires_at is None else {**found, "expires-at": str(expires_at)}

    def get(self, tenant: str, file_id: str) -> FileObject:
        """A file without its content.

        Raises:
            NoSuchError: this tenant has none of this id, or it has expired.
            StoreError: S3 does not answer, or refuses.
        """
        return self._found("head_object", tenant, file_id)[0]

    def list(
        self,
        tenant: str,
        *,
        after: str | None = None,
        limit: int = 1000,
        order: Literal["asc", "desc"] = "desc",
        purpose: Purpose | None = None,
    ) -> tuple[list[FileObject], bool]:
        """A page of a tenant's files.

        Their ids count down in time, so S3 lists the newest first; for the oldest first all of them are listed.

        Args:
            tenant: whose they are.
            after: id of the last file of the page before.
            limit: most files of the page.
            order: `desc`: newest first.
            purpose: of those that are wanted; None: of all.

        Returns:
            The files, and whether there are more.

        Raises:
            InputError: `after` is no file's id.
            StoreError: S3 does not answer, or refuses.
        """
        if after is not None and not layout.is_file(after):
            raise InputError("after", "after must be the id of a file, the last one of the page before.")
        found: list[FileObject] = []
        ids = self._ids(tenant, after, order)
        with ThreadPoolExecutor(READERS) as pool:
            while len(found) <= limit and (some := list(islice(ids, max(READERS, limit + 1 - len(found))))):
                files = pool.map(lambda each: self._listed(tenant, each), some)
                found += [each for each in files if each is not None and purpose in (None, each.purpose)]
        return found[:limit], len(found) > limit

    def delete(self, tenant: str, file_id: str) -> None:
        """Delete a file.

        Raises:
            NoSuchError: this tenant has none of this id, or it has expired.
            StoreError: S3 does not answer, or refuses.
        """
        self.get(tenant, file_id)
        self._bucket.call("delete_object", Key=self._key(tenant, file_id))

    def url(self, tenant: str, file_id: str, seconds: int) -> str:
        """Where a file's content is, for anybody who has this address.

        Args:
            tenant: whose it is.
            file_id: of the file.
            seconds: for which the address holds, or as long as the credentials that signed it do, if that is shorter.

        Raises:
            NoSuchError: this tenant has none of this id, or it has expired.
            StoreError: S3 does not answer, or refuses; or there are no credentials.
        """
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - the client has imported it

        name = quote(self.get(tenant, file_id).filename, safe="")
        given = {
            "Bucket": self._bucket.name,
            "Key": self._key(tenant, file_id),
            "ResponseContentDisposition": f"attachment; filename*=UTF-8''{name}",
        }
        try:
            url: str = self._bucket.client.generate_presigned_url("get_object", Params=given, ExpiresIn=seconds)
        except BotoCoreError as error:
            raise self._bucket.error(error) from error
        return url

    def open(self, tenant: str, file_id: str) -> Any:
        """A file's content as botocore's `StreamingBody`, which the caller closes.

        Raises:
            NoSuchError: this tenant has none of this id, or it has expired.
            StoreError: S3 does not answer, or refuses.
        """
        return self._found("get_object", tenant, file_id)[1]["Body"]

    def source(self, tenant: str, input_file_id: str) -> Source:
        """The input of a batch as it is now.

        Args:
            tenant: whose batch it is.
            input_file_id: of a file with purpose `batch`, or `s3://BUCKET/KEY` below `uploads(tenant)`.

        Raises:
            InputError: it is neither.
            NoSuchError: it is not there, or has expired.
            StoreError: S3 does not answer, or refuses.
        """
        if input_file_id.startswith("s3://"):
            key = self._uploaded(tenant, input_file_id)
            try:
                found = self._bucket.call("head_object", Key=key)
            except GoneError:
                raise NoSuchError(
                    "input_file_id", f"There is no object {input_file_id}: upload it before its batch is created."
                ) from None
        else:
            key = self._key(tenant, input_file_id)
            file, found = self._found("head_object", tenant, input_file_id, "input_file_id")
            if file.purpose != "batch":
                raise InputError(
                    "input_file_id", f"The file {input_file_id} is a batch's output: upload one with purpose batch."
                )
        return Source(bucket=self._bucket.name, key=key, etag=found["ETag"], size=found["ContentLength"])

    def uploads(self, tenant: str) -> str:
        """Where a tenant's inputs may be that are named by `s3://`: a prefix with a slash at its end."""
        return self._bucket.uri + layout.uploads(tenant)

    def _uploaded(self, tenant: str, uri: str) -> str:
        """Key of an input that is named by `s3://`."""
        try:
            bucket, key = parse_object(uri)
        except S3URIError as error:
            raise InputError("input_file_id", str(error)) from None
        allowed = self.uploads(tenant)
        # S3 takes such segments literally; what stands before it may not.
        if not f"s3://{bucket}/{key}".startswith(allowed) or {"", ".", ".."} & set(key.split("/")):
            raise InputError(
                "input_file_id",
                f"{uri!r} is no place for inputs of this tenant: upload the file below {allowed} and name it there.",
            )
        return key

    def _key(self, tenant: str, file_id: str) -> str:
        return self._bucket.prefix + layout.file(tenant, file_id)

    def _ids(self, tenant: str, after: str | None, order: Literal["asc", "desc"]) -> Iterator[str]:
        """Ids of a tenant's objects, in order."""
        folder = layout.files(tenant)
        if order == "desc":
            return filter(layout.is_file, self._bucket.names(folder, after))
        ids = takewhile(lambda each: after is None or each < after, self._bucket.names(folder))
        return reversed([each for each in ids if layout.is_file(each)])

    def _listed(self, tenant: str, file_id: str) -> FileObject | None:
        """A file that was there when it was listed."""
        try:
            return self.get(tenant, file_id)
        except NoSuchError:
            return None

    def _found(
        self, operation: str, tenant: str, file_id: str, param: str = "file_id"
    ) -> tuple[FileObject, dict[str, Any]]:
        """A file, and S3's answer."""
        if not layout.is_file(file_id):
            raise _no_such(file_id, param)
        try:
            found = self._bucket.call(operation, Key=self._key(tenant, file_id))
        except GoneError:
            raise _no_such(file_id, param) from None
        file = _file(file_id, found)
        if file is None or (file.expires_at is not None and file.expires_at <= self._clock()):
            if "Body" in found:
                found["Body"].close()
            raise _no_such(file_id, param)
        return file, found

    def _upload(self, key: str, content: BinaryIO, extra: dict[str, Any]) -> None:
        from boto3.s3.transfer import TransferConfig, create_transfer_manager  # noqa: PLC0415 - the router does without
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        # The other kind of manager, which some machines would get, has clients of its own.
        config = TransferConfig(preferred_transfer_client="classic")
        try:
            with create_transfer_manager(self._bucket.client, config) as manager:
                manager.upload(content, self._bucket.name, key, extra_args=extra).result()
        except (ClientError, BotoCoreError) as error:
            raise self._bucket.error(error) from error


def _file(file_id: str, found: dict[str, Any]) -> FileObject | None:
    """A file by S3's answer; None: what is there is none."""
    try:
        said = found["Metadata"]
        return FileObject(
            id=file_id,
            bytes=found["ContentLength"],
            created_at=layout.created(file_id),
            expires_at=said.get("expires-at"),
            filename=unquote(said["filename"]),
            purpose=said["purpose"],
        )
    except (KeyError, ValueError):
        return None


def _no_such(file_id: str, param: str) -> NoSuchError:
    return NoSuchError(
        param, f"There is no file {file_id!r} of this tenant: it was deleted, has expired, or is another tenant's."
    )
