"""Models that are files of this machine."""

import logging
import os
import socket
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from lambda_llm.gguf.errors import CorruptError, NotGGUFError
from lambda_llm.loading.errors import (
    ChangedError,
    ForbiddenError,
    NotFoundError,
    OutOfTimeError,
    UnavailableError,
)
from lambda_llm.loading.load import inspect
from lambda_llm.loading.sources.base import ModelReference
from support.loads import content, load_model
from support.models import ARCHITECTURE, array, header, padded, pair, string


@pytest.mark.parametrize("spell", [str, Path.as_uri], ids=["path", "url"])
def test_a_file_is_loaded_whole(large_path: Path, large: bytes, spell: Callable[[Path], str]) -> None:
    loaded = load_model(spell(large_path))
    assert content(loaded) == large
    assert loaded.download.size == len(large)
    assert loaded.inspection.described.version_id is None


def test_a_file_needs_no_checksum_and_the_log_says_so(small_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "lambda_llm"):
        loaded = load_model(str(small_path))
    loaded.file.close()
    assert loaded.download.checksums == ()
    assert "verified by nothing but its header: a local file" in caplog.text


def test_a_file_is_loaded_without_memfd_too(
    small_path: Path, small: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    assert content(load_model(str(small_path))) == small
    assert "memfd_create is not available: using an unlinked temporary file" in caplog.text


def test_a_pinned_sha256_holds_for_a_file_too(small_path: Path, small: bytes) -> None:
    loaded = load_model(str(small_path), sha256=sha256(small).hexdigest())
    assert content(loaded) == small
    assert loaded.download.checksums == ("SHA-256",)


def test_another_file_than_pinned_is_refused(small_path: Path) -> None:
    with pytest.raises(CorruptError, match=rf"{small_path} is damaged or was swapped: its SHA-256 is .*expected 0000"):
        load_model(str(small_path), sha256="0" * 64)


def test_another_size_than_pinned_is_refused(small_path: Path, small: bytes) -> None:
    with pytest.raises(ChangedError, match=rf"{small_path} has {len(small):,} bytes, but 5 are pinned"):
        load_model(str(small_path), size=5)


def test_a_header_takes_no_longer_than_there_is_time(tmp_path: Path) -> None:
    words = pair("words", 9, array(8, 4_000_000, string("x") * 4_000_000))
    path = tmp_path / "m.gguf"
    path.write_bytes(header([ARCHITECTURE, words]))
    with pytest.raises(OutOfTimeError, match=r"was not loaded within 0\.05 s, its time budget"):
        inspect(ModelReference(str(path)), seconds=0.05)


def test_a_hundred_thousand_arrays_are_no_header(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(header([pair(f"key {number}", 9, array(6, 256, bytes(1024))) for number in range(100_000)]))
    with pytest.raises(NotGGUFError, match="announces 0 tensors and 100,000 keys"):
        inspect(ModelReference(str(path)), seconds=5)


def test_inspecting_a_file_reads_its_header(large_path: Path, large: bytes) -> None:
    inspection = inspect(ModelReference(str(large_path)))
    assert inspection.described.size == len(large)
    assert inspection.header.name == "A model of noise"


def test_progress_never_goes_back_and_ends_at_the_size(large_path: Path, large: bytes) -> None:
    seen: list[int] = []
    load_model(str(large_path), progress=lambda done, _: seen.append(done)).file.close()
    assert seen == sorted(seen)
    assert seen[-1] == len(large)


@pytest.mark.parametrize("name", ["none.gguf", "none/none.gguf", "model.gguf/none.gguf"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, small: bytes, name: str) -> None:
    (tmp_path / "model.gguf").write_bytes(small)
    with pytest.raises(NotFoundError, match=rf"no file {tmp_path / name}: check the path"):
        load_model(str(tmp_path / name))


def test_a_path_that_can_not_be_is_named() -> None:
    with pytest.raises(NotFoundError, match=r"/x+' can't be opened .*File name too long.*check the path"):
        load_model("/" + "x" * 300)


def test_a_url_that_can_not_be_a_path_is_named() -> None:
    with pytest.raises(NotFoundError, match=r"'/a\\x00b' can't be opened .*null"):
        load_model("file:///a%00b")


def test_a_link_to_itself_is_named(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(NotFoundError, match=rf"{tmp_path}/loop' can't be opened"):
        load_model(str(tmp_path / "loop"))


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=rf"{tmp_path} is not a regular file: give the path of the \.gguf file"):
        load_model(str(tmp_path))


def test_a_pipe_is_no_model_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotFoundError, match="is not a regular file"):
        load_model(str(tmp_path / "pipe"))


def test_a_socket_is_no_model(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        with pytest.raises(NotFoundError, match="can't be opened"):
            load_model(str(tmp_path / "socket"))


def test_a_file_that_may_not_be_read_is_named(small_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really_open = os.open

    # Root may read everything, so the system's own answer can't be had in every environment.
    def refusing(path: str | Path, *rest: int) -> int:
        if path == small_path:
            raise PermissionError(13, "Permission denied")
        return really_open(path, *rest)

    monkeypatch.setattr(os, "open", refusing)
    with pytest.raises(ForbiddenError, match=rf"{small_path} may not be read by this user"):
        load_model(str(small_path))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.gguf").touch()
    with pytest.raises(CorruptError, match=r"empty\.gguf is empty"):
        load_model(str(tmp_path / "empty.gguf"))


def test_a_truncated_file_is_refused(tmp_path: Path, small: bytes) -> None:
    (tmp_path / "cut.gguf").write_bytes(small[:-1])
    with pytest.raises(CorruptError, match=r"cut\.gguf: The file is truncated"):
        load_model(str(tmp_path / "cut.gguf"))


@pytest.mark.parametrize("how", ["overwritten", "cut"])
def test_a_file_that_is_written_to_meanwhile_is_noticed(tmp_path: Path, small: bytes, how: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(padded(small, 30_000_000))
    really_pread = os.pread
    changed = False

    def pread(fd: int, size: int, offset: int) -> bytes:
        nonlocal changed
        if offset > 2_000_000 and not changed:
            changed = True
            if how == "cut":
                os.truncate(path, 2_000_000)
            else:
                with path.open("r+b") as file:
                    file.write(b"GGUF")
                os.utime(path, ns=(1, 1))
        return really_pread(fd, size, offset)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "pread", pread)
        with pytest.raises(ChangedError, match=rf"{path} was changed while it was being read: load it again"):
            load_model(str(path))


def test_a_file_that_the_system_can_not_read_is_told(large_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really_pread = os.pread

    def pread(fd: int, size: int, offset: int) -> bytes:
        if offset > 20_000_000:
            raise OSError(5, "Input/output error")
        return really_pread(fd, size, offset)

    monkeypatch.setattr(os, "pread", pread)
    with pytest.raises(UnavailableError, match=rf"{large_path} can't be read at byte .*Input/output error"):
        load_model(str(large_path))


def test_a_file_that_is_replaced_by_name_goes_on_being_the_old_one(tmp_path: Path, small: bytes) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(padded(small, 30_000_000))
    (tmp_path / "new.gguf").write_bytes(small)

    def replace(_: int, __: int) -> None:
        if (tmp_path / "new.gguf").exists():
            (tmp_path / "new.gguf").rename(path)

    assert len(content(load_model(str(path), progress=replace))) == 30_000_000


def test_ctrl_c_leaves_nothing_behind(large_path: Path) -> None:
    def interrupt(_: int, __: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_model(str(large_path), progress=interrupt)


def test_the_source_is_closed(small_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - descriptors, not files
    load_model(str(small_path)).file.close()
    assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
