"""How many CPUs this process may really use."""

import os
from pathlib import Path
from typing import Final

_CGROUP_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")


def available_cpus(quota: Path = _CGROUP_QUOTA) -> int:
    """CPUs that this process may run on, no more than its cgroup's quota pays for; at least 1.

    llama.cpp's threads wait for each other at every layer, so one thread more than CPUs costs more than it
    brings. On Lambda neither `/sys/devices/system/cpu/possible` nor `present` exists; the affinity mask does.

    Args:
        quota: cgroup v2's `cpu.max`: microseconds of CPU time per period, or `max`.

    Source: https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        limit, period = quota.read_text().split()
        paid = int(limit) // int(period)
    except (OSError, ValueError):
        return allowed
    return max(1, min(allowed, paid))
