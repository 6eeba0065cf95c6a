"""What a worker has in hand: a record that has killed two of them is given up.

Notes are written only by careful workers, which come after one that was lost: one record at a time, noted before it is
asked for. What a careful worker leaves behind without being lost itself is a note of nothing.
"""

from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from lambda_llm.batch.storage import Storage
from lambda_llm.batch_store import layout

_UNKNOWN: Final = -1

KILLS: Final = 2
"""Workers that a record may take along."""


class _Note(BaseModel):
    model_config = ConfigDict(frozen=True)

    record: int | None
    kills: int = 0


class Notes:
    """Of a part."""

    def __init__(self, storage: Storage, batch_id: str, part: int) -> None:
        """Take the part; nothing is read."""
        self._storage = storage
        self._name = layout.note(batch_id, part)

    def kills(self, record: int) -> int:
        """Workers that were lost with a record in hand.

        Args:
            record: number of it in the part, which is the first one without an answer.
        """
        note = self._read()
        return note.kills + 1 if note.record == record else 0

    def take(self, record: int, kills: int) -> None:
        """Note that a record is in hand, and how many workers it has taken along before."""
        self._storage.put(self._name, _Note(record=record, kills=kills).model_dump_json().encode())

    def suspect(self) -> None:
        """Note that something was lost, nobody knows at which record, unless there is a note of one."""
        if self.suspected:
            return
        self._storage.put(self._name, _Note(record=_UNKNOWN).model_dump_json().encode())

    @property
    def suspected(self) -> bool:
        """Whether something was lost, and no careful worker has come since."""
        return self._read().record is not None

    def leave(self) -> None:
        """Note that nothing is in hand."""
        self._storage.put(self._name, _Note(record=None).model_dump_json().encode())

    def _read(self) -> _Note:
        try:
            return _Note.model_validate_json(self._storage.get(self._name) or b"")
        except ValidationError:
            return _Note(record=None)
