"""How many CPUs this process may really use."""

import os
from pathlib import Path
from typing import Final

from lambda_llm.limits import MIB

_CGROUP_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")

WEIGHTS_PER_THREAD: Final = 64 * MIB
"""Below this share, waiting for each other costs more than sharing the work brings: every layer of a model of a few
megabytes takes microseconds. A model of 0.7 GB gets all of Lambda's 6 vCPUs."""


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


def threads_for(weights: int) -> int:
    """Threads for a model: as many as there are CPUs, but none without work.

    Args:
        weights: bytes.
    """
    return min(available_cpus(), 1 + weights // WEIGHTS_PER_THREAD)
