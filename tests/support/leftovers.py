"""What a load may leave behind and must not."""

import threading
import time
from pathlib import Path

import psutil


def leftovers(ports: set[int] = frozenset()) -> list[str]:  # type: ignore[assignment]
    """Memory files, their mappings, threads of a load, and connections to one of `ports`, in words."""
    found = [f"descriptor {fd} of {name}" for fd, name in _open_files() if name.startswith("/memfd:lambda-llm")]
    found += [line for line in Path("/proc/self/maps").read_text().splitlines() if "/memfd:lambda-llm" in line]
    found += [
        f"thread {thread.name}"
        for thread in threading.enumerate()
        if thread.name.startswith("lambda-llm") or isinstance(thread, threading.Timer)
    ]
    if ports:
        found += [
            f"connection to {each.raddr}"
            for each in psutil.Process().net_connections("tcp")
            if each.raddr and each.raddr.port in ports
        ]
    return found


def _open_files() -> list[tuple[str, str]]:
    names = []
    for fd in Path("/proc/self/fd").iterdir():
        try:
            names.append((fd.name, str(fd.readlink())))
        except FileNotFoundError:
            # the descriptor by which the folder itself was listed
            continue
    return names


def wait_until(condition, seconds: float = 5) -> bool:
    """Whether `condition` came true: for what another thread does shortly after."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
