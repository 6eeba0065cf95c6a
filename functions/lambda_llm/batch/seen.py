"""Which ids a file has more than once, in eight bytes for each: a hundred million fit into an environment."""

import hashlib
from array import array
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

_BUCKETS: Final = 256
"""Hashes are sorted bucket by bucket, because Python's list of a bucket takes five times the memory."""

_BYTES: Final = 8


def hash_of(custom_id: str) -> int:
    """Of an id. Two of a hundred million share one with a probability of 0.03 %, so the ids themselves decide."""
    return int.from_bytes(hashlib.blake2b(custom_id.encode(errors="surrogatepass"), digest_size=_BYTES).digest())


class Seen:
    """Hashes of ids."""

    def __init__(self, content: bytes = b"") -> None:
        """Take what another one has written.

        Args:
            content: `written()` of it.
        """
        self._buckets = [array("Q") for _ in range(_BUCKETS)]
        if content:
            for each in memoryview(content).cast("Q"):
                self._buckets[each % _BUCKETS].append(each)

    def add(self, custom_id: str) -> None:
        """Add an id."""
        hashed = hash_of(custom_id)
        self._buckets[hashed % _BUCKETS].append(hashed)

    def __len__(self) -> int:
        """How many ids were added."""
        return sum(map(len, self._buckets))

    def written(self) -> bytes:
        """For an invocation that goes on."""
        return b"".join(bucket.tobytes() for bucket in self._buckets)

    def twice(self) -> set[int]:
        """Hashes that were added more than once."""
        return set(self._twice())

    def _twice(self) -> Iterator[int]:
        for bucket in self._buckets:
            yield from (one for one, next_one in pairwise(sorted(bucket)) if one == next_one)
