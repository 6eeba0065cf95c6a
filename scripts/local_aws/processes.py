"""Processes that do not outlive whoever started them."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

STOP_SECONDS: Final = 10
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def running(command: Sequence[str | Path], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Run a command while the context lasts; it is gone when the context ends, whatever ends it.

    Args:
        command: program and arguments.
        options: of `subprocess.Popen`. With `start_new_session` whatever the command started goes with it.
    """
    process: subprocess.Popen[Any] | None = None
    try:
        with _signals_wait():
            process = subprocess.Popen(command, **options)
        yield process
    finally:
        if process is not None:
            with _signals_wait():
                _end(process)
                if options.get("start_new_session"):
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)


def _end(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    try:
        process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Signals are acted upon when the block is over.

    While `Popen` starts a process, or somebody waits for its end, an exception would leave the process to nobody.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # no other thread gets signals
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for caught in came:
            signal.raise_signal(caught)
