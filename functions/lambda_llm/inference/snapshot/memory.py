"""How much memory there is, how much this process uses, and what it leaves in freed memory."""

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
"""Per block size: several times what an init leaves free."""

_CGROUP_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")
_HUGE_PAGES: Final = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def huge_pages(setting: Path = _HUGE_PAGES) -> str:
    """Whether the kernel gives a program huge pages: always, madvise (where it asks, see bin/serve), never or unknown.

    Source: https://docs.kernel.org/admin-guide/mm/transhuge.html
    """
    try:
        return setting.read_text(encoding="ascii").partition("[")[2].partition("]")[0] or "unknown"
    except OSError:
        return "unknown"


def available_memory(
    settings: Settings, environment: Mapping[str, str] = os.environ, cgroup_limit: Path = _CGROUP_LIMIT
) -> int:
    """Bytes that the model and this process may use: the setting, else the function's memory, else what is free."""
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
    """Overwrite strings that Python has freed: their bytes remain in memory until it is reused.

    Python allocates objects of up to 512 bytes, such as a secret key, in blocks whose sizes are multiples of 16. Enough
    new objects of each size fill every free block; the memory allocated beyond those is returned to the system.

    Source: https://docs.python.org/3/c-api/memory.html#the-pymalloc-allocator
    """
    head = sys.getsizeof(b"")
    [[bytes(size - head) for _ in range(_WIPED_BYTES // size)] for size in range(48, 513, 16)]


def trim_heap() -> None:
    """Return freed heap memory to the system; C libraries other than glibc do so by themselves.

    Source: https://man7.org/linux/man-pages/man3/malloc_trim.3.html
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def resident() -> int:
    """Resident memory of this process in bytes, including mapped pages of a memory file."""
    return psutil.Process().memory_info().rss
