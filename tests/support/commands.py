"""The commands as processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from support.servers import LIMIT_SECONDS

COMMAND = [sys.executable, "-m", "lambda_llm.cli"]
INTERRUPTED = 130


def run(
    *arguments: object, environment: Mapping[str, str] = os.environ, said: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with `said` on standard input."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env={**environment, "NO_COLOR": "1", "LAMBDA_LLM_THREADS": "1"},
        input=said,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )


@contextmanager
def program(command: Sequence[object], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run a program beside the test, with pipes for its output and nothing on standard input; killed at the end."""
    with subprocess.Popen(
        [str(each) for each in command],
        env={**environment, "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as started:
        try:
            yield started
        finally:
            if started.poll() is None:
                started.kill()


@contextmanager
def running(*arguments: object, environment: Mapping[str, str] = os.environ) -> Iterator[subprocess.Popen[str]]:
    """Run a command beside the test."""
    with program([*COMMAND, *arguments], {**environment, "LAMBDA_LLM_THREADS": "1"}) as started:
        yield started


def interrupted(process: subprocess.Popen[str]) -> str:
    """What a command still says after Ctrl-C; it ends as one that was interrupted, in order."""
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == INTERRUPTED, errors
    assert "Traceback" not in errors
    return errors
