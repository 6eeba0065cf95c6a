"""This project's changes of llama.cpp's source, made to a copy of it before it is compiled.

Each file in native/edits is one change with its reason: texts of the source, and what replaces them. Uses the standard
library only, as `scripts.build.llama` does.
"""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scripts import ROOT
from scripts.build.progress import SetupError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

EDITS = ROOT / "native" / "edits"
REMEDY = "Adapt the edit, or build without edits (python -m scripts.build.llama --unedited)."


@dataclass(frozen=True)
class Replacement:
    """One place in the source.

    Attributes:
        path: of the file, below llama.cpp's folder.
        before: what stands there, once in the file.
        after: what is to stand there.
    """

    path: str
    before: str
    after: str


@dataclass(frozen=True)
class Edit:
    """One change of the source.

    Attributes:
        name: of its file in native/edits.
        title: what it does, in a few words.
        why: its reason.
        replacements: in the order in which they are made.
    """

    name: str
    title: str
    why: str
    replacements: tuple[Replacement, ...]

    def diff(self, source: Path) -> str:
        """Return the change as a unified diff of llama.cpp's untouched source.

        Args:
            source: llama.cpp's folder.

        Raises:
            SetupError: the source is not what the edit expects.
        """
        lines: list[str] = []
        for path, new in self._texts(source).items():
            old = (source / path).read_text(encoding="utf-8")
            lines += difflib.unified_diff(
                old.splitlines(keepends=True), new.splitlines(keepends=True), f"a/{path}", f"b/{path}"
            )
        return "".join(lines)

    def apply(self, source: Path) -> None:
        """Make the change in a folder with llama.cpp's source.

        Raises:
            SetupError: the source is not what the edit expects; nothing was changed.
        """
        for path, text in self._texts(source).items():
            (source / path).write_text(text, encoding="utf-8")

    def _texts(self, source: Path) -> dict[str, str]:
        """What the changed files are to contain, by their paths."""
        texts: dict[str, str] = {}
        for each in self.replacements:
            path = each.path
            text = texts[path] if path in texts else _read(self, source, path)
            found = text.count(each.before)
            if found != 1:
                wanted = each.before.strip().partition("\n")[0]
                raise SetupError(
                    f"native/edits/{self.name}.toml expects the text that begins with {wanted!r} once in llama.cpp's "
                    f"{path}, which has it {found} times: llama.cpp has changed there. {REMEDY}"
                )
            texts[path] = text.replace(each.before, each.after)
        return texts


def read_edits(folder: Path = EDITS) -> list[Edit]:
    """Return the edits, in the order of their names.

    Args:
        folder: with their files.
    """
    edits = []
    for path in sorted(folder.glob("*.toml")):
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        replacements = tuple(Replacement(**each) for each in content["edit"])
        edits.append(Edit(path.stem, content["title"], content["why"], replacements))
    return edits


def digest(edits: Sequence[Edit]) -> str:
    """Return a hash of everything that the edits change."""
    return hashlib.sha256(repr(edits).encode()).hexdigest()


def _read(edit: Edit, source: Path, path: str) -> str:
    try:
        return (source / path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SetupError(
            f"native/edits/{edit.name}.toml changes llama.cpp's {path}, which is no longer there. {REMEDY}"
        ) from None
