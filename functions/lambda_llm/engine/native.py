"""llama.cpp itself: started once per process, its log lines handed to `logging`."""

import ctypes
import logging
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

import llama_cpp

from lambda_llm.engine import backend
from lambda_llm.engine.cancellation import Cancellation

logger = logging.getLogger("llama.cpp")

_LEVELS: Final = {1: logging.DEBUG, 2: logging.INFO, 3: logging.WARNING, 4: logging.ERROR}  # ggml.h


class _Thread(threading.local):
    """What llama.cpp logs goes through one function for all models, on the thread that called it.

    Attributes:
        line: fragments of the line that is not complete yet.
        level: of that line.
        errors: the last lines that were errors.
        cancellation: of the evaluation that this thread is in, if any.
    """

    def __init__(self) -> None:
        self.line: list[str] = []
        self.level = logging.DEBUG
        self.errors: deque[str] = deque(maxlen=8)
        self.cancellation: Cancellation | None = None


_thread = _Thread()


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _log(level: int, text: bytes, _: Any) -> None:
    """llama.cpp logs in fragments; a line is complete with its newline."""
    _thread.level = _LEVELS.get(level, _thread.level)
    _thread.line.append(text.decode(errors="replace"))
    if not text.endswith(b"\n"):
        return
    line = "".join(_thread.line).strip()
    _thread.line.clear()
    if _thread.cancellation is not None and _thread.cancellation.cancelled:
        logger.debug("%s", line)  # llama.cpp reports an abort that was asked for as a failure
        return
    logger.log(_thread.level, "%s", line)
    if _thread.level == logging.ERROR:
        _thread.errors.append(line)


@cache
def start() -> None:
    """Prepare llama.cpp for this process; calling it again does nothing."""
    llama_cpp.llama_log_set(_log, ctypes.c_void_p(0))
    backend.load()
    llama_cpp.llama_backend_init()


@cache
def library() -> ctypes.CDLL:
    """llama.cpp's library, with what the bindings do not declare: functions of ggml, whose library it brings along."""
    ggml: ctypes.CDLL = llama_cpp.llama_cpp._lib  # noqa: SLF001 - the bindings have no name for it
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    for name, result, arguments in (
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
    """The errors that llama.cpp logged on this thread since the last call, on one line."""
    errors = "; ".join(_thread.errors)
    _thread.errors.clear()
    return errors


@contextmanager
def cancellable(cancellation: Cancellation) -> Iterator[None]:
    """While this lasts, what llama.cpp logs on this thread after a cancellation is no error.

    Args:
        cancellation: the one that the context's abort callback asks.
    """
    _thread.cancellation = cancellation
    try:
        yield
    finally:
        _thread.cancellation = None


def abort_callback(cancellation: Cancellation) -> tuple[Any, ctypes.c_void_p]:
    """An abort callback for llama.cpp, and its argument, that asks a cancellation's flag and needs no Python.

    llama.cpp asks between any two operations, from its own thread; a Python callback would take the
    interpreter's lock some hundred times a token. C's `strlen` does the same: 0 (go on) for an empty string,
    1 (abort) for a string of one byte.

    Args:
        cancellation: must outlive the use of the callback.
    """
    address = ctypes.cast(ctypes.CDLL(None).strlen, ctypes.c_void_p).value or 0
    return llama_cpp.ggml_abort_callback(address), ctypes.cast(cancellation.flag, ctypes.c_void_p)
