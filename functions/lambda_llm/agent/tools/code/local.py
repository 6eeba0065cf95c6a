"""Code in bubblewrap on this machine, for development: isolated, or refused.

A sandbox is a process tree in namespaces of its own, as an unprivileged user, with an empty environment, no network, of
the host's files `/usr` alone (read-only), the calls of `seccomp.py`, and one tmpfs that bounds bytes and files. What it
does not hold off is told in docs/sandbox.md.
"""

import base64
import contextlib
import json
import os
import secrets
import select
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from lambda_llm.agent.errors import SandboxError, SandboxUnavailableError
from lambda_llm.agent.tools.code import seccomp
from lambda_llm.agent.tools.code.backend import (
    FILE_MOST,
    OUTPUT_MOST,
    Backend,
    File,
    Run,
    Session,
    SessionGoneError,
    check_path,
    files_of,
    run_of,
)

PROGRAMS: Final = "/usr/bin:/bin:/usr/local/bin"
PYTHON: Final = "/usr/bin/python3"
"""Of the sandbox, which sees `/usr` alone: not the one that runs this, which may lie where nobody else can read."""

NOBODY: Final = 65_534
START_SECONDS: Final = 20
FILE_SECONDS: Final = 20
WATCH_SECONDS: Final = 0.02
IDLE_WATCH_SECONDS: Final = 0.2
ANSWER_MOST: Final = 2 * FILE_MOST
"""Bytes of a message from the sandbox; base64 takes four thirds of a file's."""

_INTERPRETER: Final = Path(__file__).with_name("interpreter.py")
_DISK: Final = "{mount} -t tmpfs -o size={disk},nr_inodes={files},mode=700,nosuid,nodev disk /mnt"
_MIB: Final = 1024 * 1024
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_launcher: Final = ThreadPoolExecutor(1, "sandbox-launcher")
"""Starts sandboxes: a sandbox dies with the *thread* that started it, and others come and go.
Source: https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html"""


@dataclass(frozen=True)
class LocalLimits:
    """What one sandbox may take.

    Attributes:
        memory: bytes of all its processes together, and of address space of each.
        disk: bytes of all its files together, /tmp and /dev/shm included. They lie in memory too.
        files: number of files, folders and links together.
        processes: number of processes and threads together.
        cpu_seconds: of processor time in the session's life.
    """

    memory: int = 512 * _MIB
    disk: int = 64 * _MIB
    files: int = 2_000
    processes: int = 32
    cpu_seconds: int = 300


class LocalBackend(Backend):
    """Sandboxes of this process. Their state lives as long as it does, at most `idle_seconds` after the last call.

    Args:
        limits: of each sandbox.
        sessions: that live at once; the one that has been idle longest makes room for a new one.
        idle_seconds: after which a session ends.
        programs: folders of bwrap, unshare and mount.
    """

    def __init__(
        self,
        limits: LocalLimits | None = None,
        *,
        sessions: int = 4,
        idle_seconds: float = 900,
        programs: str = PROGRAMS,
    ) -> None:
        self._limits = limits or LocalLimits()
        self._most, self._idle, self._programs = sessions, idle_seconds, programs
        self._lock = threading.Lock()
        self._boxes: OrderedDict[str, _Sandbox] = OrderedDict()

    def find(self, session: str) -> "LocalSession | None":
        """As `Backend.find`."""
        with self._lock:
            box = self._boxes.get(session)
            if box is None or not box.alive:
                return None
            self._boxes.move_to_end(session)
        return LocalSession(box)

    def start(self, key: str) -> "LocalSession":
        """As `Backend.start`."""
        with self._lock:
            self._boxes = OrderedDict((name, box) for name, box in self._boxes.items() if box.alive)
            box = next((each for each in self._boxes.values() if each.key == key), None)
            if box is None:
                while len(self._boxes) >= self._most:
                    self._boxes.popitem(last=False)[1].end("it made room for another session")
                command = _command(self._programs, self._limits)
                box = _launcher.submit(_Sandbox, command, self._limits, key, self._idle).result()
                self._boxes[box.id] = box
        return LocalSession(box)

    def close(self) -> None:
        """End all sessions."""
        with self._lock:
            while self._boxes:
                self._boxes.popitem()[1].end("its backend was closed")


