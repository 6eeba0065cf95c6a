"""The record of a batch: what a client sees of it, and what its functions need besides."""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from lambda_llm.batch_store.errors import StoreError
from lambda_llm.openai_types.batches import Batch

VERSION: Final = 1
"""Of a record's format."""


class Source(BaseModel):
    """The input as it was when the batch was created; a changed one is refused.

    Attributes:
        bucket: that has it.
        key: of it.
        etag: of its content.
        size: in bytes.
    """

    model_config = ConfigDict(frozen=True)

    bucket: str
    key: str
    etag: str
    size: int


class Rights(BaseModel):
    """What a batch's tenant may do.

    Attributes:
        models: names of models that it may use; None: all.
        place: farthest place that its data may go to.
    """

    model_config = ConfigDict(frozen=True)

    models: tuple[str, ...] | None = None
    place: Literal["lambda", "account", "anywhere"] = "account"


class Option(BaseModel):
    """One way to answer a batch, estimated before it starts.

    Attributes:
        backend: its name in the configuration.
        kind: of it.
        dollars: of the whole batch, every answer as long as its limit allows.
        hours: until the last answer, likewise.
        why_not: why it can't be chosen; None: it can.
    """

    model_config = ConfigDict(frozen=True)

    backend: str
    kind: Literal["lambda", "bedrock", "gpu"]
    dollars: float
    hours: float
    why_not: str | None = None


class Record(BaseModel):
    """A batch in the store.

    Attributes:
        tenant: whose it is.
        batch: as its client gets it, its counts aside while it runs.
        source: its input.
        rights: of its tenant.
        backend: the one that was asked for, and later the one that was chosen; None: not yet.
        max_dollars: that the batch may not exceed; None: no limit.
        output_seconds: after which its output expires; None: as the store's other files.
        options: how it could be answered; empty before it was indexed.
        run: number of the execution, from 1; a batch that was resumed has a higher one.
    """

    version: Literal[1] = VERSION
    tenant: str
    batch: Batch
    source: Source
    rights: Rights = Rights()
    backend: str | None = None
    max_dollars: float | None = None
    output_seconds: int | None = None
    options: tuple[Option, ...] = ()
    run: int = 1

    @property
    def execution(self) -> str:
        """Name of its execution: the batch's id, with the number of the run from the second on."""
        return self.batch.id if self.run == 1 else f"{self.batch.id}-r{self.run}"

    def with_batch(self, **changes: object) -> "Record":
        """The same with other fields of the batch."""
        return self.model_copy(update={"batch": self.batch.model_copy(update=changes)})

    def written(self) -> bytes:
        """For the store."""
        return self.model_dump_json().encode()


def read(content: bytes, tenant: str, batch_id: str) -> Record:
    """A record from the store.

    Raises:
        StoreError: it is none of this version, or another tenant's or batch's.
    """
    try:
        record = Record.model_validate_json(content)
    except ValidationError:
        record = None
    if record is None or record.tenant != tenant or record.batch.id != batch_id:
        raise StoreError(f"The record of {batch_id} is none that this version has written: it can't be read.")
    return record
