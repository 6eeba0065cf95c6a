"""A file in memory: of fixed size, sealed, readable by its path, and gone when it is closed."""

import errno
import fcntl
import logging
import mmap
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lambda_llm.gguf.errors import DoesNotFitError
from lambda_llm.limits import MIB
from lambda_llm.loading.errors import TooManyFilesError
from lambda_llm.loading.memory_file import MemoryFile
from support.leftovers import leftovers

CONTENT = b"GGUF" + bytes(range(256)) * 100


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    yield
    assert leftovers() == []


def sealed() -> MemoryFile:
    file = MemoryFile(len(CONTENT))
    file.write(CONTENT, 0)
    file.seal()
    return file


@contextmanager
def limited(kind: int, soft: int) -> Iterator[None]:
    """A limit on this process, as a container or a small machine has one."""
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, before)


def test_a_new_file_has_its_size_and_is_empty() -> None:
    with MemoryFile(5) as file:
        assert file.size == 5
        assert Path(file.path).read_bytes() == bytes(5)


def test_what_was_written_is_read_by_the_path() -> None:
    with sealed() as file:
        assert Path(file.path).read_bytes() == CONTENT


def test_each_opening_by_the_path_has_a_position_of_its_own() -> None:
    with sealed() as file, Path(file.path).open("rb") as first, Path(file.path).open("rb") as second:
        assert first.read(4) == b"GGUF"
        assert second.read(4) == b"GGUF"


def test_a_reader_that_opened_it_keeps_it_after_the_end() -> None:
    with sealed() as file:
        opened = Path(file.path).open("rb")  # noqa: SIM115 - outlives the file on purpose
    with opened:
        assert opened.read() == CONTENT


def test_a_mapping_outlives_the_file() -> None:
    with sealed() as file, Path(file.path).open("rb") as opened:
        mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    with mapped:
        assert file.closed
        assert mapped[:] == CONTENT


def test_a_sealed_file_can_not_be_written() -> None:
    with sealed() as file, Path(file.path).open("r+b", buffering=0) as opened:
        with pytest.raises(PermissionError):
            opened.write(b"x")
        with pytest.raises(PermissionError):
            mmap.mmap(opened.fileno(), len(CONTENT), mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    assert file.closed


@pytest.mark.parametrize("size", [0, len(CONTENT) - 1, len(CONTENT) + 1])
def test_a_sealed_file_can_neither_shrink_nor_grow(size: int) -> None:
    with sealed() as file, pytest.raises(PermissionError):
        os.truncate(file.path, size)


def test_a_sealed_file_can_not_be_unsealed_or_sealed_otherwise() -> None:
    with sealed() as file, Path(file.path).open("r+b") as opened:
        with pytest.raises(PermissionError):
            fcntl.fcntl(opened, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
        assert fcntl.fcntl(opened, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SEAL


def test_closing_twice_is_fine() -> None:
    file = MemoryFile(1)
    file.close()
    file.close()
    assert file.closed


def test_programs_that_are_started_do_not_inherit_it() -> None:
    with MemoryFile(1) as file:
        assert not os.get_inheritable(int(Path(file.path).name))


def test_a_file_larger_than_allowed_is_told_with_its_size() -> None:
    with (
        limited(resource.RLIMIT_FSIZE, MIB),
        pytest.raises(DoesNotFitError, match=r"No room for a file of 2,097,152 bytes in memory .*smaller quantization"),
    ):
        MemoryFile(2 * MIB)


def test_no_descriptor_left_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_many(_: str, __: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "memfd_create", too_many)
    with pytest.raises(
        TooManyFilesError, match=r"No file descriptor is left for a file of 1 bytes in memory \(Too many open files\)"
    ):
        MemoryFile(1)


def test_pieces_are_put_where_they_belong_in_any_order() -> None:
    with MemoryFile(len(CONTENT)) as file:
        for start in range(len(CONTENT) - len(CONTENT) % 1000, -1, -1000):
            file.write(CONTENT[start : start + 1000], start)
        assert Path(file.path).read_bytes() == CONTENT
        assert file.read(0, 4) == b"GGUF"
        assert file.read(len(CONTENT) - 10, 100) == CONTENT[-10:]


def test_what_the_system_writes_in_parts_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    really_write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: really_write(fd, data[:1000], at))
    with sealed() as file:
        assert Path(file.path).read_bytes() == CONTENT


@pytest.mark.parametrize("reason", [errno.ENOMEM, errno.ENOSPC])
def test_memory_that_runs_out_while_writing_is_told(monkeypatch: pytest.MonkeyPatch, reason: int) -> None:
    def full(_: int, __: bytes, ___: int) -> int:
        raise OSError(reason, os.strerror(reason))

    with MemoryFile(5) as file:
        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(DoesNotFitError, match=rf"No room for a file of 5 bytes in memory .*{os.strerror(reason)}"):
            file.write(b"hello", 0)


def test_without_memfd_an_unlinked_file_takes_its_place_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with caplog.at_level(logging.WARNING), sealed() as file:
        assert Path(file.path).read_bytes() == CONTENT
        assert list(tmp_path.iterdir()) == []
    assert "memfd_create is not available: using an unlinked temporary file" in caplog.text


def test_without_memfd_and_without_a_folder_for_temporary_files_it_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(DoesNotFitError, match="No room for a file of 1 bytes"):
        MemoryFile(1)


def test_where_there_is_no_proc_the_path_is_that_of_the_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_dir", lambda _: False)
    with sealed() as file:
        assert file.path.startswith("/dev/fd/")
        assert Path(file.path).read_bytes() == CONTENT
