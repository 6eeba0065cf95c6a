"""How much memory there is, and how much of it this process holds."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil

from lambda_llm.limits import MIB
from lambda_llm.settings import Settings

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


def resident() -> int:
    """Bytes of this process in RAM, the mapped pages of a memory file included."""
    return psutil.Process().memory_info().rss
