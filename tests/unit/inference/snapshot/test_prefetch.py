"""Memory is read in order, whole, and without harm."""

import ctypes
import logging
import mmap
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambda_llm.engine.weight_order import Region
from lambda_llm.inference.snapshot import prefetch
from lambda_llm.inference.snapshot.prefetch import LARGE_BYTES, STEP_BYTES, Prefetch, other_memory
from lambda_llm.limits import MIB

PAGE = mmap.PAGESIZE


class Fresh:
    """A file of nothing but holes in memory: a page of its mapping exists once somebody has read it."""

    def __init__(self, size: int) -> None:
        self.fd = os.memfd_create("pages")
        os.ftruncate(self.fd, size)
        self._mapping = mmap.mmap(self.fd, size, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._mapping))
        self.size = size

    def read(self) -> list[bool]:
        """Which pages were read, in order; each has an entry in the page table then."""
        with Path("/proc/self/pagemap").open("rb", buffering=0) as table:
            entries = os.pread(table.fileno(), self.size // PAGE * 8, self.address // PAGE * 8)
        return [bool(int.from_bytes(entries[at : at + 8], "little") >> 63) for at in range(0, len(entries), 8)]


@pytest.fixture
def fresh() -> Iterator[Fresh]:
    memory = Fresh(4 * MIB)
    yield memory
    os.close(memory.fd)


def test_every_page_is_read(fresh: Fresh) -> None:
    assert not any(fresh.read())
    reading = Prefetch([Region(fresh.address, fresh.size)])
    assert reading.wait()
    assert all(fresh.read())


def test_regions_that_begin_and_end_anywhere_are_read_and_nothing_else_is(fresh: Fresh) -> None:
    first = Region(fresh.address + 100, PAGE)  # a byte of the second page
    second = Region(fresh.address + 10 * PAGE - 1, STEP_BYTES + 2)
    assert Prefetch([first, second], threads=3).wait()
    touched = [0, 1, *range(9, 10 + STEP_BYTES // PAGE + 1)]
    assert [page for page, read in enumerate(fresh.read()) if read] == touched


def test_pieces_are_taken_in_order_small_others_first_and_large_ones_last(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[str, int]] = []
    monkeypatch.setattr(prefetch, "_read_weights", lambda piece: taken.append(("weights", piece.address)))
    monkeypatch.setattr(prefetch, "_read_mapped", lambda piece: taken.append(("other", piece.address)))
    weights = [Region(64 * MIB, STEP_BYTES + PAGE), Region(32 * MIB, PAGE)]
    others = [Region(512 * MIB, LARGE_BYTES), Region(MIB, PAGE)]
    assert Prefetch(weights, others, threads=1).wait()
    assert taken[:4] == [
        ("other", MIB),
        ("weights", 64 * MIB),
        ("weights", 64 * MIB + STEP_BYTES),
        ("weights", 32 * MIB),
    ]
    assert taken[4:] == [("other", 512 * MIB + at) for at in range(0, LARGE_BYTES, STEP_BYTES)]


def test_all_threads_read_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    all_there = threading.Barrier(4)
    monkeypatch.setattr(prefetch, "_read_weights", lambda _: all_there.wait(60))
    assert Prefetch([Region(0, 4 * STEP_BYTES)], threads=4).wait(60)


def test_reading_stops_when_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()
    read: list[Region] = []

    def slowly(piece: Region) -> None:
        begun.set()
        go_on.wait(60)
        read.append(piece)

    monkeypatch.setattr(prefetch, "_read_weights", slowly)
    reading = Prefetch([Region(0, 100 * STEP_BYTES)], threads=1)
    assert begun.wait(60)
    assert not reading.wait(0)
    stopping = threading.Thread(target=reading.stop)
    stopping.start()
    while not reading.stopped:
        pass
    go_on.set()
    stopping.join(60)
    assert len(read) == 1
    assert not reading.wait()


def test_memory_that_has_gone_is_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    gone = Fresh(MIB)
    region = Region(gone.address, gone.size)
    os.close(gone.fd)
    del gone
    assert Prefetch([], [region, Region(PAGE, PAGE)]).wait()
    assert any(message.startswith("read 1.0 MB of memory in ") for message in caplog.messages)


def test_what_was_written_is_found_but_for_the_weights(tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.write_text(
        "00010000-00020000 r-xp 00000000 fe:00 12 /usr/bin/python3\n"
        "00030000-00040000 rw-p 00000000 00:00 0                          [heap]\n"
        "00050000-00080000 rw-p 00000000 00:00 0 \n"
        "00090000-000a0000 rw-s 00000000 00:01 7 /memfd:model (deleted)\n"
        "000b0000-000c0000 ---p 00000000 00:00 0 \n"
        "000d0000-000e0000 rw-p 00000000 00:00 0                          [stack]\n"
    )
    weights = [Region(0x70000, 0x10000), Region(0x50000, 0x8000), Region(0x5F000, 0x1000)]
    assert other_memory(weights, maps) == [
        Region(0x30000, 0x10000),
        Region(0x58000, 0x7000),
        Region(0x60000, 0x10000),
    ]
    assert other_memory([], tmp_path / "missing") == []


def test_this_process_has_written_something() -> None:
    assert sum(region.size for region in other_memory([])) > MIB
