"""KV caches of conversations, stored outside of this process and found by their content.

A conversation is stored in entries: one for each `BLOCK_TOKENS` tokens, which never changes, and one for the rest up to
the end of a turn. An entry's name is a hash chained over everything before it, so the next turn's prompt, whoever sends
it and wherever it arrives, names the entries that it can use. docs/decisions/0021-sessions-by-content.md has the
reasons.
"""

import hashlib
import logging
import struct
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

import numpy as np

from lambda_llm.aws.errors import StorageError
from lambda_llm.engine.cancellation import Cancellation
from lambda_llm.engine.decoder import Buffer, Decoder
from lambda_llm.engine.errors import EngineError
from lambda_llm.engine.prefix_cache import CacheScope

logger = logging.getLogger(__name__)

BLOCK_TOKENS: Final = 128
"""An entry's length. 2 to 9 MB for models of 1 to 8 billion parameters: large against a request's latency, and no turn
writes more than this many tokens anew."""

WORTH_TOKENS: Final = 16
"""Fewer new tokens are computed sooner than asked for."""

TURN_ENDS: Final = 3
"""How many ends of turns, from the prompt's end backwards, are looked for besides whole blocks."""

ENTRY_BYTES: Final = 128 * 1024 * 1024
"""Largest entry: a megabyte a token, which no model that fits into Lambda's memory reaches."""

CONNECTIONS: Final = 8
"""Entries that are on their way at the same time; what is asked for in vain is at most this many."""

PENDING: Final = 16
"""Entries that wait to be written at the same time: no answer fills the memory faster than S3 takes it."""

PENDING_TOKENS: Final = (PENDING + CONNECTIONS) * BLOCK_TOKENS
"""Tokens whose keys and values may be in memory because of this: each being written is there once more."""

LOAD_SECONDS: Final = 2.0
"""How long a request waits for the next entry before it computes the rest itself."""

SAVE_SECONDS: Final = 5.0
"""How long a request's end waits for what it leaves in the store."""

PAUSE_SECONDS: Final = 30.0
"""A store that failed is not asked again for so long: each request would wait for the same failure."""

KNOWN_ENTRIES: Final = 8192
"""Entries that this process remembers to be in the store: half a megabyte of names."""

_CANCEL_CHECK_SECONDS: Final = 0.05
"""How soon a request that is left stops waiting for the store."""

_MAGIC: Final = b"lambda-llm-kv-1\n"
_HEADER: Final = struct.Struct("<16s32sII32s")  # magic, name, first token, end, SHA-256 of the rest


class Storage(Protocol):
    """Where entries lie. Safe to use from several threads."""

    def get(self, name: str, most: int) -> bytes | None:
        """An object, or None where there is none.

        Args:
            name: hex digits.
            most: bytes; a larger object is an error.

        Raises:
            StorageError: it could not be read.
        """
        ...

    def put(self, name: str, parts: Sequence[Buffer]) -> None:
        """Write an object, whole or not at all.

        Raises:
            StorageError: it was not written.
        """
        ...


class DamagedError(Exception):
    """An entry is not what its name promises."""


@dataclass
class Counts:
    """What the store did since the start.

    Attributes:
        hits: requests for which something was found.
        misses: requests for which nothing was.
        restored_tokens: tokens that needed no evaluation.
        saved_entries: entries written.
        saved_bytes: bytes of them.
        damaged: entries that were not what their names promise, and were not used.
        failures: times that the storage failed, or took too long.
    """

    hits: int = 0
    misses: int = 0
    restored_tokens: int = 0
    saved_entries: int = 0
    saved_bytes: int = 0
    damaged: int = 0
    failures: int = 0


