"""What runs code: the interface that every place has, and what its sessions answer."""

import hashlib
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final

from lambda_llm.agent.errors import SandboxError

PATH_MOST: Final = 200
"""Characters of a file's path."""

FILE_MOST: Final = 4 * 1024 * 1024
"""Bytes of a file that goes into a session or comes out of one."""

OUTPUT_MOST: Final = 64 * 1024
"""Characters that are kept of each of a run's texts; bytes, where a place counts those."""

LISTED_MOST: Final = 1_000
"""Files that a session tells of."""

VERSION_MOST: Final = 100
"""Characters of a file's version."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class SessionGoneError(SandboxError):
    """The session had ended before anything was done."""


@dataclass(frozen=True)
class Run:
    """What came of code.

    Attributes:
        ok: whether it ended without an exception.
        stdout: what it printed, as far as it was kept.
        stderr: likewise.
        value: its last expression's, as Python shows it; None where that is None or no expression.
        error: the exception's class and text; empty with `ok`.
        line: of the code, where the exception came up; None if not known.
        truncated: whether some text was longer than what was kept.
    """

    ok: bool
    stdout: str = ""
    stderr: str = ""
    value: str | None = None
    error: str = ""
    line: int | None = None
    truncated: bool = False


@dataclass(frozen=True)
class File:
    """A regular file in a session.

    Attributes:
        size: in bytes.
        version: a text that changes when the content may have.
    """

    size: int
    version: str


class Session(ABC):
    """One interpreter, and its folder. What it answers comes from code that nobody has read.

    Attributes:
        id: what `Backend.open` takes to continue it.
        fresh: whether nothing of an earlier call is left.
    """

    id: str
    fresh: bool

    @abstractmethod
    def run(self, code: str, seconds: float) -> Run:
        """Run Python for at most `seconds`.

        Raises:
            SessionGoneError: the session had ended; nothing was run.
            SandboxError: it was not run; with `unknown`, it may have been.
        """

    @abstractmethod
    def write(self, path: str, content: bytes) -> None:
        """Write a file, with its folders.

        Raises:
            SandboxError: it was not written.
        """

    @abstractmethod
    def read(self, path: str, most: int) -> bytes:
        """Content of a regular file; of more than `most` bytes, the first ones.

        Raises:
            SandboxError: it can't be read.
        """

    @abstractmethod
    def files(self) -> dict[str, File]:
        """Regular files by their relative paths. Links are not followed.

        Raises:
            SandboxError: they can't be listed.
        """

    def suspend(self) -> None:  # noqa: B027 - most places have nothing to do
        """Before a long wait: stop paying, as far as the place can."""

    @abstractmethod
    def close(self) -> None:
        """End it. A session that is gone is no error."""


class Backend(ABC):
    """A place where code runs in isolation."""

    def open(self, session: str | None, key: str) -> Session:
        """Continue a session, or start one if there is none or it has ended.

        Args:
            session: id of an earlier one.
            key: the same text gives the same new session, so a repeated step does not start two.

        Raises:
            SandboxUnavailableError: code can't be isolated here, or not by this account.
            SandboxError: no session can be had now.
        """
        found = self.find(session) if session else None
        return found or self.start(key)

    @abstractmethod
    def find(self, session: str) -> Session | None:
        """An earlier session; None: it has ended. Errors as of `open`."""

    @abstractmethod
    def start(self, key: str) -> Session:
        """A new session, or the one that was started with the same key. Errors as of `open`."""


def token(key: str) -> str:
    """An idempotency token of 64 characters that tells nothing of `key`."""
    return hashlib.sha256(key.encode()).hexdigest()


def check_path(path: str) -> str:
    """A file's relative path, as it may go to a session or come from one.

    Raises:
        SandboxError: it leads elsewhere, or is too long.
    """
    if not 0 < len(path) <= PATH_MOST or _CONTROL.search(path) or not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise SandboxError(
            f"A file's path is relative, without . and .., of at most {PATH_MOST} printable characters, such as "
            f"data/table.csv, not {path[:PATH_MOST]!r}."
        )
    return path


def bounded(text: object) -> tuple[str, bool]:
    """A text as it may be kept: valid Unicode, of at most `OUTPUT_MOST` characters; and whether there was more."""
    whole = text if isinstance(text, str) else "" if text is None else str(text)
    return whole[:OUTPUT_MOST].encode(errors="replace").decode(), len(whole) > OUTPUT_MOST


def run_of(
    *,
    ok: bool,
    stdout: object,
    stderr: object = "",
    value: object = None,
    error: object = "",
    line: object = None,
    truncated: bool = False,
) -> Run:
    """A `Run` of texts that someone else wrote."""
    texts = [bounded(text) for text in (stdout, stderr, value, error)]
    return Run(
        ok=ok,
        stdout=texts[0][0],
        stderr=texts[1][0],
        value=None if value is None else texts[2][0],
        error="" if ok else texts[3][0] or "Error",
        line=line if isinstance(line, int) and not isinstance(line, bool) else None,
        truncated=truncated or any(cut for _, cut in texts),
    )


def files_of(listing: object) -> dict[str, File]:
    """Files of `{path: [size, version]}`, which someone else wrote.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(listing, dict) or len(listing) > LISTED_MOST:
        raise ValueError("no list of files")
    files = {}
    for path, file in listing.items():
        match file:
            case [int(size), str(version)] if size >= 0 and len(version) <= VERSION_MOST:
                files[str(path)] = File(size, version)
            case _:
                raise ValueError("no file")
    return files