class LocalSession(Session):
    """A session in a sandbox."""

    def __init__(self, box: "_Sandbox") -> None:
        self._box, self.id, self.fresh = box, box.id, not box.used

    def run(self, code: str, seconds: float) -> Run:
        """As `Session.run`. The end of a sandbox is never `unknown`, because nothing of it is left."""
        soft = max(seconds - 1, seconds / 2)
        self._box.used = True
        said = self._box.ask({"op": "run", "code": code, "seconds": soft}, seconds)
        return run_of(
            ok=said.get("ok") is True,
            stdout=said.get("stdout"),
            stderr=said.get("stderr"),
            value=said.get("value"),
            error=said.get("error"),
            line=said.get("line"),
            truncated=said.get("truncated") is True,
        )

    def write(self, path: str, content: bytes) -> None:
        """As `Session.write`."""
        text = base64.b64encode(content).decode()
        self._box.ask({"op": "write", "path": check_path(path), "content": text}, FILE_SECONDS)

    def read(self, path: str, most: int) -> bytes:
        """As `Session.read`."""
        said = self._box.ask({"op": "read", "path": check_path(path), "most": min(most, FILE_MOST)}, FILE_SECONDS)
        try:
            return base64.b64decode(said["content"], validate=True)[:most]
        except (KeyError, TypeError, ValueError) as error:
            raise self._box.broke() from error

    def files(self) -> dict[str, File]:
        """As `Session.files`."""
        said = self._box.ask({"op": "files"}, FILE_SECONDS)
        try:
            return files_of(said["files"])
        except (KeyError, ValueError) as error:
            raise self._box.broke() from error

    def close(self) -> None:
        """As `Session.close`. No process of it is left."""
        self._box.end("it was closed")


def _command(programs: str, limits: LocalLimits) -> list[str]:
    """What starts a sandbox.

    bwrap's own tmpfs bounds bytes, not the number of files, and its root and /dev are writable tmpfs without any bound.
    So one tmpfs is mounted in a user namespace around bwrap, and root and /dev are made read-only.
    """
    if not sys.platform.startswith("linux"):
        raise SandboxUnavailableError(
            f"Code can be isolated on Linux alone, by namespaces that {sys.platform} does not have: give the agent "
            "another backend, such as AgentCoreBackend."
        )
    found = {}
    for name, package in (("bwrap", "bubblewrap"), ("unshare", "util-linux"), ("mount", "mount or util-linux")):
        program = shutil.which(name, path=programs)
        if program is None:
            raise SandboxUnavailableError(f"Code can't be isolated here for want of {name}: install {package}.")
        found[name] = program
    if not os.access(PYTHON, os.X_OK):
        raise SandboxUnavailableError(f"Code can't be isolated here for want of {PYTHON}: install python3.")
    if not Path(f"/proc/self/task/{threading.get_native_id()}/children").exists():
        raise SandboxUnavailableError("Code can't be isolated here, because the kernel lacks CONFIG_PROC_CHILDREN.")
    disk = _DISK.format(mount=found["mount"], disk=limits.disk, files=limits.files)
    folders = "/bin/mkdir /mnt/work /mnt/tmp /mnt/shm"
    argument = {
        "folder": "/work",
        "output": OUTPUT_MOST,
        "limits": {
            "RLIMIT_AS": limits.memory,
            "RLIMIT_CPU": limits.cpu_seconds,
            "RLIMIT_FSIZE": limits.disk,
            "RLIMIT_NPROC": limits.processes,
            "RLIMIT_NOFILE": 64,
            "RLIMIT_CORE": 0,
            "RLIMIT_MEMLOCK": 0,
            "RLIMIT_MSGQUEUE": 0,
            "RLIMIT_RTPRIO": 0,
            "RLIMIT_SIGPENDING": 256,
        },
    }
    return [
        *(found["unshare"], "--map-root-user", "--mount", "--"),
        *("/bin/sh", "-c", f'{disk} && {folders} && exec "$@"', "sh"),
        *(found["bwrap"], "--unshare-user", "--unshare-all", "--disable-userns", "--cap-drop", "ALL"),
        *("--die-with-parent", "--new-session", "--clearenv", "--hostname", "sandbox"),
        *("--uid", str(NOBODY), "--gid", str(NOBODY)),
        *("--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin"),
        *("--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"),
        *("--proc", "/proc", "--dev", "/dev", "--bind", "/mnt/shm", "/dev/shm", "--remount-ro", "/dev"),  # noqa: S108 - inside
        *("--bind", "/mnt/tmp", "/tmp", "--bind", "/mnt/work", "/work", "--chdir", "/work", "--remount-ro", "/"),  # noqa: S108
        *("--setenv", "HOME", "/work", "--setenv", "PATH", "/usr/bin", "--setenv", "LANG", "C.UTF-8"),
        *("--seccomp", "{seccomp}", "--", PYTHON, "-I", "-B", "-c", _INTERPRETER.read_text(encoding="utf-8")),
        json.dumps(argument),
    ]


