"""Background responses in S3: one object each, in its tenant's folder, and every change of it on a condition.

See `aws.conditional_objects`. An object has the request only until the response has ended.

The router's roles need `s3:GetObject` and `s3:PutObject` below the prefix, and `s3:ListBucket` on the bucket, without
which S3 does not tell what is missing from what is forbidden. Encryption is the bucket's; a lifecycle rule deletes what
has expired, which nobody could read before either.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Self

from lambda_llm.aws.conditional_objects import ConditionalObjects
from lambda_llm.aws.errors import StorageError
from lambda_llm.aws.s3_uri import parse_prefix
from lambda_llm.aws.tenant_folder import tenant_folder
from lambda_llm.router.errors import ResultsError

VERSION: Final = 1
"""Of an object's format."""

ENDED: Final = frozenset({"completed", "incomplete", "failed", "cancelled"})
"""Statuses that are a response's last."""


@dataclass(frozen=True)
class Run:
    """A worker that answers.

    Attributes:
        id: of its own.
        until: when it has ended at the latest, in seconds since 1970; then another one may take its place.
    """

    id: str
    until: float


@dataclass(frozen=True)
class Job:
    """A background response, and what it takes to make it.

    Attributes:
        id: of the response.
        tenant: whose it is.
        request_id: of the request, in the ledger and in backends' logs: however often it is tried, it is charged once.
        digest: SHA-256 of what the client sent.
        answer_by: when it fails unless a worker answers, in seconds since 1970.
        expires_at: when nobody can read it any more, likewise.
        request: body for the backend; None: the response has ended.
        run: who answers; None: nobody, at the moment.
        response: as the client gets it.
    """

    id: str
    tenant: str
    request_id: str
    digest: str
    answer_by: float
    expires_at: float
    request: Mapping[str, Any] | None
    run: Run | None
    response: Mapping[str, Any]

    @property
    def ended(self) -> bool:
        """Whether the response stays as it is."""
        return self.response["status"] in ENDED

    def busy(self, now: float) -> bool:
        """Whether a worker answers at a time, in seconds since 1970."""
        return self.run is not None and self.run.until > now

    def overdue(self, now: float) -> bool:
        """Whether it is too late for an answer, likewise."""
        return now >= self.answer_by and not self.ended and not self.busy(now)

    def queued(self) -> Self:
        """The same, waiting for a worker."""
        return replace(self, run=None, response={**self.response, "status": "queued"})

    def running(self, run: Run) -> Self:
        """The same with a worker."""
        return replace(self, run=run, response={**self.response, "status": "in_progress"})

    def end(self, **changes: Any) -> Self:
        """The same at its end, without its request.

        Args:
            changes: fields of the response, its status among them.
        """
        return replace(self, request=None, run=None, response={**self.response, **changes})


@dataclass(frozen=True)
class Stored:
    """A response in S3.

    Attributes:
        job: it.
        etag: of this state.
    """

    job: Job
    etag: str


class Results:
    """Background responses of all tenants. Thread-safe; each call waits for S3."""

    def __init__(self, uri: str, client: Any) -> None:
        """Take the place; no request is sent.

        Args:
            uri: `s3://bucket/prefix/`.
            client: of S3.

        Raises:
            S3URIError: `uri` has another form.
        """
        bucket, self._prefix = parse_prefix(uri)
        self._objects = ConditionalObjects(bucket, client)
        self.address = f"s3://{bucket}/{self._prefix}"

    def read(self, tenant: str, response_id: str) -> Stored | None:
        """A response, expired or not; None: there is none.

        Raises:
            ResultsError: S3 does not answer, or refuses.
        """
        try:
            found = self._objects.get(self._key(tenant, response_id))
        except StorageError as error:
            raise self._error(error) from error
        return None if found is None else self._stored(tenant, *found)

    def changed(self, stored: Stored) -> bool:
        """Whether a response is not in this state any more, or gone.

        Raises:
            ResultsError: S3 does not answer, or refuses.
        """
        try:
            return self._objects.etag(self._key(stored.job.tenant, stored.job.id)) != stored.etag
        except StorageError as error:
            raise self._error(error) from error

    def create(self, job: Job) -> Stored | None:
        """Store a new response; None: there is one of its id.

        Raises:
            ResultsError: it is not known whether it was stored.
        """
        return self._put(job, None)

    def replace(self, stored: Stored, job: Job) -> Stored | None:
        """Change a response; None: somebody has changed or erased it, and it was not touched.

        Raises:
            ResultsError: it is not known whether it was changed.
        """
        return self._put(job, stored.etag)

    def _put(self, job: Job, etag: str | None) -> Stored | None:
        try:
            written = self._objects.put(self._key(job.tenant, job.id), _written(job), etag)
        except StorageError as error:
            raise self._error(error) from error
        return None if written is None else Stored(job, written)

    def _key(self, tenant: str, response_id: str) -> str:
        return f"{self._prefix}{tenant_folder(tenant)}{response_id}.json"

    def _stored(self, tenant: str, content: bytes, etag: str) -> Stored:
        try:
            fields = json.loads(content)
            version, run = fields.pop("version"), fields.pop("run")
            job = Job(**fields, run=None if run is None else Run(**run))
        except (ValueError, TypeError, KeyError, AttributeError):
            version, job = None, None
        if version != VERSION or job is None or job.tenant != tenant:
            raise ResultsError(f"A response below {self.address} is none that this version of the router has written.")
        return Stored(job, etag)

    def _error(self, error: Exception) -> ResultsError:
        return ResultsError(
            f"Background responses below {self.address} can't be read or written ({error}): check the address, and "
            "that the role may use s3:GetObject and s3:PutObject below it and s3:ListBucket on the bucket."
        )


def _written(job: Job) -> bytes:
    return json.dumps({"version": VERSION, **asdict(job)}, separators=(",", ":")).encode()
