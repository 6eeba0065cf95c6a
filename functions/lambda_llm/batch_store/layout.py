"""Where everything is below a store's prefix. No other module makes keys.

| key | has |
|---|---|
| `configuration.json` | the models and what may answer for them: `batch/config.py` |
| `files/TENANT/FILE` | a file's content; name, purpose and expiry are its metadata |
| `uploads/TENANT/…` | inputs that were put there without the Files API, named by `s3://` |
| `inbox/…` | inputs that start a batch by themselves |
| `batches/TENANT/BATCH.json` | a batch's record |
| `work/BATCH/parts.jsonl` | its index: a line for each part |
| `work/BATCH/index.json`, `seen`, `final.json`, `tail-…` | how far indexing and joining have come |
| `work/BATCH/pieces/PART/FIRST` | answers of a part, from its record number FIRST on |
| `work/BATCH/counts/PART-COMPLETED-FAILED-MICRODOLLARS` | empty: a part has ended, and what it came to |
| `work/BATCH/notes/PART.json` | which record a worker has in hand, after another one was lost |
| `work/BATCH/stop` | empty: the batch was cancelled |
| `work/BATCH/jobs/…` | inputs and outputs of Bedrock's batch jobs |

TENANT is `aws.tenant_folder`.
"""

import re
import secrets
from dataclasses import dataclass
from typing import Final, Self

from lambda_llm.aws.tenant_folder import tenant_folder

CONFIGURATION: Final = "configuration.json"
FILES: Final = "files/"
UPLOADS: Final = "uploads/"
INBOX: Final = "inbox/"
BATCHES: Final = "batches/"
WORK: Final = "work/"

_END_OF_TIME: Final = (1 << 44) - 1
"""In milliseconds since 1970, the last that 11 hex digits have: ids count down from it, so that S3, which lists in
ascending order, has the newest first."""

_FILE: Final = re.compile(r"file-[0-9a-f]{27}")
_BATCH: Final = re.compile(r"batch_[0-9a-f]{27}")
_MARK: Final = re.compile(r"(\d+)-(\d+)-(\d+)-(\d+)")


def _id(prefix: str, now: float, unique: str | None) -> str:
    return f"{prefix}{_END_OF_TIME - int(now * 1000):011x}{unique or secrets.token_hex(8)}"


def new_file(now: float, unique: str | None = None) -> str:
    """An id for a file.

    Args:
        now: its time of creation, in seconds since 1970.
        unique: 16 hex digits, where the same file must get the same id again; default: random.
    """
    return _id("file-", now, unique)


def new_batch(now: float, unique: str | None = None) -> str:
    """An id for a batch, likewise; it is also the name of its execution."""
    return _id("batch_", now, unique)


def created(some_id: str) -> int:
    """When a file or batch was created, by its id, in seconds since 1970."""
    return (_END_OF_TIME - int(some_id[-27:-16], 16)) // 1000


def is_file(text: str) -> bool:
    """Whether a text has the form of a file's id."""
    return _FILE.fullmatch(text) is not None


def is_batch(text: str) -> bool:
    """Whether a text has the form of a batch's id."""
    return _BATCH.fullmatch(text) is not None


def file(tenant: str, file_id: str) -> str:
    """Key of a file's content."""
    return f"{files(tenant)}{file_id}"


def files(tenant: str) -> str:
    """Prefix of a tenant's files."""
    return FILES + tenant_folder(tenant)


def uploads(tenant: str) -> str:
    """Prefix of a tenant's own uploads."""
    return UPLOADS + tenant_folder(tenant)


def batch(tenant: str, batch_id: str) -> str:
    """Key of a batch's record."""
    return f"{batches(tenant)}{batch_id}.json"


def batches(tenant: str) -> str:
    """Prefix of the records of a tenant's batches."""
    return BATCHES + tenant_folder(tenant)


def work(batch_id: str) -> str:
    """Prefix of everything that is needed only while a batch runs."""
    return f"{WORK}{batch_id}/"


def parts(batch_id: str) -> str:
    """Key of the index."""
    return f"{work(batch_id)}parts.jsonl"


def index_state(batch_id: str) -> str:
    """Key of how far indexing has come."""
    return f"{work(batch_id)}index.json"


def seen(batch_id: str) -> str:
    """Key of the ids that indexing has seen."""
    return f"{work(batch_id)}seen"


def final_state(batch_id: str) -> str:
    """Key of how far joining has come."""
    return f"{work(batch_id)}final.json"


def tail(batch_id: str, kind: str, part: int) -> str:
    """Key of what joining has in hand between two invocations.

    Args:
        batch_id: of the batch.
        kind: `output` or `errors`.
        part: number of the next part.
    """
    return f"{work(batch_id)}tail-{kind}-{part:07d}"


def stop(batch_id: str) -> str:
    """Key of what is there once a batch was cancelled."""
    return f"{work(batch_id)}stop"


def pieces(batch_id: str, part: int | None = None) -> str:
    """Prefix of the answers of a part, or of all."""
    return f"{work(batch_id)}pieces/" + ("" if part is None else f"{part:07d}/")


def piece(batch_id: str, part: int, first: int) -> str:
    """Key of answers.

    Args:
        batch_id: of the batch.
        part: number of it.
        first: number, in the part, of the record that has the first answer.
    """
    return f"{pieces(batch_id, part)}{first:07d}"


def note(batch_id: str, part: int) -> str:
    """Key of what a careful worker has in hand."""
    return f"{work(batch_id)}notes/{part:07d}.json"


def jobs(batch_id: str, part: int) -> str:
    """Prefix of a part's job at Bedrock."""
    return f"{work(batch_id)}jobs/{part:07d}/"


def counts(batch_id: str) -> str:
    """Prefix of the marks of parts that have ended."""
    return f"{work(batch_id)}counts/"


@dataclass(frozen=True)
class Mark:
    """Says that a part has ended; its key is all that there is of it.

    Attributes:
        part: number of it.
        completed: records with an answer.
        failed: records with a line in the error file.
        micro_dollars: that the part has cost.
    """

    part: int
    completed: int
    failed: int
    micro_dollars: int

    def key(self, batch_id: str) -> str:
        """Of the object."""
        return f"{counts(batch_id)}{self.part:07d}-{self.completed}-{self.failed}-{self.micro_dollars}"

    @classmethod
    def read(cls, key: str) -> Self | None:
        """From such a key; None: it is none."""
        found = _MARK.fullmatch(key.rpartition("/")[2])
        return None if found is None else cls(*map(int, found.groups()))
