"""Sessions of places that run code in a Jupyter kernel, and whose SDKs answer alike: E2B, Blaxel.

Files go through the kernel too, as base64 in what a few lines of code print: a place's own file interface would know
other folders and follow links.
"""

import base64
import json
import time
from abc import abstractmethod
from typing import Any, Final

from lambda_llm.agent.errors import SandboxError
from lambda_llm.agent.tools.code.backend import FILE_MOST, LISTED_MOST, File, Run, Session, check_path, files_of, run_of

FOLDER: Final = "/tmp/lambda-llm"  # noqa: S108 - in the sandbox
FILE_SECONDS: Final = 60
STREAM_MOST: Final = 2 * FILE_MOST
"""Characters that a kernel may print in one call; a file's content takes 4/3 of its bytes."""

_ENTER: Final = "import os as _o\n_o.makedirs({folder!r}, exist_ok=True)\n_o.chdir({folder!r})"
_HELPER: Final = """
def _lambda_llm():
    import base64, json, os, stat
    def at(path, flags):
        here = os.open({folder!r}, os.O_RDONLY)
        *folders, name = path.split("/")
        for part in folders:
            if flags & os.O_CREAT:
                try:
                    os.mkdir(part, dir_fd=here)
                except FileExistsError:
                    pass
            here = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
        return os.fdopen(os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600, dir_fd=here),
                         "wb" if flags & os.O_CREAT else "rb")
    {body}
_lambda_llm()
del _lambda_llm
"""
_FILES: Final = """found = {}
    top = FOLDER
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            what = os.lstat(path)
            if stat.S_ISREG(what.st_mode) and len(found) < MOST:
                version = "%d.%d.%d" % (what.st_ino, what.st_ctime_ns, what.st_size)
                found[os.path.relpath(path, top)] = [what.st_size, version]
    print(json.dumps(found))"""


class NotebookSession(Session):
    """A kernel. What a place adds is how code gets there.

    Attributes:
        folder: of the code's files.
    """

    folder: str

    @abstractmethod
    def _execute(self, code: str, seconds: float) -> Any:
        """The SDK's `Execution`: `logs.stdout`, `logs.stderr`, `results`, `error`.

        Raises:
            SandboxError: there is none.
        """

    def bounds(self, seconds: float) -> dict[str, Any]:
        """Arguments of the SDK's `run_code`, whose own time-out is of each read and so no end of code that prints."""
        end, printed = time.monotonic() + seconds, 0

        def look(message: Any) -> None:
            nonlocal printed
            printed += len(getattr(message, "line", None) or getattr(message, "text", None) or "")
            if printed > STREAM_MOST:
                raise SandboxError(f"The code printed more than {STREAM_MOST:,} characters; it ran.", unknown=True)
            if time.monotonic() > end:
                raise SandboxError(f"The code took more than {seconds:g} s; it ran.", unknown=True)

        return {"timeout": seconds, "on_stdout": look, "on_stderr": look}

    def enter(self) -> None:
        """Make the folder of files the kernel's, at the start."""
        self._printed(_ENTER.format(folder=self.folder))

    def run(self, code: str, seconds: float) -> Run:
        """As `Session.run`."""
        execution = self._execute(code, seconds)
        error = execution.error
        main = [each for each in execution.results if getattr(each, "is_main_result", False)]
        return run_of(
            ok=error is None,
            stdout="".join(execution.logs.stdout),
            stderr="".join(execution.logs.stderr),
            value=getattr(main[0], "text", None) if main else None,
            error=f"{error.name}: {error.value}" if error else "",
        )

    def write(self, path: str, content: bytes) -> None:
        """As `Session.write`."""
        text = base64.b64encode(content).decode()
        body = (
            f"with at({check_path(path)!r}, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as file:\n"
            f"        file.write(base64.b64decode({text!r}))"
        )
        self._printed(_HELPER.format(folder=self.folder, body=body))

    def read(self, path: str, most: int) -> bytes:
        """As `Session.read`."""
        body = (
            f"with at({check_path(path)!r}, os.O_RDONLY) as file:\n"
            f"        print(base64.b64encode(file.read({most:d})).decode())"
        )
        try:
            return base64.b64decode(self._printed(_HELPER.format(folder=self.folder, body=body)), validate=True)[:most]
        except ValueError:
            raise SandboxError(f"The sandbox gave no content of {path}.") from None

    def files(self) -> dict[str, File]:
        """As `Session.files`."""
        listing = _FILES.replace("FOLDER", repr(self.folder)).replace("MOST", str(LISTED_MOST))
        try:
            return files_of(json.loads(self._printed(_HELPER.format(folder=self.folder, body=listing))))
        except (ValueError, RecursionError):
            raise SandboxError("The sandbox gave no list of files.") from None

    def _printed(self, code: str) -> str:
        execution = self._execute(code, FILE_SECONDS)
        if execution.error:
            raise SandboxError(f"The sandbox refused it: {execution.error.name}: {str(execution.error.value)[:300]}")
        return "".join(execution.logs.stdout).strip()
