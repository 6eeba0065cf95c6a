"""No process outlives whoever started it, whenever the signal comes."""

import signal
import subprocess
import sys
from typing import Any

import psutil
import pytest

from scripts.local_aws import processes
from scripts.local_aws.processes import running

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
]


def test_a_process_ends_with_its_context() -> None:
    with running(SLEEP, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "up\n"
        assert process.poll() is None
    assert process.returncode == -signal.SIGTERM
    assert process.stdout.closed


def test_what_a_process_of_its_own_session_started_goes_with_it() -> None:
    starts = "import subprocess, sys; print(subprocess.Popen(sys.argv[1:]).pid, flush=True)"
    with running(
        [sys.executable, "-c", starts, *SLEEP], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as p:
        assert p.stdout
        started = psutil.Process(int(p.stdout.readline()))
        assert started.is_running()
    psutil.wait_procs([started])


def test_a_process_that_does_not_want_to_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.01)
    with running(STUBBORN, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "up\n"
    assert process.returncode == -signal.SIGKILL


def test_a_process_ends_when_its_context_fails() -> None:
    with pytest.raises(ZeroDivisionError), running(SLEEP) as process:
        raise ZeroDivisionError
    assert process.poll() is not None


def test_a_signal_that_comes_while_a_process_starts_ends_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[subprocess.Popen[Any]] = []

    class Interrupted(subprocess.Popen[Any]):
        def __init__(self, *positional: Any, **named: Any) -> None:
            super().__init__(*positional, **named)
            begun.append(self)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt), running(SLEEP):
        pytest.fail("the context must not begin")
    (process,) = begun
    assert process.poll() is not None
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_signal_does_not_stop_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class Impatient(subprocess.Popen[Any]):
        def terminate(self) -> None:
            signal.raise_signal(signal.SIGINT)
            super().terminate()

    monkeypatch.setattr(subprocess, "Popen", Impatient)
    with pytest.raises(KeyboardInterrupt), running(SLEEP) as process:
        raise KeyboardInterrupt
    assert process.poll() is not None
