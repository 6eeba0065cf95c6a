"""The Python process that keeps a session's variables, inside the isolation. It isolates nothing itself.

`local.py` starts it in bubblewrap and `microvm_server.py` in a MicroVM, which have no package of this project: it takes
Python's standard library alone. Over standard input and output, a message is 4 bytes of length, big-endian, and JSON:
`{"id", "op", …}` is answered by `{"id", …}`, or by `{"id", "refused": sentence}`. Whatever runs here can write answers
too, so whoever reads them believes nothing.
"""

import ast
import base64
import contextlib
import io
import json
import os
import resource
import signal
import stat
import struct
import sys
import traceback
import types
from typing import Any, BinaryIO

CODE = "<code>"
FILES_MOST = 1_000
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Head(io.RawIOBase):
    """A stream that keeps its beginning. Its descriptor is a file of the same kind for processes that code starts."""

    def __init__(self, descriptor: int, most: int) -> None:
        super().__init__()
        self._descriptor, self._most, self._kept, self.cut = descriptor, most, bytearray(), False

    def writable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """Of the file beside it."""
        return self._descriptor

    def write(self, data: Any) -> int:
        """Keep what there is room for."""
        data = bytes(data)
        room = self._most - len(self._kept)
        self._kept += data[: max(room, 0)]
        self.cut = self.cut or len(data) > room
        return len(data)

    def text(self) -> str:
        """What was written here, then what processes wrote to the descriptor."""
        self.write(os.pread(self._descriptor, self._most + 1, 0))
        os.ftruncate(self._descriptor, 0)
        return self._kept.decode(errors="replace")


class Interpreter:
    """Variables of a session, and its folder of files."""

    def __init__(self, folder: str, most: int) -> None:
        self._folder, self._most = folder, most
        self._module = types.ModuleType("__main__")
        sys.modules["__main__"] = self._module

    def run(self, code: str, seconds: float) -> dict[str, Any]:
        """Run code; the value of its last expression is told as the interactive Python does."""
        heads = [Head(1, self._most), Head(2, self._most)]
        streams = [
            io.TextIOWrapper(io.BufferedWriter(head), "utf-8", "backslashreplace", write_through=True) for head in heads
        ]
        sys.stdout, sys.stderr = streams
        answer: dict[str, Any] = {"ok": True, "value": None, "error": "", "line": None}
        try:
            signal.signal(signal.SIGALRM, _late)
            signal.setitimer(signal.ITIMER_REAL, seconds)
            value = self._execute(code)
            answer["value"] = None if value is None else repr(value)
        except BaseException as error:  # noqa: BLE001 - also what is no Exception ends the code, not the session
            if not isinstance(error, SystemExit) or error.code not in (None, 0):
                answer.update(ok=False, **_told(error))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
        for stream in streams:
            try:
                stream.flush()
            except (OSError, ValueError):  # closed by the code
                continue
        cut = False
        for key in ("value", "error"):
            if answer[key] is not None and len(answer[key]) > self._most:
                answer[key], cut = answer[key][: self._most], True
        texts = [head.text() for head in heads]
        truncated = cut or any(head.cut for head in heads)
        return {**answer, "stdout": texts[0], "stderr": texts[1], "truncated": truncated}

    def _execute(self, code: str) -> object:
        tree = ast.parse(code, CODE)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        names = self._module.__dict__
        exec(compile(tree, CODE, "exec"), names)  # noqa: S102 - this is what it is for
        if not isinstance(last, ast.Expr):
            return None
        return eval(compile(ast.Expression(last.value), CODE, "eval"), names)  # noqa: S307 - likewise

    def files(self) -> dict[str, list[Any]]:
        """Regular files by their paths: size, and a text that changes when they do. Links are not followed."""
        found: dict[str, list[Any]] = {}
        for folder, _, names in os.walk(self._folder):
            for name in sorted(names):
                path = os.path.join(folder, name)  # noqa: PTH118 - pathlib takes a tenth of a second to import
                what = os.lstat(path)
                if stat.S_ISREG(what.st_mode) and len(found) < FILES_MOST:
                    version = f"{what.st_ino}.{what.st_ctime_ns}.{what.st_size}"
                    found[os.path.relpath(path, self._folder)] = [what.st_size, version]
        return found

    def read(self, path: str, most: int) -> bytes:
        """At most `most` bytes of a regular file."""
        folder, name = self._parent(path, make=False)
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        finally:
            os.close(folder)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(f"{path} is not a regular file")
            return file.read(most)

    def write(self, path: str, content: bytes) -> None:
        """Replace a file and make its folders."""
        folder, name = self._parent(path, make=True)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)
            descriptor = os.open(name, flags, 0o600, dir_fd=folder)
        finally:
            os.close(folder)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
            file.write(content)

    def _parent(self, path: str, *, make: bool) -> tuple[int, str]:
        """The folder of a file, opened without following a link, and the file's name in it."""
        *folders, name = path.split("/")
        here = os.open(self._folder, FOLDER)
        for part in folders:
            try:
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, 0o700, dir_fd=here)
                below = os.open(part, FOLDER, dir_fd=here)
            finally:
                os.close(here)
            here = below
        return here, name


