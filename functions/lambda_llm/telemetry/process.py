"""What the kernel knows of this process: its age and its memory.

Source: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
"""

import os
import time
from pathlib import Path
from typing import Final

_LOADED: Final = time.monotonic()


def seconds() -> float:
    """Since the process began; where the kernel does not tell, since this module was loaded."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return time.monotonic() - _LOADED


def resident_bytes() -> int | None:
    """Memory of the process, shared pages included; None: the kernel does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
