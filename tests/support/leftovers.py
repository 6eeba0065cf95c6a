"""What a load may leave behind and must not."""

import threading
from collections.abc import Collection
from pathlib import Path

import psutil


def leftovers(ports: Collection[int] = ()) -> list[str]:
    """Memory files, their mappings, threads of a load, and connections to one of `ports`, in words."""
    found = [f"descriptor {fd} of {name}" for fd, name in _open_files() if name.startswith("/memfd:lambda-llm")]
    found += [line for line in Path("/proc/self/maps").read_text().splitlines() if "/memfd:lambda-llm" in line]
    found += [
        f"thread {thread.name}"
        for thread in threading.enumerate()
        if thread.name.startswith("lambda-llm-load") or isinstance(thread, threading.Timer)
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
