"""llama.cpp itself: initialized once per process, its log forwarded to `logging`."""

import ctypes
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from queue import SimpleQueue
from typing import Any, Final, TypeVar

import llama_cpp

from lambda_llm.engine import backend
from lambda_llm.engine.cancellation import Cancellation

logger = logging.getLogger("llama.cpp")

T = TypeVar("T")

_LEVELS: Final = {1: logging.DEBUG, 2: logging.INFO, 3: logging.WARNING, 4: logging.ERROR}  # ggml.h


class AssertionFailedError(Exception):
    """An assertion of llama.cpp failed in a call that was made by `surviving`; the text is the assertion."""


class _Thread(threading.local):
    """State of the log callback, one per thread: llama.cpp has one callback for all models and calls it on any thread.

    Attributes:
        line: fragments of the current, incomplete line.
        level: of that line.
        errors: the last lines of level error.
        cancellation: of the evaluation that runs on this thread, if any.
        survivors: who waits for a call on this thread that may end in an assertion; see `surviving`.
    """

    def __init__(self) -> None:
        self.line: list[str] = []
        self.level = logging.DEBUG
        self.errors: deque[str] = deque(maxlen=8)
        self.cancellation: Cancellation | None = None
        self.survivors: SimpleQueue[Any] | None = None


_thread = _Thread()


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _log(level: int, text: bytes, _: Any) -> None:
    """llama.cpp logs in fragments; a newline completes a line."""
    _thread.level = _LEVELS.get(level, _thread.level)
    _thread.line.append(text.decode(errors="replace"))
    if not text.endswith(b"\n"):
        return
    line = "".join(_thread.line).strip()
    _thread.line.clear()
    if _thread.cancellation is not None and _thread.cancellation.cancelled:
        logger.debug("%s", line)  # llama.cpp reports a requested abort as a failure
        return
    logger.log(_thread.level, "%s", line)
    if _thread.level == logging.ERROR:
        _thread.errors.append(line)


_ending = threading.Lock()
"""Held by the thread that ends the process."""


@ctypes.CFUNCTYPE(None, ctypes.c_char_p)  # type: ignore[untyped-decorator]
def _failed_assertion(message: bytes) -> None:
    """Called instead of printing a backtrace; llama.cpp ends the process, by SIGABRT, when this returns."""
    text = message.decode(errors="replace").strip()
    if _thread.survivors is not None:
        _thread.survivors.put(AssertionFailedError(text))
        threading.Event().wait()  # for ever: the thread can neither go on nor unwind
    if not _ending.acquire(blocking=False):  # another thread of the same computation has failed, too, and says so
        threading.Event().wait()
    logger.critical("llama.cpp failed at an assertion, which ends this process: %s", text)
    logging.shutdown()
    os._exit(1)


def surviving(call: Callable[[], T]) -> T:
    """Call llama.cpp on a thread of its own, which an assertion ends instead of the process.

    What the thread has allocated or locked stays so: only for what happens once in a process, before an error that ends
    it.

    Args:
        call: whatever it raises is raised here, too.

    Raises:
        AssertionFailedError: an assertion failed.
    """
    outcome: SimpleQueue[T | BaseException] = SimpleQueue()

    def run() -> None:
        _thread.survivors = outcome
        try:
            outcome.put(call())
        except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
            outcome.put(error)

    threading.Thread(target=run, name="lambda-llm-open", daemon=True).start()
    try:
        ended = outcome.get()
    except KeyboardInterrupt:
        outcome.get()  # llama.cpp can't be left while it works
        raise
    if isinstance(ended, BaseException):
        raise ended
    return ended


@cache
def start() -> None:
    """Initialize llama.cpp in this process; calling it again does nothing."""
    library().ggml_set_abort_callback(_failed_assertion)
    llama_cpp.llama_log_set(_log, ctypes.c_void_p(0))
    backend.load()
    llama_cpp.llama_backend_init()


@cache
def library() -> ctypes.CDLL:
    """llama.cpp's library, with ggml functions (of a library it links to) that the bindings do not declare."""
    ggml: ctypes.CDLL = llama_cpp.llama_cpp._lib  # noqa: SLF001 - the bindings have no public name for it
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    for name, result, arguments in (
        ("ggml_set_abort_callback", pointer, [type(_failed_assertion)]),
        ("ggml_nbytes", size, [pointer]),
        ("ggml_op_name", ctypes.c_char_p, [ctypes.c_int]),
        ("ggml_backend_buffer_get_usage", ctypes.c_int, [pointer]),
        ("ggml_backend_buffer_get_type", pointer, [pointer]),
        ("ggml_backend_buffer_free", None, [pointer]),
        ("ggml_backend_cpu_buffer_from_ptr", pointer, [pointer, size]),
    ):
        function = getattr(ggml, name)
        function.restype, function.argtypes = result, arguments
    return ggml


def last_errors() -> str:
    """The errors that llama.cpp logged on this thread since the last call, in one line; clears them."""
    errors = "; ".join(_thread.errors)
    _thread.errors.clear()
    return errors


@contextmanager
def cancellable(cancellation: Cancellation) -> Iterator[None]:
    """Inside, what llama.cpp logs on this thread after the cancellation is not treated as an error.

    Args:
        cancellation: the one that the context's abort callback checks.
    """
    _thread.cancellation = cancellation
    try:
        yield
    finally:
        _thread.cancellation = None


def abort_callback(cancellation: Cancellation) -> tuple[Any, ctypes.c_void_p]:
    """An abort callback for llama.cpp and its argument, which check a cancellation's flag without running Python.

    llama.cpp calls it between any two operations, on its own thread; a Python callback would take the GIL some
    hundred times per token. C's `strlen` does the same: 0 (continue) for an empty string, 1 (abort) for a string of
    one byte.

    Args:
        cancellation: must outlive the callback.
    """
    address = ctypes.cast(ctypes.CDLL(None).strlen, ctypes.c_void_p).value or 0
    return llama_cpp.ggml_abort_callback(address), ctypes.cast(cancellation.flag, ctypes.c_void_p)
