"""Any schedule of faults: the memory file is byte for byte the object, or one typed error names the cause.

And every descriptor, mapping and thread is gone. The schedules are the same in each run; `--hypothesis-seed=N` and
`derandomize=False` give others.
"""

import errno
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from types import FrameType
from typing import Any

import boto3
import pytest
import tenacity
import urllib3.util.connection
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_llm.errors import LoadError
from lambda_llm.gguf.errors import CorruptError, DoesNotFitError, NotGGUFError, UnsupportedModelError
from lambda_llm.loading import download
from lambda_llm.loading import load as loading
from lambda_llm.loading.errors import (
    ChangedError,
    ForbiddenError,
    TooManyFilesError,
    UnavailableError,
    UnverifiableError,
)
from lambda_llm.loading.sources import s3
from support.faulty_s3 import (
    SLOW_DOWN,
    Exchange,
    Fault,
    FaultyS3,
    Request,
    announce_less,
    flip,
    hang_up,
    late,
    more,
    refuse,
    repeat,
    reset,
    say,
    shifted,
    shorten,
    stall,
    stall_after,
    then,
    whole,
    without_checksum,
)
from support.leftovers import leftovers
from support.loads import content, load_model
from support.models import Shape, padded, write_llama

SCHEDULES = 400
SIZE_MAX = 60_000
IMPATIENT_SECONDS = 0.03

BROKEN = (UnavailableError, CorruptError)
OTHER_BYTES = (CorruptError, NotGGUFError, UnsupportedModelError, DoesNotFitError)
"""What comes of wrong bytes: the checksum differs, or a header that was read from them makes no sense before that."""


@dataclass(frozen=True)
class Trouble:
    """A fault, and what may come of it when the load does not survive it.

    Attributes:
        name: shown where a test fails.
        fault: what the store does.
        leads_to: classes of errors.
    """

    name: str
    fault: Fault
    leads_to: tuple[type[BaseException], ...] = ()

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True)
class AtByte:
    make: Callable[[int], Fault]


def trouble(name: str, fault: AtByte | Fault, *leads_to: type[BaseException]) -> st.SearchStrategy[Trouble]:
    """The fault, or the fault at any byte."""
    if isinstance(fault, AtByte):
        return st.builds(lambda n: Trouble(f"{name} {n}", fault.make(n), leads_to), st.integers(0, SIZE_MAX))
    return st.just(Trouble(name, fault, leads_to))


def interrupt(exchange: Exchange) -> None:
    """Somebody presses Ctrl-C."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
    exchange.send()


def overwrite(store: FaultyS3) -> None:
    """Another model of the same size takes the object's place."""
    old = store.newest.body
    store.put(old[:-1] + bytes([old[-1] ^ 1]))


TROUBLES = st.one_of(
    trouble("reset after", AtByte(reset), *BROKEN),
    trouble("closed after", AtByte(shorten), *BROKEN),
    trouble("short body of", AtByte(announce_less), *OTHER_BYTES),
    trouble("repeated from", AtByte(repeat), *OTHER_BYTES),
    trouble("more by", AtByte(more), *BROKEN),
    trouble("bit flipped at", AtByte(flip), *OTHER_BYTES),
    trouble("stall after", AtByte(stall_after), *BROKEN),
    trouble("stall", stall, *BROKEN),
    trouble("hang up", hang_up, *BROKEN),
    trouble("503 SlowDown", SLOW_DOWN, UnavailableError),
    trouble("503", refuse(503, "ServiceUnavailable"), UnavailableError),
    trouble("500", refuse(500, "InternalError"), UnavailableError),
    trouble("429", refuse(429, "TooManyRequests"), UnavailableError),
    trouble("another range", shifted, CorruptError),
    trouble("no Content-Range", say(Content_Range=""), CorruptError, UnavailableError),
    trouble("whole", whole),
    trouble("late", late(0.005)),
    trouble("expired token", refuse(400, "ExpiredToken"), ForbiddenError),
    trouble("no permission", refuse(403, "AccessDenied"), ForbiddenError, UnavailableError),
    trouble("overwritten", then(overwrite), ChangedError),
    trouble("wrong checksum", say(x_amz_checksum_crc64nvme="AAAAAAAAAAA="), CorruptError),
    trouble("senseless checksum", say(x_amz_checksum_crc64nvme="what?"), UnavailableError),
    trouble("no checksum", without_checksum, UnverifiableError),
    trouble("Ctrl-C", interrupt, KeyboardInterrupt),
)


@dataclass(frozen=True)
class Schedule:
    """What happens when.

    Attributes:
        requests: what the store does to the first, second, ... request.
        forever: whether the last of them goes on for all that follow.
        connections: errno of the first, second, ... attempt to connect, or None.
        memory: which system call for memory fails, and how often it succeeds before; or None.
    """

    requests: list[Trouble | None]
    forever: bool
    connections: list[int | None]
    memory: tuple[str, int] | None

    @property
    def stalls(self) -> bool:
        return any(each and each.name.startswith("stall") for each in self.requests)


