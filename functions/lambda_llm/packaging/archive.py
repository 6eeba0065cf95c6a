"""Reproducible zips: the bytes depend only on the files."""

import hashlib
import stat
import zipfile
from pathlib import Path
from typing import Final

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_LEVEL: Final = 9


def files(folder: Path) -> dict[str, Path]:
    """Every file below a folder by its path in the zip, sorted."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def write(folder: Path, to: Path, level: int = _LEVEL) -> None:
    """Zip a folder: sorted, with a fixed time and two modes.

    Args:
        folder: its contents.
        to: the zip; written atomically.
        level: of the compression, 1 (fast) to 9 (small).
    """
    partial = to.with_name(to.name + ".part")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as package:
        for name, path in files(folder).items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3  # Unix, whatever it is built on
            mode = 0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644
            entry.external_attr = (stat.S_IFREG | mode) << 16
            package.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED, level)
    partial.replace(to)


def sha256(path: Path) -> str:
    """SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
