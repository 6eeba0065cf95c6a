"""A zip's bytes depend on nothing but the files."""

import os
import zipfile
from pathlib import Path

import pytest

from lambda_llm.packaging import archive

FILES = {"b/two.py": b"2" * 5000, "a.txt": b"1", "bin/serve": b"#!/bin/sh\n", "b/a/three": b""}


def fill(folder: Path, names: list[str], umask: int) -> Path:
    before = os.umask(umask)
    try:
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(FILES[name])
        (folder / "bin/serve").chmod(0o777 & ~umask)
    finally:
        os.umask(before)
    return folder


def test_order_time_umask_and_place_leave_no_trace(tmp_path: Path) -> None:
    one, other = (fill(tmp_path / name, names, umask) for name, names, umask in (
        ("one", list(FILES), 0o022),
        ("another place", list(reversed(FILES)), 0o077),
    ))  # fmt: skip
    for path in other.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    archive.write(one, tmp_path / "one.zip")
    archive.write(other, tmp_path / "other.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "other.zip").read_bytes()
    assert archive.sha256(tmp_path / "one.zip") == archive.sha256(tmp_path / "other.zip")


def test_files_come_out_as_they_went_in_and_anybody_may_read_them(tmp_path: Path) -> None:
    archive.write(fill(tmp_path / "stage", list(FILES), 0o077), tmp_path / "it.zip")
    with zipfile.ZipFile(tmp_path / "it.zip") as opened:
        assert opened.namelist() == sorted(FILES)
        assert {name: opened.read(name) for name in FILES} == FILES
        modes = {entry.filename: entry.external_attr >> 16 for entry in opened.infolist()}
        assert {entry.create_system for entry in opened.infolist()} == {3}
    assert modes == {name: 0o100755 if name == "bin/serve" else 0o100644 for name in FILES}


def test_a_zip_that_could_not_be_finished_does_not_take_the_old_one_s_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "it.zip"
    target.write_bytes(b"the old one")
    stage = fill(tmp_path / "stage", list(FILES), 0o022)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(OSError, match="No space left"):
        archive.write(stage, target)
    assert target.read_bytes() == b"the old one"