class _Sandbox:
    """A running sandbox: started in `_launcher`, watched by a thread of its own."""

    def __init__(self, command: list[str], limits: LocalLimits, key: str, idle: float) -> None:
        self.id, self.key, self.used = secrets.token_hex(16), key, False
        self._limits, self._idle = limits, idle
        self._why = ""
        self._lock, self._turn, self._over = threading.Lock(), threading.Lock(), threading.Event()
        self._busy, self._last = False, time.monotonic()
        self._process = _start(command)
        self._in, self._out = _pipe(self._process.stdin), _pipe(self._process.stdout)
        self._first: int | None = None
        try:
            self._send({"id": "", "op": "files"}, time.monotonic() + START_SECONDS)
            self._receive(time.monotonic() + START_SECONDS)
            self._first = os.pidfd_open(_children(self._process.pid)[0])
        except (LookupError, EOFError, OSError, ValueError) as error:
            self._stop()
            said = self._close()
            raise SandboxUnavailableError(
                f"bubblewrap can't isolate code here ({said or error}): allow unprivileged user namespaces, which "
                "containers often forbid and Ubuntu too (kernel.apparmor_restrict_unprivileged_userns), or give the "
                "agent another backend, such as AgentCoreBackend."
            ) from error
        threading.Thread(target=self._watch, name=f"sandbox-{self.id[:8]}", daemon=True).start()

    @property
    def alive(self) -> bool:
        return not self._why and self._process.poll() is None

    def ask(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send a message and wait for its answer, which is anything of JSON that is an object."""
        with self._turn:
            if not self.alive:
                raise SessionGoneError(f"The session has ended: {self._why or 'its interpreter is gone'}.")
            deadline = time.monotonic() + seconds
            name = secrets.token_hex(16)
            self._busy = True
            try:
                self._send({**message, "id": name}, deadline)
                answer = self._receive(deadline)
            except TimeoutError as error:
                self.end(f"it took longer than {seconds:g} s")
                raise self._ended() from error
            except (OSError, EOFError, ValueError, RecursionError) as error:
                self.end("its interpreter ended")
                raise self._ended() from error
            finally:
                self._busy, self._last = False, time.monotonic()
        if answer.get("id") != name:
            raise self.broke()
        if "refused" in answer:
            raise SandboxError(f"The sandbox refused it: {str(answer['refused'])[:300]}.")
        return answer

    def broke(self) -> SandboxError:
        """End it, because its answer can't be the interpreter's."""
        self.end("the code wrote answers of its own")
        return self._ended()

    def _ended(self) -> SandboxError:
        return SandboxError(f"The code was stopped and its session with it, because {self._why}.")

    def end(self, why: str) -> None:
        """End it and all its processes; the first reason stays."""
        with self._lock:
            self._why = self._why or why
            self._stop()
        self._over.set()

    def _stop(self) -> None:
        """End all processes, and wait until they are gone."""
        if self._first is not None:
            # The first process of the namespace: it ends only after all others, and bwrap after it.
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._first, signal.SIGKILL)
            os.close(self._first)
            self._first = None
        elif self._process.poll() is None:
            self._process.kill()
        try:
            self._process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _close(self) -> str:
        """Close the pipes; what bwrap or unshare had to say."""
        said = b""
        if self._process.stderr:
            os.set_blocking(self._process.stderr.fileno(), False)
            said = self._process.stderr.read(1000) or b""
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe:
                pipe.close()
        return said.decode(errors="replace").strip().partition("\n")[0]

    def _send(self, message: dict[str, Any], deadline: float) -> None:
        body = json.dumps(message).encode()
        rest = memoryview(struct.pack(">I", len(body)) + body)
        while rest:
            _, ready, _ = select.select([], [self._in], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            rest = rest[os.write(self._in, rest[:_PAGE]) :]

    def _receive(self, deadline: float) -> dict[str, Any]:
        (length,) = struct.unpack(">I", self._bytes(4, deadline))
        if length > ANSWER_MOST:
            raise ValueError("the answer is too long")
        message = json.loads(self._bytes(length, deadline))
        if not isinstance(message, dict):
            raise ValueError("the answer is no object")  # noqa: TRY004 - whatever it is, it is no answer
        return message

    def _bytes(self, count: int, deadline: float) -> bytes:
        got = bytearray()
        while len(got) < count:
            ready, _, _ = select.select([self._out], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            piece = os.read(self._out, min(count - len(got), 1 << 16))
            if not piece:
                raise EOFError
            got += piece
        return bytes(got)

    def _watch(self) -> None:
        """End it when all processes together take more than their share, or nobody asks any more."""
        limits = self._limits
        while self.alive:
            memory, seconds = _use(self._process.pid)
            if memory > limits.memory:
                self.end(f"its processes took more than {limits.memory // _MIB} MiB of memory")
            elif seconds > limits.cpu_seconds:
                self.end(f"it took more than {limits.cpu_seconds} s of processor time")
            elif not self._busy and time.monotonic() - self._last > self._idle:
                self.end(f"nothing was asked of it for {self._idle:g} s")
            self._over.wait(WATCH_SECONDS if self._busy else IDLE_WATCH_SECONDS)
        self.end("its interpreter ended")
        with self._turn:  # whoever waits for an answer still reads from them
            self._close()


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    """Start a sandbox with an empty environment, which bwrap's first process would show, and never as root."""
    source, target = os.pipe()
    try:
        os.write(target, seccomp.program())
        os.close(target)
        drop: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        return subprocess.Popen(  # noqa: S603 - programs of the system, by their full paths
            [str(source) if part == "{seccomp}" else part for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            pass_fds=[source],
            env={},
            cwd="/",
            start_new_session=True,
            **drop,
        )
    except OSError as error:
        raise SandboxUnavailableError(
            f"Code can't be isolated here: {command[0]} does not start as an unprivileged user ({error.strerror})."
        ) from error
    finally:
        os.close(source)


def _pipe(pipe: IO[bytes] | None) -> int:
    """The descriptor of a pipe that was asked for."""
    assert pipe is not None  # noqa: S101 - PIPE
    return pipe.fileno()


def _children(process: int) -> list[int]:
    """Processes that a process has started and that are still there."""
    found: list[int] = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(number) for number in task.read_text(encoding="ascii").split()]
    return found


def _use(process: int) -> tuple[int, float]:
    """Resident bytes of a process and all below it, and their processor seconds, also of those that have ended."""
    memory, seconds = 0, 0.0
    below = [process]
    while below:
        each = below.pop()
        with contextlib.suppress(OSError, IndexError):
            fields = Path(f"/proc/{each}/stat").read_bytes().rpartition(b") ")[2].split()
            seconds += sum(int(ticks) for ticks in fields[11:15]) / _TICKS
            memory += int(fields[21]) * _PAGE
            below += _children(each)
    return memory, seconds
