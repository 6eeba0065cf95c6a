"""Answers of a part, in one object: a line of JSON that counts them, the output lines, and the error lines.

A part's pieces are a chain: each is named by its first record and says which comes next, and each is written once. So
whoever loses a race for a piece takes the winner's and goes on behind it, and no record has two answers.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from lambda_llm.backends.contract import Usage
from lambda_llm.batch.plan import Part
from lambda_llm.batch.storage import Storage
from lambda_llm.batch_store import layout
from lambda_llm.batch_store.errors import StoreError

HEAD_BYTES: Final = 4096
"""In which a head always ends."""


class Tally(BaseModel):
    """What a number of records has come to.

    Attributes:
        completed: with an answer.
        failed: with a line in the error file.
        input_tokens: of prompts, as the backends say.
        cached_tokens: of those, from a cache.
        output_tokens: of answers.
        reasoning_tokens: of those, hidden ones.
        dollars: spent on them.
    """

    model_config = ConfigDict(frozen=True)

    completed: int = 0
    failed: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    dollars: float = 0.0

    @property
    def records(self) -> int:
        """All of them."""
        return self.completed + self.failed

    def __add__(self, other: "Tally") -> "Tally":
        sums = {name: getattr(self, name) + getattr(other, name) for name in Tally.model_fields}
        return Tally.model_validate(sums)


class Head(BaseModel):
    """First line of a piece.

    Attributes:
        first: number, in the part, of its first record.
        next_byte: number of the input's byte at which the record behind its last one begins.
        tally: of its records.
        so_far: of all records of the part up to its last one.
        output_bytes: of its output lines.
        error_bytes: of its error lines.
    """

    model_config = ConfigDict(frozen=True)

    first: int
    next_byte: int
    tally: Tally
    so_far: Tally
    output_bytes: int
    error_bytes: int

    @property
    def next(self) -> int:
        """Number, in the part, of the record behind its last one."""
        return self.first + self.tally.records

    @classmethod
    def read(cls, content: bytes) -> tuple[Self, int]:
        """The head of a piece, and its length in bytes.

        Raises:
            StoreError: it has none.
        """
        line, end, _ = content.partition(b"\n")
        try:
            return cls.model_validate_json(line), len(line) + len(end)
        except ValidationError:
            raise StoreError("A piece of a batch's answers is none that this version has written.") from None


@dataclass(frozen=True)
class Answer:
    """What one record has come to.

    Attributes:
        line: for the output or the error file.
        answered: whether it is for the output file.
        usage: of the answer.
        reasoning_tokens: hidden ones of it.
        dollars: spent on it.
    """

    line: bytes
    answered: bool
    usage: Usage | None = None
    reasoning_tokens: int = 0
    dollars: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Done(Answer):
    """The same in its place.

    Attributes:
        next_byte: number of the input's byte behind its line.
    """

    next_byte: int


def written(first: int, so_far: Tally, done: Iterable[Done]) -> bytes:
    """A piece.

    Args:
        first: number, in the part, of its first record.
        so_far: of the records before.
        done: its records, in order, one at least.
    """
    records = list(done)
    outputs = b"".join(each.line for each in records if each.answered)
    errors = b"".join(each.line for each in records if not each.answered)
    used = [each.usage for each in records if each.usage is not None]
    tally = Tally(
        completed=sum(each.answered for each in records),
        failed=sum(not each.answered for each in records),
        input_tokens=sum(each.input for each in used),
        cached_tokens=sum(each.cached for each in used),
        output_tokens=sum(each.output for each in used),
        reasoning_tokens=sum(each.reasoning_tokens for each in records),
        dollars=sum(each.dollars for each in records),
    )
    head = Head(
        first=first,
        next_byte=records[-1].next_byte,
        tally=tally,
        so_far=so_far + tally,
        output_bytes=len(outputs),
        error_bytes=len(errors),
    )
    return b"".join([head.model_dump_json().encode(), b"\n", outputs, errors])


class Chain:
    """The pieces of a part.

    Attributes:
        next: number, in the part, of the record behind its end.
        next_byte: number of the input's byte at which that record begins.
        so_far: of the records before it.
        mine: of those that were added here.
    """

    def __init__(self, storage: Storage, batch_id: str, part: Part) -> None:
        """Take the part; nothing is read.

        Args:
            storage: the store.
            batch_id: of the batch.
            part: of it.
        """
        self._storage = storage
        self._batch_id = batch_id
        self._part = part
        self.next = 0
        self.next_byte = part.first
        self.so_far = Tally()
        self.mine = Tally()

    @property
    def whole(self) -> bool:
        """Whether every record of the part is in it."""
        return self.next >= self._part.records

    def follow(self) -> None:
        """Go to the end of what is there.

        Raises:
            StoreError: the store does not answer.
        """
        names = list(self._storage.names(layout.pieces(self._batch_id, self._part.part)))
        # The names are in order, and the last one knows of all before it.
        for name in names[-1:]:
            head = self.head(int(name.rpartition("/")[2]))
            if head is not None:
                self._go_behind(head)

    def head(self, first: int) -> Head | None:
        """The head of a piece; None: there is none.

        Args:
            first: number of its first record.

        Raises:
            StoreError: the store does not answer.
        """
        name = layout.piece(self._batch_id, self._part.part, first)
        content = self._storage.get(name, 0, HEAD_BYTES - 1)
        return None if content is None else Head.read(content)[0]

    def add(self, done: Iterable[Done]) -> bool:
        """Add a piece at the end; returns False if another one was faster, behind which the chain then is.

        Raises:
            StoreError: it is not known whether it was written.
        """
        content = written(self.next, self.so_far, done)
        mine = self._storage.put_once(layout.piece(self._batch_id, self._part.part, self.next), content)
        head = Head.read(content[:HEAD_BYTES])[0] if mine else self.head(self.next)
        if mine and head is not None:
            self.mine += head.tally
        if head is None:
            raise StoreError("A piece of a batch's answers has disappeared while the batch runs: let nobody delete it.")
        self._go_behind(head)
        return mine

    def mark(self) -> None:
        """Mark the part as ended.

        Raises:
            StoreError: it is not known whether the mark was written.
        """
        tally = self.so_far
        mark = layout.Mark(self._part.part, tally.completed, tally.failed, round(tally.dollars * 1e6))
        self._storage.put(mark.key(self._batch_id), b"")

    def _go_behind(self, head: Head) -> None:
        self.next, self.next_byte, self.so_far = head.next, head.next_byte, head.so_far
