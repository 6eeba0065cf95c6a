"""Models, stores, and a check after every test that a load left nothing behind."""

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import tenacity
from botocore.loaders import JSONFileLoader

from lambda_llm.loading import download
from scripts.local_aws.server import LocalAWS
from support.faulty_s3 import FaultyS3
from support.leftovers import leftovers
from support.loads import PART
from support.models import Shape, write_llama

Serve = Callable[..., FaultyS3]


@pytest.fixture(autouse=True)
def _no_aws_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


@pytest.fixture(scope="session", autouse=True)
def _service_models_are_read_once() -> Iterator[None]:
    # A client is made for each load; half of its time went into reading botocore's JSON files again.
    read = functools.cache(JSONFileLoader().load_file)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(JSONFileLoader, "load_file", lambda _, path: read(path))
        yield


@pytest.fixture(autouse=True)
def ports(_no_aws_of_this_machine: None) -> Iterator[set[int]]:
    """Ports of the stores that a test talks to; afterwards nothing of a load may be left."""
    used: set[int] = set()
    yield used
    assert leftovers(used) == []


@pytest.fixture
def serve(ports: set[int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Start a `FaultyS3` with the arguments given, and point AWS clients to it."""
    with ExitStack() as running:

        def start(body: bytes, *, versioned: bool = True, checksum: str | None = "FULL_OBJECT") -> FaultyS3:
            s3 = running.enter_context(FaultyS3(body, versioned=versioned, checksum=checksum))
            for name, value in s3.environment.items():
                monkeypatch.setenv(name, value)
            ports.add(s3.port)
            started.append(s3)
            return s3

        started: list[FaultyS3] = []
        yield start
        # Before the servers end, as their end would close what was forgotten.
        assert leftovers(ports) == []
    assert [crash for s3 in started for crash in s3.crashes] == []


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other at once."""
    monkeypatch.setattr(tenacity, "wait_random_exponential", lambda **_: tenacity.wait_none())


@pytest.fixture
def parts_of_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts are the same on every machine."""
    monkeypatch.setattr(download, "PART_BYTES_MIN", PART)
    monkeypatch.setattr(download, "PART_BYTES_MAX", PART)


@pytest.fixture
def aws(local_aws: LocalAWS, ports: set[int], monkeypatch: pytest.MonkeyPatch) -> LocalAWS:
    """The local AWS, and AWS clients of this process pointed to it."""
    for name, value in local_aws.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    port = urlsplit(local_aws.endpoint).port
    assert port is not None
    ports.add(port)
    return local_aws


@pytest.fixture(scope="session")
def small_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of some 600 KB: less than what is read first."""
    return write_llama(tmp_path_factory.mktemp("models") / "small.gguf")


@pytest.fixture(scope="session")
def small(small_path: Path) -> bytes:
    return small_path.read_bytes()


@pytest.fixture(scope="session")
def large_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of some 40 MB: several parts."""
    shape = Shape(layers=3, width=512, heads=8, kv_heads=4, feed_forward=1536)
    return write_llama(tmp_path_factory.mktemp("models") / "large.gguf", shape)


@pytest.fixture(scope="session")
def large(large_path: Path) -> bytes:
    return large_path.read_bytes()
