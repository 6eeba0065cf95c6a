"""What the machine under a load can do to it: names, descriptors, memory, threads, signals."""

import errno
import os
import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3.util.connection

from lambda_llm.gguf.errors import DoesNotFitError
from lambda_llm.loading.errors import TooManyFilesError, UnavailableError
from lambda_llm.loading.retries import ATTEMPTS
from support.faulty_s3 import Exchange, FaultyS3, always
from support.loads import content, load_model

Serve = Callable[..., FaultyS3]

pytestmark = pytest.mark.usefixtures("no_pauses", "parts_of_one_size")


@pytest.fixture
def fail_to_connect(monkeypatch: pytest.MonkeyPatch) -> Callable[[OSError, int], None]:
    """Have the first so many attempts to connect fail."""
    really_connect = urllib3.util.connection.create_connection

    def fail(failure: OSError, times: int) -> None:
        left = iter(range(times))

        def connect(*arguments: Any, **named: Any) -> socket.socket:
            if next(left, None) is not None:
                raise failure
            return really_connect(*arguments, **named)

        monkeypatch.setattr(urllib3.util.connection, "create_connection", connect)

    return fail


FULL = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
NO_NAME = socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.mark.parametrize("failure", [FULL, NO_NAME], ids=["no descriptor", "no name"])
def test_a_connection_that_can_not_be_made_for_a_while_is_survived(
    serve: Serve, large: bytes, fail_to_connect: Callable[[OSError, int], None], failure: OSError
) -> None:
    s3 = serve(large)
    fail_to_connect(failure, ATTEMPTS - 1)
    assert content(load_model(s3.uri)) == large


@pytest.mark.usefixtures("ports")
def test_a_name_that_no_server_has_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://no-such-host.invalid")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setattr(socket, "getaddrinfo", refusing(NO_NAME))
    with pytest.raises(
        UnavailableError,
        match=r"S3 can't be reached for s3://models/tiny\.gguf .*no-such-host\.invalid.*Name or service not known\)",
    ):
        load_model("s3://models/tiny.gguf")


def refusing(failure: OSError) -> Callable[..., Any]:
    def refuse(*_: object, **__: object) -> Any:
        raise failure

    return refuse


def test_no_descriptor_for_a_connection_is_told(
    serve: Serve, large: bytes, fail_to_connect: Callable[[OSError, int], None]
) -> None:
    s3 = serve(large)
    fail_to_connect(FULL, 1000)
    with pytest.raises(
        TooManyFilesError,
        match=r"No file descriptor is left for a connection to S3, which s3://models/tiny\.gguf needs "
        r"\(Too many open files\): close open files or connections, or raise the limit",
    ):
        load_model(s3.uri)


def test_no_descriptor_for_the_memory_file_is_told(serve: Serve, large: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    s3 = serve(large)
    monkeypatch.setattr(os, "memfd_create", refusing(FULL))
    with pytest.raises(TooManyFilesError, match=r"No file descriptor is left for a file of 39,003,264 bytes in memory"):
        load_model(s3.uri)


@pytest.fixture
def few_descriptors() -> Iterator[Callable[[int], None]]:
    """Leave so many descriptors to the whole process, the server of the test included."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    def leave(count: int) -> None:
        used = max(int(name) for name in os.listdir("/proc/self/fd"))  # noqa: PTH208 - one list, no descriptor each
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 1 + count, before[1]))

    yield leave
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_file_is_told_when_there_is_really_no_descriptor(
    large_path: Path, few_descriptors: Callable[[int], None]
) -> None:
    load_model(str(large_path)).file.close()
    spare = []
    few_descriptors(1)
    try:
        while True:
            spare.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    try:
        with pytest.raises(TooManyFilesError, match=rf"No file descriptor is left to read {large_path} "):
            load_model(str(large_path))
    finally:
        for fd in spare:
            os.close(fd)


def test_memory_that_runs_out_midway_is_told(serve: Serve, large: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    s3 = serve(large)
    really_write = os.pwrite

    def write(fd: int, data: bytes, at: int) -> int:
        if at > 10_000_000:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        return really_write(fd, data, at)

    monkeypatch.setattr(os, "pwrite", write)
    with pytest.raises(
        DoesNotFitError, match=r"No room for a file of 39,003,264 bytes in memory .*Cannot allocate memory\): give"
    ):
        load_model(s3.uri)


def test_memory_that_python_does_not_get_is_told(serve: Serve, large: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    s3 = serve(large)

    def write(_: int, __: bytes, ___: int) -> int:
        raise MemoryError

    monkeypatch.setattr(os, "pwrite", write)
    with pytest.raises(DoesNotFitError, match=r"No room for a file of 39,003,264 bytes in memory"):
        load_model(s3.uri)


def test_a_thread_that_the_system_refuses_is_told(serve: Serve, large: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    s3 = serve(large)
    really_start = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name.startswith("lambda-llm-load"):
            raise RuntimeError("can't start new thread")
        really_start(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(
        DoesNotFitError, match=r"No thread could be started to read s3://models/tiny\.gguf \(can't start new thread\)"
    ):
        load_model(s3.uri)


@pytest.mark.parametrize("moment", range(1, 5), ids=["description", "header", "first part", "second part"])
def test_ctrl_c_at_any_request_leaves_nothing_behind(serve: Serve, large: bytes, moment: int) -> None:
    s3 = serve(large)

    def press(exchange: Exchange) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        exchange.wait(20)
        exchange.send()

    s3.plan = always(press, lambda _: len(s3.requests) == moment)
    with pytest.raises(KeyboardInterrupt):
        load_model(s3.uri)
