"""How many CPUs this process may use, and how many threads a model gets."""

import os
from pathlib import Path
from typing import Final

from lambda_llm.limits import MIB

_CGROUP_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")

WEIGHTS_PER_THREAD: Final = 64 * MIB
"""Bytes; with less per thread, synchronization costs more than parallelism gains: every layer of a model of a few
megabytes takes microseconds. A model of 0.7 GB gets all of Lambda's 6 vCPUs."""


def available_cpus(quota: Path = _CGROUP_QUOTA) -> int:
    """CPUs in this process's affinity mask, limited by its cgroup's quota; at least 1.

    llama.cpp's threads synchronize at every layer, so a thread more than there are CPUs slows all of them down. On
    Lambda neither `/sys/devices/system/cpu/possible` nor `present` exists; the affinity mask does.

    Args:
        quota: cgroup v2's `cpu.max`: microseconds of CPU time (or `max`) and the period.

    Source: https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        limit, period = quota.read_text().split()
        granted = int(limit) // int(period)
    except (OSError, ValueError):
        return allowed
    return max(1, min(allowed, granted))


def threads_for(weights: int) -> int:
    """Threads for a model: one per CPU, but no more than its weights are worth.

    Args:
        weights: in bytes.
    """
    return min(available_cpus(), 1 + weights // WEIGHTS_PER_THREAD)
