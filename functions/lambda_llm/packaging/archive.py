"""A zip whose bytes depend on nothing but the files."""

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
    """Zip a folder: sorted, with one time, and with two modes.

    Args:
        folder: what goes in.
        to: the zip; it appears when it is complete.
        level: of compression, 1 (fast) to 9 (small).
    """
    growing = to.with_name(to.name + ".part")
    with zipfile.ZipFile(growing, "w", zipfile.ZIP_DEFLATED) as package:
        for name, path in files(folder).items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3  # Unix, whatever it is built on
            mode = 0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644
            entry.external_attr = (stat.S_IFREG | mode) << 16
            package.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED, level)
    growing.replace(to)


def sha256(path: Path) -> str:
    """SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
