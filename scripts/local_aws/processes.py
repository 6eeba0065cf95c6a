"""Processes that do not outlive the one that started them."""

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
    """Run a command for the duration of the context; it is terminated however the context ends.

    Args:
        command: program and arguments.
        options: of `subprocess.Popen`. With `start_new_session` its child processes are killed too.
    """
    process: subprocess.Popen[Any] | None = None
    try:
        with _deferred_signals():
            process = subprocess.Popen(command, **options)
        yield process
    finally:
        if process is not None:
            with _deferred_signals():
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
def _deferred_signals() -> Iterator[None]:
    """Defer signals until the end of the block.

    While `Popen` starts a process, or waits for it to end, an exception would leave the process running.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread handles signals
        return
    received: list[int] = []
    before = {number: signal.signal(number, lambda number, _: received.append(number)) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for caught in received:
            signal.raise_signal(caught)