def _late(*_: object) -> None:
    raise TimeoutError("it took too long")


def _told(error: BaseException) -> dict[str, Any]:
    """What an exception says, and the line of the code where it came up."""
    try:
        said = str(error)
    except BaseException:  # noqa: BLE001 - it is the code's own class
        said = ""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == CODE]
    if isinstance(error, SyntaxError) and error.filename == CODE:
        said, lines = error.msg, [error.lineno]
    name = type(error).__name__
    return {"error": f"{name}: {said}" if said else name, "line": lines[-1] if lines else None}


def answer(interpreter: Interpreter, request: dict[str, Any]) -> dict[str, Any]:
    """Do what a message asks."""
    operation = request["op"]
    try:
        if operation == "run":
            return interpreter.run(request["code"], request["seconds"])
        if operation == "files":
            return {"files": interpreter.files()}
        if operation == "read":
            return {"content": base64.b64encode(interpreter.read(request["path"], request["most"])).decode()}
        if operation == "write":
            interpreter.write(request["path"], base64.b64decode(request["content"]))
            return {}
    except (OSError, ValueError, MemoryError) as error:
        return {"refused": f"{type(error).__name__}: {error}"[:500]}
    return {"refused": f"There is no operation {operation}."}


def receive(source: BinaryIO) -> dict[str, Any] | None:
    """The next message; None: there will be none."""
    head = source.read(4)
    if len(head) < 4:  # noqa: PLR2004 - as above
        return None
    (length,) = struct.unpack(">I", head)
    body = source.read(length)
    message: dict[str, Any] | None = json.loads(body) if len(body) == length else None
    return message


def send(target: BinaryIO, message: dict[str, Any]) -> None:
    """Write a message."""
    body = json.dumps(message).encode()
    target.write(struct.pack(">I", len(body)) + body)
    target.flush()


def main() -> None:
    """Answer messages until there are none. The argument is JSON: `folder`, `output`, `limits` by resource's names."""
    settings = json.loads(sys.argv[1])
    for name, most in settings["limits"].items():
        resource.setrlimit(getattr(resource, name), (most, most))
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123
            file.write("1000")  # where memory runs out, this goes first
    except OSError:
        pass
    source, target = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    for descriptor in (1, 2):
        unnamed = os.open("/tmp", os.O_TMPFILE | os.O_RDWR | os.O_APPEND, 0o600)  # noqa: S108 - the sandbox's own
        os.dup2(unnamed, descriptor)
        os.close(unnamed)
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    interpreter = Interpreter(settings["folder"], settings["output"])
    os.chdir(settings["folder"])
    while (request := receive(source)) is not None:
        send(target, {"id": request["id"], **answer(interpreter, request)})


if __name__ == "__main__":
    main()
