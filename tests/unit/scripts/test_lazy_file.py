"""A file that is loaded on demand is the file: whoever reads or maps it gets its bytes, and nothing stays behind."""

import mmap
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import ROOT
from scripts.bench import lazy_file
from scripts.bench.link import Link
from support.needs import leave_out

CHUNK = 64 * 1024
RANDOM = random.Random(7)  # noqa: S311 - reproducible
CONTENT = RANDOM.randbytes(20 * CHUNK + 12_345)


def test_without_its_device_it_says_so_in_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(lazy_file, "DEVICE", tmp_path / "missing")
    reason = lazy_file.unavailable()
    assert reason
    assert reason.startswith("FUSE is not allowed here")
    assert reason.endswith(f"run it as root, on a machine with {tmp_path / 'missing'}.")


@pytest.fixture
def original(tmp_path: Path) -> Path:
    path = tmp_path / "original.bin"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def _fuse(request: pytest.FixtureRequest) -> None:
    """Linux's FUSE, which a machine has or not: nothing can be installed for it."""
    if lazy_file.unavailable():
        leave_out(request.node, "FUSE", f"run the tests as root, on a machine with {lazy_file.DEVICE}")


@pytest.fixture
def served(_fuse: None, original: Path) -> Iterator[Path]:
    with lazy_file.lazily_served(original, latency=0, bandwidth=1e9, chunk=CHUNK) as path:
        yield path


def test_it_has_size_and_content(served: Path, original: Path) -> None:
    assert served != original
    assert served.stat().st_size == len(CONTENT)
    assert served.read_bytes() == CONTENT


def test_any_range_can_be_read(served: Path) -> None:
    with served.open("rb", buffering=0) as file:
        for _ in range(50):
            at = RANDOM.randrange(len(CONTENT))
            size = RANDOM.randrange(1, 3 * CHUNK)
            assert os.pread(file.fileno(), size, at) == CONTENT[at : at + size]
        assert os.pread(file.fileno(), 1, len(CONTENT)) == b""


def test_it_can_be_mapped_and_touched_in_any_order(served: Path) -> None:
    with served.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        places = list(range(0, len(CONTENT), 4096))
        RANDOM.shuffle(places)
        assert bytes(mapped[at] for at in places) == bytes(CONTENT[at] for at in places)


def test_nobody_writes_to_it(served: Path, original: Path) -> None:
    with pytest.raises(OSError, match="Read-only file system"):
        served.write_bytes(b"else")
    assert original.read_bytes() == CONTENT


@pytest.mark.usefixtures("_fuse")
def test_afterwards_it_is_gone(original: Path) -> None:
    with lazy_file.lazily_served(original, latency=0, bandwidth=1e9, chunk=CHUNK) as path:
        assert os.path.ismount(path)
    assert not path.exists()
    assert str(path) not in Path("/proc/mounts").read_text()


@pytest.mark.usefixtures("_fuse")
def test_it_goes_with_whoever_asked_for_it(original: Path) -> None:
    asks = f"""
import time
from pathlib import Path
from scripts.bench.lazy_file import lazily_served

with lazily_served(Path({str(original)!r}), latency=0, bandwidth=1e9, chunk={CHUNK}) as path:
    print(path, flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", asks], cwd=ROOT, stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdout
        path = asking.stdout.readline().strip()
        assert os.path.ismount(path)
        asking.kill()
    until = time.monotonic() + 30
    while path in Path("/proc/mounts").read_text() and time.monotonic() < until:
        time.sleep(0.01)
    assert path not in Path("/proc/mounts").read_text()
    Path(path).unlink()


@pytest.mark.usefixtures("_fuse")
def test_a_file_that_is_not_there_is_an_error_with_a_sentence(tmp_path: Path) -> None:
    missing = lazy_file.lazily_served(tmp_path / "missing", latency=0, bandwidth=1e9, chunk=CHUNK)
    with pytest.raises(lazy_file.LazyFileError, match="did not start"), missing:
        pass


def test_a_chunk_is_loaded_once_and_whole(original: Path) -> None:
    with original.open("rb") as file:
        server = lazy_file.Server(-1, file.fileno(), Link(0, 1e-3), CHUNK)  # a byte takes 1,000 s
    first = server.arrival(offset=10, size=1)
    assert server.arrival(offset=CHUNK - 1, size=1) == first
    second = server.arrival(offset=CHUNK - 1, size=2)
    assert second == pytest.approx(first + CHUNK * 1000)
    last = server.arrival(offset=len(CONTENT) - 1, size=1)
    assert last == pytest.approx(second + 12_345 * 1000)
