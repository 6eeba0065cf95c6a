"""How much memory there is, and how much of it this process holds."""

import ctypes
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil

from lambda_llm.inference.settings import Settings
from lambda_llm.limits import MIB

_WIPED_BYTES: Final = 2 * MIB
"""Of each size of block: several times of what an init leaves free."""

_CGROUP_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")


def available_memory(
    settings: Settings, environment: Mapping[str, str] = os.environ, cgroup_limit: Path = _CGROUP_LIMIT
) -> int:
    """Bytes that the model and this process may use: the setting, else Lambda's, else what is free here."""
    if settings.memory_mb is not None:
        return settings.memory_mb * MIB
    if size := environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"):
        return int(size) * MIB
    free = psutil.virtual_memory().available
    try:
        return min(free, int(cgroup_limit.read_text()))
    except (OSError, ValueError):  # no cgroup v2, or `max`
        return free


def wipe() -> None:
    """Overwrite the texts that Python has freed: their bytes stay where they were until the place is used again.

    Texts of up to 512 bytes, a secret key among them, lie in blocks of sizes that are multiples of 16. Enough new ones
    of each size fill every block that is free, and more, which the system gets back.

    Source: https://docs.python.org/3/c-api/memory.html#the-pymalloc-allocator
    """
    head = sys.getsizeof(b"")
    [[bytes(size - head) for _ in range(_WIPED_BYTES // size)] for size in range(48, 513, 16)]


def give_back() -> None:
    """Return to the system what the C library keeps of freed memory; other libraries than glibc do so by themselves.

    Source: https://man7.org/linux/man-pages/man3/malloc_trim.3.html
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def resident() -> int:
    """Bytes of this process in RAM, the mapped pages of a memory file included."""
    return psutil.Process().memory_info().rss
