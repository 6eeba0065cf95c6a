"""A session store over a dictionary, which tests can look into, spoil and stop."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lambda_llm.aws.errors import StorageError
from lambda_llm.engine.engine import Engine
from lambda_llm.engine.session_store import SessionStore

FINGERPRINT = b"the demo model"


class Shelf:
    """A storage in memory.

    Attributes:
        objects: by name.
        asked: names that were asked for, in order.
        broken: whether it fails at everything.
        open: cleared, it lets nothing through until it is set again.
        reached: whether somebody waits, or has waited, at it.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.broken = False
        self.open = threading.Event()
        self.open.set()
        self.reached = threading.Event()

    def get(self, name: str, most: int) -> bytes | None:
        self._pass()
        self.asked.append(name)
        entry = self.objects.get(name)
        assert entry is None or len(entry) <= most
        return entry

    def put(self, name: str, parts: Sequence[bytes | bytearray | memoryview]) -> None:
        self._pass()
        self.objects[name] = b"".join(parts)

    def _pass(self) -> None:
        self.reached.set()
        assert self.open.wait(60)
        if self.broken:
            raise StorageError("the shelf fell down")


@contextmanager
def sessions(engine: Engine, shelf: Shelf, fingerprint: bytes = FINGERPRINT) -> Iterator[SessionStore]:
    """A store of one process; each has its own, over the same shelf."""
    store = SessionStore(engine.decoder, shelf, fingerprint)
    try:
        yield store
    finally:
        shelf.open.set()
        store.close()