class SessionStore:
    """Keeps what one model evaluated, and finds it again.

    Attributes:
        counts: what was done so far.
    """

    def __init__(self, decoder: Decoder, storage: Storage, fingerprint: bytes) -> None:
        """Contact nobody yet.

        Args:
            decoder: whose keys and values are stored.
            storage: where.
            fingerprint: of everything that keys and values depend on besides tokens: the model's bytes, the options,
                llama.cpp's version. Entries of another fingerprint are never found.
        """
        self.counts = Counts()
        self._decoder = decoder
        self._storage = storage
        self._fingerprint = fingerprint
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(CONNECTIONS, "lambda-llm-sessions")
        self._paused_until = 0.0

    def turn(self, prompt: Sequence[int], scope: CacheScope, pinned: int = 0) -> "Turn":
        """One request's use of the store.

        Args:
            prompt: token ids.
            scope: who may find what is stored.
            pinned: tokens of the prompt that every process has pinned already, which need not be stored.
        """
        return Turn(self, self._decoder, prompt, scope, pinned)

    def names(self, tokens: Sequence[int], scope: CacheScope) -> "Names":
        """The names of a sequence's entries."""
        return Names(self._fingerprint, tokens, scope)

    def close(self) -> None:
        """End the threads; what is being written is written."""
        self._pool.shutdown(cancel_futures=True)

    # -- for Turn -----------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Whether the storage failed a moment ago."""
        return time.monotonic() < self._paused_until

    def fetch(self, name: bytes) -> "Future[bytes | None]":
        """Begin to read an entry."""
        return self._pool.submit(self._storage.get, name.hex(), ENTRY_BYTES)

    def write(self, name: bytes, start: int, end: int, state: Buffer) -> "Future[None]":
        """Begin to write an entry; the future never fails."""
        self._remember(name)
        return self._pool.submit(self._write, name, start, end, state)

    def knows(self, name: bytes) -> bool:
        """Whether the entry is in the store, as far as this process knows."""
        with self._lock:
            return name in self._known

    def opened(self, name: bytes, start: int, end: int, entry: bytes) -> memoryview:
        """The state inside an entry; remembers that it is there.

        Raises:
            DamagedError: it is damaged, cut short, or another entry.
        """
        state = _opened(name, start, end, entry)
        self._remember(name)
        return state

    def loaded(self, tokens: int) -> None:
        """Count a request's success, or the lack of it."""
        if tokens:
            self.counts.hits += 1
            self.counts.restored_tokens += tokens
        else:
            self.counts.misses += 1

    def refused(self, error: Exception) -> None:
        """Count and log an entry that could not be used; it is written anew."""
        self.counts.damaged += 1
        logger.warning("an entry of the session store was not used: %s", error)

    def failed(self, doing: str, error: BaseException | str) -> None:
        """Count and log a failure, and leave the storage alone for a while."""
        with self._lock:
            self.counts.failures += 1
            self._paused_until = time.monotonic() + PAUSE_SECONDS
        logger.warning("the session store could not %s, so it is left alone for %g s: %s", doing, PAUSE_SECONDS, error)

    def _write(self, name: bytes, start: int, end: int, state: Buffer) -> None:
        digest = hashlib.sha256(state).digest()
        try:
            self._storage.put(name.hex(), [_HEADER.pack(_MAGIC, name, start, end, digest), state])
        except StorageError as error:
            with self._lock:
                self._known.pop(name, None)
            self.failed("write an entry", error)
            return
        with self._lock:
            self.counts.saved_entries += 1
            self.counts.saved_bytes += _HEADER.size + len(state)

    def _remember(self, name: bytes) -> None:
        with self._lock:
            self._known[name] = None
            self._known.move_to_end(name)
            if len(self._known) > KNOWN_ENTRIES:
                self._known.popitem(last=False)


class Names:
    """Names of the entries of one sequence of tokens: 32 bytes, different for any difference before their end.

    Each is a SHA-256 over the name of the block before it and the tokens since, and the first over the fingerprint
    and the scope. They reveal none of these, but to somebody who guesses all of them right.
    """

    def __init__(self, fingerprint: bytes, tokens: Sequence[int], scope: CacheScope) -> None:
        self._tokens = np.asarray(tokens, np.int32)
        root = hashlib.sha256(fingerprint)
        for part in (scope.tenant, scope.session):
            # With its length, so that no two scopes look alike; None differs from an empty text.
            root.update(b"-" if part is None else b"%d:%b" % (len(part.encode()), part.encode()))
        self._blocks = [root.digest()]

    def until(self, end: int) -> bytes:
        """The name of the entry that ends before token `end`."""
        while len(self._blocks) <= (end - 1) // BLOCK_TOKENS:
            self._blocks.append(self._hash(len(self._blocks) * BLOCK_TOKENS))
        return self._hash(end)

    def _hash(self, end: int) -> bytes:
        block = (end - 1) // BLOCK_TOKENS
        tokens = self._tokens[block * BLOCK_TOKENS : end]
        return hashlib.sha256(self._blocks[block] + tokens.astype("<i4").tobytes()).digest()


