"""Progress of a set-up's long steps: one live line on a terminal, a line every ten seconds in a log."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Self, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

__all__ = ["Progress", "SetupError", "explain", "run", "stop_all"]

SECONDS_BETWEEN_LOG_LINES = 10.0
SECONDS_BETWEEN_REDRAWS = 0.1
TAIL_LINES = 15

CAUSES = (
    (("No space left on device", "Errno 28"), "The disk is full: a set-up needs about 1 GB, 2 GB without a compiler."),
    (
        ("DO NOT MATCH THE HASHES",),
        "A downloaded package does not match its hash in requirements/: nothing was installed.",
    ),
    (
        (
            "Temporary failure in name resolution",
            "Name or service not known",
            "nodename nor servname",
            "NewConnectionError",
            "Network is unreachable",
            "Connection refused",
            "ConnectTimeoutError",
            "Could not fetch URL",
            "Failed to resolve",
        ),
        "The package index can't be reached: this first set-up needs a network, later ones do not.",
    ),
    (
        ("Could not find a version", "No matching distribution found"),
        "The package index has no build of a package in requirements/ for this Python and platform.",
    ),
    (
        ("ensurepip is not available", "No module named ensurepip"),
        "This Python has no pip or venv: install them (python3-venv on Debian and Ubuntu).",
    ),
)


_running: set[subprocess.Popen[str]] = set()


class SetupError(Exception):
    """The set-up failed; the message is one sentence for the user who ran `make`."""


def explain(output: str) -> str | None:
    """Return the cause of a failed command in one sentence.

    Args:
        output: the last lines that the command printed.

    Returns:
        The sentence, or None if the output shows no known cause.
    """
    return next((sentence for signs, sentence in CAUSES if any(sign in output for sign in signs)), None)


class Progress:
    """State of several concurrent steps.

    A step is a name; its state is a few words, each replacing the last. `done` prints one permanent line.

    Args:
        stream: where to write; a live line is drawn only if it is a terminal.
    """

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._states: dict[str, str] = {}
        self._since: dict[str, float] = {}
        self._logged: dict[str, float] = {}
        self._drawn = 0.0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._clear()

    def update(self, step: str, state: str) -> None:
        """Set the state of a step, starting it if it is new."""
        now = time.monotonic()
        with self._lock:
            begun = step not in self._since
            self._since.setdefault(step, now)
            self._states[step] = state
            if self._live:
                if begun or now - self._drawn >= SECONDS_BETWEEN_REDRAWS:
                    self._draw(now)
            elif now - self._logged.get(step, float("-inf")) >= SECONDS_BETWEEN_LOG_LINES:
                self._logged[step] = now
                self._write(f"  {step}: {state}\n")

    def done(self, step: str, result: str) -> None:
        """End a step and print its result and duration."""
        now = time.monotonic()
        with self._lock:
            seconds = now - self._since.pop(step, now)
            self._states.pop(step, None)
            self._logged.pop(step, None)
            self._clear()
            self._write(f"  {step}: {result} ({seconds:.0f} s)\n")
            if self._states and self._live:
                self._draw(now)

    def _draw(self, now: float) -> None:
        self._drawn = now
        line = "  " + "   ".join(f"{step}: {state}" for step, state in self._states.items())
        width = shutil.get_terminal_size().columns - 1
        self._write(f"\r\x1b[K{line[:width]}")

    def _clear(self) -> None:
        if self._live:
            self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def run(
    command: Sequence[str],
    log: Path,
    on_line: Callable[[str], None],
    failure: str,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a command, pass on each line of its output, and log all of it.

    Args:
        command: program and arguments.
        log: file for the output, overwritten.
        on_line: called with each line as it arrives.
        failure: start of the error message, such as "llama.cpp did not compile".
        environment: variables; None for this process's own.

    Raises:
        SetupError: the command failed or does not exist.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    with log.open("w", encoding="utf-8") as log_file:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=environment,
            )
        except OSError as error:
            raise SetupError(f"{failure}: {error}.") from error
        _running.add(process)
        with process:
            for line in process.stdout or ():
                log_file.write(line)
                tail.append(line)
                on_line(line.rstrip())
    _running.discard(process)
    if process.returncode:
        output = "".join(tail)
        reason = explain(log.read_text(encoding="utf-8", errors="replace"))
        if reason:
            raise SetupError(f"{failure}: {reason[0].lower()}{reason[1:]} (log: {log})")
        raise SetupError(f"{failure}; its last lines (all in {log}):\n{output.rstrip()}")


def stop_all() -> None:
    """Terminate the commands of all threads, after one step has failed."""
    for process in tuple(_running):
        process.terminate()
