"""Session store: KV caches of conversations in external storage, addressed by content.

A conversation is stored in entries: one per block of `BLOCK_TOKENS` tokens, which never changes, and one for the rest
up to the end of a turn. Of a recurrent or hybrid model, whose state can't be divided, it is one entry of all tokens for
each turn. An entry's name is a hash chained over everything before it, so any process can derive the
names of the entries it can use from the next turn's prompt. A tenant's entries are in a folder of its own, so that they
can be erased. docs/decisions/0021-sessions-by-content.md has the reasons.
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
from lambda_llm.aws.tenant_folder import tenant_folder
from lambda_llm.engine.cancellation import Cancellation
from lambda_llm.engine.decoder import Buffer, Decoder
from lambda_llm.engine.errors import EngineError
from lambda_llm.engine.kv_state import check_finite
from lambda_llm.engine.prefix_cache import CacheScope

logger = logging.getLogger(__name__)

BLOCK_TOKENS: Final = 128
"""Tokens per block. 2 to 9 MB for models of 1 to 8 billion parameters: large enough to outweigh the latency of a
request to S3, and a turn rewrites fewer tokens than this."""

WORTH_TOKENS: Final = 16
"""Prefilling fewer new tokens takes less time than a request to the store."""

TURN_ENDS: Final = 3
"""How many ends of turns, from the prompt's end backwards, are looked up in addition to whole blocks."""

ENTRY_BYTES: Final = 128 * 1024 * 1024
"""Largest entry: 1 MB per token of a block, which no model that fits into Lambda's memory reaches. The longest
conversations of hybrid models may, and are not stored then."""

CONNECTIONS: Final = 8
"""Entries that are transferred concurrently; also the most that are requested in vain."""

PENDING: Final = 16
"""Entries that wait to be written: bounds the memory when the model is faster than S3."""

PENDING_TOKENS: Final = (PENDING + CONNECTIONS) * BLOCK_TOKENS
"""Tokens whose keys and values the store may hold in memory: those waiting, and those being written once more."""

PENDING_STATES: Final = 2
"""Conversations of a recurrent model in memory at a time: one that was read or waits to be written, and a copy."""

LOAD_SECONDS: Final = 2.0
"""How long a request waits for the next entry before it prefills the rest."""

SAVE_SECONDS: Final = 5.0
"""How long the end of a request waits for its writes."""

PAUSE_SECONDS: Final = 30.0
"""How long the storage is not used after a failure: otherwise each request would wait for the same failure."""

KNOWN_ENTRIES: Final = 8192
"""Entries that this process remembers as stored: half a megabyte of names."""

_CANCEL_CHECK_SECONDS: Final = 0.05
"""How often a request that waits for the store checks whether it was cancelled."""

_MAGIC: Final = b"lambda-llm-kv-1\n"
_HEADER: Final = struct.Struct("<16s32sII32s")  # magic, name, first token, end, SHA-256 of the rest


class Storage(Protocol):
    """Object storage for entries. Safe to use from several threads."""

    def get(self, name: str, most: int) -> bytes | None:
        """Read an object; None where there is none.

        Args:
            name: two of hex digits with a slash between them.
            most: maximum size in bytes; a larger object is an error.

        Raises:
            StorageError: it could not be read.
        """
        ...

    def put(self, name: str, parts: Sequence[Buffer]) -> None:
        """Write an object atomically.

        Args:
            name: as above.
            parts: of the object, in order.

        Raises:
            StorageError: it was not written.
        """
        ...


class DamagedError(Exception):
    """An entry's bytes do not match its name."""


@dataclass
class Counts:
    """Counters since the start of the process.

    Attributes:
        hits: requests for which at least one entry was restored.
        misses: requests for which none was.
        restored_tokens: tokens restored instead of prefilled.
        saved_entries: entries written.
        saved_bytes: bytes written.
        damaged: entries that failed validation and were neither used nor stored.
        failures: times that the storage failed or timed out.
    """

    hits: int = 0
    misses: int = 0
    restored_tokens: int = 0
    saved_entries: int = 0
    saved_bytes: int = 0
    damaged: int = 0
    failures: int = 0