SCHEDULE = st.builds(
    Schedule,
    requests=st.lists(st.none() | TROUBLES | TROUBLES, max_size=8),
    forever=st.sampled_from([False, False, False, True]),
    connections=st.just([]) | st.lists(st.sampled_from([None, errno.EMFILE, socket.EAI_NONAME]), max_size=10),
    memory=st.none()
    | st.none()
    | st.tuples(st.sampled_from(["memfd_create", "ftruncate", "pwrite"]), st.integers(0, 4)),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    shape = Shape(layers=1, width=32, feed_forward=32, vocabulary=10)
    return write_llama(tmp_path_factory.mktemp("models") / "tiny.gguf", shape).read_bytes()


@pytest.fixture(scope="module")
def store() -> Iterator[FaultyS3]:
    with FaultyS3() as running:
        yield running


@pytest.fixture
def _quick(store: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No pauses, and one session for all clients: neither is what the schedules are about."""
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    session = boto3.Session()
    monkeypatch.setattr(boto3, "Session", lambda: session)
    monkeypatch.setattr(tenacity, "wait_random_exponential", lambda **_: tenacity.wait_none())

    def interrupted(_: int, frame: FrameType | None) -> None:
        """Like Python's own handler, while a load is on its way: what comes later is nobody's."""
        while frame and frame.f_code is not loading.load.__code__:
            frame = frame.f_back
        if frame:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupted)
    yield
    signal.signal(signal.SIGUSR1, before)


@contextmanager
def happening(schedule: Schedule, store: FaultyS3, patched: pytest.MonkeyPatch) -> Iterator[set[type[BaseException]]]:
    """Let the schedule happen; gives the errors that what has really happened may lead to."""
    possible: set[type[BaseException]] = set()
    left = list(schedule.requests)
    connections = iter(schedule.connections)
    really_connect = urllib3.util.connection.create_connection

    def plan(_: Request) -> Fault | None:
        now = left.pop(0) if len(left) > 1 or (left and not schedule.forever) else next(iter(left), None)
        if now is None:
            return None
        possible.update(now.leads_to)
        return now.fault

    def connect(*arguments: Any, **named: Any) -> socket.socket:
        failure = next(connections, None)
        if failure == socket.EAI_NONAME:
            possible.add(UnavailableError)
            raise socket.gaierror(failure, "Name or service not known")
        if failure is not None:
            possible.add(TooManyFilesError)
            raise OSError(failure, os.strerror(failure))
        return really_connect(*arguments, **named)

    if schedule.memory:
        name, after = schedule.memory
        patched.setattr(os, name, failing(getattr(os, name), name, after, possible))
    patched.setattr(urllib3.util.connection, "create_connection", connect)
    store.plan = plan
    yield possible


def failing(
    really: Callable[..., Any], name: str, after: int, possible: set[type[BaseException]]
) -> Callable[..., Any]:
    calls = 0

    def call(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > after:
            failure = errno.EMFILE if name == "memfd_create" else errno.ENOMEM
            possible.add(TooManyFilesError if name == "memfd_create" else DoesNotFitError)
            raise OSError(failure, os.strerror(failure))
        return really(*arguments)

    return call


outcomes: dict[str, int] = {}


@pytest.mark.usefixtures("_quick")
def test_any_schedule_ends_in_the_object_or_one_error(model: bytes, store: FaultyS3) -> None:
    @settings(max_examples=SCHEDULES)
    @given(
        schedule=SCHEDULE,
        size=st.integers(0, SIZE_MAX),
        head=st.integers(500, 30_000),
        part=st.integers(2_000, 40_000),
        versioned=st.booleans(),
        pinned=st.booleans(),
    )
    def check(schedule: Schedule, size: int, head: int, part: int, *, versioned: bool, pinned: bool) -> None:
        body = padded(model, max(size, len(model)))
        store.begin_anew(body, versioned=versioned)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(download, "PART_BYTES_MIN", part)
            patched.setattr(download, "PART_BYTES_MAX", part)
            patched.setattr(loading, "HEAD_BYTES", head)
            if schedule.stalls:
                patched.setattr(s3, "SOCKET_SECONDS", IMPATIENT_SECONDS)
            with happening(schedule, store, patched) as possible:
                outcome = load_once(store, sha256(body).hexdigest() if pinned else None, possible)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        assert leftovers({store.port}) == []

    check()
    assert store.crashes == []
    assert sum(outcomes.values()) >= SCHEDULES
    assert outcomes["loaded"] > SCHEDULES / 10, "hardly any schedule was survived: they prove little"
    for kind in (UnavailableError, CorruptError, ForbiddenError, ChangedError, DoesNotFitError, TooManyFilesError):
        assert kind.__name__ in outcomes, "no schedule led to it"
    assert "KeyboardInterrupt" in outcomes


def load_once(store: FaultyS3, pin: str | None, possible: set[type[BaseException]]) -> str:
    """Load, and hold what comes of it against what may; returns it in a word."""
    try:
        try:
            loaded = load_model(store.uri, sha256=pin)
        finally:
            store.settle()
    except LoadError as error:
        # Either way is right; which one, depends on the schedule.
        allowed = possible | ({CorruptError} if pin and ChangedError in possible else set())
        assert type(error) in allowed, f"{type(error).__name__} ({error}) can't come of it"  # noqa: PT017
        assert store.uri in str(error) or "in memory" in str(error)  # noqa: PT017
        return type(error).__name__
    except KeyboardInterrupt:
        assert KeyboardInterrupt in possible
        return "KeyboardInterrupt"
    bytes_loaded = content(loaded)
    assert bytes_loaded in {stored.body for stored in store.versions}
    return "loaded"