class Turn:
    """One request: what it can use of the store, and what it leaves there.

    Hold the decoder's lock, but for `settle`.
    """

    def __init__(
        self, store: SessionStore, decoder: Decoder, prompt: Sequence[int], scope: CacheScope, pinned: int
    ) -> None:
        self._store = store
        self._decoder = decoder
        self._pinned = pinned
        self._prompt = prompt
        self._scope = scope
        self._names = store.names(prompt, scope)
        self._writing: list[Future[None]] = []

    def load(self, cached: int, cancellation: Cancellation) -> int:
        """Put what the store has of the prompt into the KV cache. Nothing that goes wrong there is an error.

        Args:
            cached: tokens that the cache begins with already.
            cancellation: ends the waiting.

        Returns:
            How many tokens the cache begins with now.
        """
        last = len(self._prompt) - 1  # whose logits are needed, so it is evaluated in any case
        if not self._decoder.model.divisible or last - cached < WORTH_TOKENS or self._store.paused:
            return cached
        blocks = range(_beginning(cached + 1) + BLOCK_TOKENS, last + 1, BLOCK_TOKENS)
        turns = [end for end in self._turn_ends() if cached < end <= last]
        names = self._names
        reading = {end: self._store.fetch(names.until(end)) for end in (*turns, *blocks)}
        reached = cached
        try:
            for end in (*blocks, *turns):
                if _beginning(end) > reached:
                    continue  # the block before it is missing
                if end > reached and self._take(end, names.until(end), reading[end], cancellation):
                    reached = end
        except StorageError as error:
            self._store.failed("read an entry", error)
        finally:
            for future in reading.values():
                future.cancel()
        self._store.loaded(reached - cached)
        return reached

    def save_prompt(self) -> None:
        """Begin to write what the store lacks of the prompt, which has been evaluated, without waiting for anything."""
        blocks = range(BLOCK_TOKENS, len(self._prompt) + 1, BLOCK_TOKENS)
        # Should the client's text of the answer come back as other tokens, the next turn begins from here.
        self._save([*blocks, *self._turn_ends()[:1]], self._names, waiting=0)

    def save_answer(self) -> None:
        """Begin to write what the store lacks of the whole conversation, the answer included."""
        tokens = self._decoder.evaluated
        blocks = range(BLOCK_TOKENS, len(tokens) + 1, BLOCK_TOKENS)
        self._save([*blocks, len(tokens)], self._store.names(tokens, self._scope), waiting=SAVE_SECONDS)

    def settle(self) -> None:
        """Wait until everything is written, or long enough."""
        if wait(self._writing, SAVE_SECONDS).not_done:
            self._store.failed("write all entries", f"it took more than {SAVE_SECONDS:g} s")

    def _take(self, end: int, name: bytes, future: "Future[bytes | None]", cancellation: Cancellation) -> bool:
        """Wait for an entry and put it into the KV cache; False where it is of no use."""
        deadline = time.monotonic() + LOAD_SECONDS
        while not wait([future], _CANCEL_CHECK_SECONDS).done:
            if cancellation.cancelled:
                return False
            if time.monotonic() > deadline:
                raise StorageError(f"it took more than {LOAD_SECONDS:g} s")
        entry = future.result()
        if entry is None:
            return False
        start = _beginning(end)
        try:
            state = self._store.opened(name, start, end, entry)
            self._decoder.truncate(start)
            self._decoder.append_state(self._prompt[start:end], state)
        except (DamagedError, EngineError) as error:
            self._store.refused(error)
            return False
        return True

    def _save(self, ends: Iterable[int], names: "Names", *, waiting: float) -> None:
        if not self._decoder.model.divisible or self._store.paused:
            return
        deadline = time.monotonic() + waiting
        # Every process has the prefixes that were pinned before the snapshot.
        first = _beginning(self._pinned + 1)
        try:
            for end in ends:
                start, name = _beginning(end), names.until(end)
                if start < first or self._store.knows(name):
                    continue
                pending = [each for each in self._writing if not each.done()]
                if (
                    len(pending) >= PENDING
                    and not wait(pending, max(0, deadline - time.monotonic()), FIRST_COMPLETED).done
                ):
                    return
                self._writing.append(self._store.write(name, start, end, self._decoder.read_state(start, end)))
        except EngineError as error:
            self._store.failed("be given an entry", error)

    def _turn_ends(self) -> list[int]:
        """Where a turn of the prompt ends, the last one first, without the token that ends it.

        An answer that was cut short lacks one token more: its last one was sent, but never evaluated.
        """
        ends = (end for end in range(len(self._prompt) - 1, 0, -1) if self._decoder.model.ends_turn(self._prompt[end]))
        return [each for end in islice(ends, TURN_ENDS) for each in (end, end - 1)]


def _beginning(end: int) -> int:
    """Where the entry begins that ends before token `end`."""
    return (end - 1) // BLOCK_TOKENS * BLOCK_TOKENS


def _opened(name: bytes, start: int, end: int, entry: bytes) -> memoryview:
    state = memoryview(entry)[_HEADER.size :]
    try:
        header = _HEADER.unpack_from(entry)
    except struct.error:
        raise DamagedError("an entry is shorter than its header") from None
    if header[:4] != (_MAGIC, name, start, end):
        raise DamagedError("an entry belongs elsewhere")
    if header[4] != hashlib.sha256(state).digest():
        raise DamagedError("an entry was cut short or altered")
    return state