class SessionStore:
    """Saves and restores keys and values of one model's conversations.

    Attributes:
        counts: what was done so far.
    """

    def __init__(self, decoder: Decoder, storage: Storage, fingerprint: bytes) -> None:
        """Prepare; the storage is not accessed yet.

        Args:
            decoder: whose keys and values are stored.
            storage: where entries are stored.
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
        """One request's access to the store.

        Args:
            prompt: token ids.
            scope: requests of an equal scope find the stored entries.
            pinned: tokens of the prompt that every process has pinned, which need not be stored.
        """
        return Turn(self, self._decoder, prompt, scope, pinned)

    def names(self, tokens: Sequence[int], scope: CacheScope) -> "Names":
        """The names of the entries of a token sequence."""
        return Names(self._fingerprint, tokens, scope)

    def close(self) -> None:
        """Stop the threads, after the writes that have begun."""
        self._pool.shutdown(cancel_futures=True)

    # -- for Turn -----------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Whether the storage failed within the last `PAUSE_SECONDS`."""
        return time.monotonic() < self._paused_until

    def fetch(self, folder: str, name: bytes) -> "Future[bytes | None]":
        """Start to read an entry of a tenant's folder."""
        return self._pool.submit(self._storage.get, folder + name.hex(), ENTRY_BYTES)

    def write(self, folder: str, name: bytes, start: int, end: int, state: Buffer) -> "Future[None]":
        """Start to write an entry; the future never fails."""
        self._remember(name)
        return self._pool.submit(self._write, folder, name, start, end, state)

    def knows(self, name: bytes) -> bool:
        """Whether the entry is in the store, as far as this process knows."""
        with self._lock:
            return name in self._known

    def opened(self, name: bytes, start: int, end: int, entry: bytes) -> memoryview:
        """Validate an entry and remember it as stored; returns its state.

        Raises:
            DamagedError: it is damaged, truncated, or another entry.
            EngineError: it has numbers that are not finite.
        """
        state = _validated(name, start, end, entry)
        check_finite(state)
        self._remember(name)
        return state

    def loaded(self, tokens: int) -> None:
        """Count a hit, or a miss where no token was restored."""
        if tokens:
            self.counts.hits += 1
            self.counts.restored_tokens += tokens
        else:
            self.counts.misses += 1

    def refused(self, error: Exception) -> None:
        """Count and log an entry that could not be used, and will be overwritten, or must not be stored."""
        with self._lock:
            self.counts.damaged += 1
        logger.warning("an entry of the session store was not used: %s", error)

    def failed(self, doing: str, error: BaseException | str) -> None:
        """Count and log a failure, and don't use the storage for `PAUSE_SECONDS`."""
        with self._lock:
            self.counts.failures += 1
            self._paused_until = time.monotonic() + PAUSE_SECONDS
        logger.warning("the session store could not %s and is not used for %g s: %s", doing, PAUSE_SECONDS, error)

    def _write(self, folder: str, name: bytes, start: int, end: int, state: Buffer) -> None:
        digest = hashlib.sha256(state).digest()
        try:
            check_finite(state)
            self._storage.put(folder + name.hex(), [_HEADER.pack(_MAGIC, name, start, end, digest), state])
        except (EngineError, StorageError) as error:
            with self._lock:
                self._known.pop(name, None)
            if isinstance(error, EngineError):
                self.refused(error)
            else:
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
    """Names of the entries of one token sequence: 32 bytes that depend on every token before the entry's end.

    Each is a SHA-256 over the name of the block before it and the tokens since; the first block's is over the
    fingerprint and the scope. They reveal none of these, but confirm a guess that gets all of them right.
    """

    def __init__(self, fingerprint: bytes, tokens: Sequence[int], scope: CacheScope) -> None:
        self._tokens = np.asarray(tokens, np.int32)
        root = hashlib.sha256(fingerprint)
        for part in (scope.tenant, scope.session):
            # With its length, so that no two scopes collide; None differs from an empty text.
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
    """One request's loads and saves; hold the decoder's lock, except in `settle`."""

    def __init__(
        self, store: SessionStore, decoder: Decoder, prompt: Sequence[int], scope: CacheScope, pinned: int
    ) -> None:
        self._store = store
        self._decoder = decoder
        self._pinned = pinned
        self._prompt = prompt
        self._scope = scope
        self._names = store.names(prompt, scope)
        self._folder = tenant_folder(scope.tenant)
        self._writing: list[Future[None]] = []
        self._saved_by: float | None = None

    def load(self, cached: int, cancellation: Cancellation) -> int:
        """Restore as much of the prompt as the store has into the KV cache; failures are counted, never raised.

        Args:
            cached: tokens of the prompt that the KV cache already starts with.
            cancellation: ends the wait for the storage.

        Returns:
            Tokens of the prompt that the KV cache starts with now.
        """
        last = len(self._prompt) - 1  # always evaluated: its logits are needed
        if last - cached < WORTH_TOKENS or self._store.paused:
            return cached
        blocks = range(_start_of(cached + 1) + BLOCK_TOKENS, last + 1, BLOCK_TOKENS) if self._in_blocks else ()
        turns = [end for end in self._turn_ends() if cached < end <= last]
        names = self._names
        # All at once, but for whole conversations, of which one will do.
        reading = {end: self._fetch(names.until(end)) for end in (*turns, *blocks)} if self._in_blocks else {}
        reached = cached
        try:
            for end in (*blocks, *turns):
                if self._start_of(end) > reached:
                    continue  # the block before it is missing
                if end > reached and self._take(end, names.until(end), reading.get(end), cancellation):
                    reached = end
        except StorageError as error:
            self._store.failed("read an entry", error)
        finally:
            for future in reading.values():
                future.cancel()
        self._store.loaded(reached - cached)
        return reached

    def save_prompt(self) -> None:
        """Start to write the entries of the evaluated prompt that the store lacks; never waits."""
        if not self._in_blocks:
            return  # the next turn can only start from the end of the answer
        blocks = range(BLOCK_TOKENS, len(self._prompt) + 1, BLOCK_TOKENS)
        # Where the client's copy of the response tokenizes differently, the next turn starts from here.
        self._save([*blocks, *self._turn_ends()[:1]], self._names, until=time.monotonic())

    def save_answer(self) -> None:
        """Start to write the entries of the whole conversation, including the response, that the store lacks."""
        tokens = self._decoder.evaluated
        blocks = range(BLOCK_TOKENS, len(tokens) + 1, BLOCK_TOKENS) if self._in_blocks else ()
        self._saved_by = time.monotonic() + SAVE_SECONDS
        self._save([*blocks, len(tokens)], self._store.names(tokens, self._scope), until=self._saved_by)

    def settle(self) -> None:
        """Wait until everything is written, at most until `SAVE_SECONDS` after the end of the answer."""
        left = SAVE_SECONDS if self._saved_by is None else max(0.0, self._saved_by - time.monotonic())
        if wait(self._writing, left).not_done:
            self._store.failed("write all entries", f"it took more than {SAVE_SECONDS:g} s")

    def _fetch(self, name: bytes) -> "Future[bytes | None]":
        return self._store.fetch(self._folder, name)

    def _take(self, end: int, name: bytes, asked: "Future[bytes | None] | None", cancellation: Cancellation) -> bool:
        """Wait for an entry and append it to the KV cache; False where that is not possible."""
        deadline = time.monotonic() + LOAD_SECONDS
        future = asked or self._fetch(name)
        while not wait([future], _CANCEL_CHECK_SECONDS).done:
            if cancellation.cancelled:
                return False
            if time.monotonic() > deadline:
                raise StorageError(f"it took more than {LOAD_SECONDS:g} s")
        entry = future.result()
        if entry is None:
            return False
        start = self._start_of(end)
        try:
            state = self._store.opened(name, start, end, entry)
            self._decoder.truncate(start)
            self._decoder.append_state(self._prompt[start:end], state)
        except (DamagedError, EngineError) as error:
            self._store.refused(error)
            return False
        return True

    def _save(self, ends: Iterable[int], names: "Names", *, until: float) -> None:
        if self._store.paused:
            return
        # Prefixes are pinned before the snapshot, so every process has them.
        first = self._start_of(self._pinned + 1)
        try:
            for end in ends:
                start, name = self._start_of(end), names.until(end)
                if start < first or self._store.knows(name):
                    continue
                pending = [each for each in self._writing if not each.done()]
                if (
                    len(pending) >= PENDING
                    and not wait(pending, max(0, until - time.monotonic()), FIRST_COMPLETED).done
                ):
                    return
                state = self._decoder.read_state(start, end)
                if len(state) > ENTRY_BYTES - _HEADER.size:
                    logger.warning("a conversation of %d bytes is too long for the session store", len(state))
                    return
                self._writing.append(self._store.write(self._folder, name, start, end, state))
        except EngineError as error:
            self._store.failed("copy an entry out of the KV cache", error)

    @property
    def _in_blocks(self) -> bool:
        """Whether there is an entry for each block; a recurrent model has one state, of all tokens, at the end."""
        return self._decoder.model.divisible

    def _start_of(self, end: int) -> int:
        return _start_of(end) if self._in_blocks else 0

    def _turn_ends(self) -> list[int]:
        """Positions at which a turn of the prompt ends, the last one first, without the token that ends it.

        A response that `max_tokens` cut lacks one token more: its last one was sent, but never evaluated.
        """
        ends = (end for end in range(len(self._prompt) - 1, 0, -1) if self._decoder.model.ends_turn(self._prompt[end]))
        return [each for end in islice(ends, TURN_ENDS) for each in (end, end - 1)]


def _start_of(end: int) -> int:
    """First token of the entry that ends before token `end`."""
    return (end - 1) // BLOCK_TOKENS * BLOCK_TOKENS


def _validated(name: bytes, start: int, end: int, entry: bytes) -> memoryview:
    state = memoryview(entry)[_HEADER.size :]
    try:
        header = _HEADER.unpack_from(entry)
    except struct.error:
        raise DamagedError("an entry is shorter than its header") from None
    if header[:4] != (_MAGIC, name, start, end):
        raise DamagedError("an entry's header has another name or other tokens")
    if header[4] != hashlib.sha256(state).digest():
        raise DamagedError("an entry was truncated or altered")
    return state
