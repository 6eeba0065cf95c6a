"""llama.cpp itself: started once, and made to speak through `logging`."""

import ctypes
import logging
from collections import deque
from functools import cache
from typing import Any, Final

import llama_cpp

from lambda_llm.engine import backend

logger = logging.getLogger("llama.cpp")

_LEVELS: Final = {1: logging.DEBUG, 2: logging.INFO, 3: logging.WARNING, 4: logging.ERROR}  # ggml.h
_recent_errors: deque[str] = deque(maxlen=8)
_line: list[str] = []
_level = logging.DEBUG
_abort_flag: "ctypes.Array[ctypes.c_char] | None" = None


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _log(level: int, text: bytes, _: Any) -> None:
    """llama.cpp logs in fragments; a line is complete with its newline."""
    global _level  # noqa: PLW0603 - C calls back without a place for state
    _level = _LEVELS.get(level, _level)
    _line.append(text.decode(errors="replace"))
    if not text.endswith(b"\n"):
        return
    line = "".join(_line).strip()
    _line.clear()
    if _abort_flag is not None and _abort_flag[0] != b"\0":
        logger.debug("%s", line)  # llama.cpp reports an abort that was asked for as a failure
        return
    logger.log(_level, "%s", line)
    if _level == logging.ERROR:
        _recent_errors.append(line)


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
    """What llama.cpp complained of since the last call, on one line."""
    said = "; ".join(_recent_errors)
    _recent_errors.clear()
    return said


def never_or_when(flag: "ctypes.Array[ctypes.c_char]") -> tuple[Any, ctypes.c_void_p]:
    """An abort callback for llama.cpp, and its argument, which asks `flag` and needs no Python.

    llama.cpp asks between any two operations, from its own thread; a Python callback would take the
    interpreter's lock some hundred times a token. C's `strlen` does the same: 0 (go on) for an empty string,
    1 (abort) for a string of one byte.

    Args:
        flag: two bytes, the second one zero; must outlive the use of the callback.
    """
    global _abort_flag  # noqa: PLW0603 - as above
    _abort_flag = flag
    address = ctypes.cast(ctypes.CDLL(None).strlen, ctypes.c_void_p).value or 0
    return llama_cpp.ggml_abort_callback(address), ctypes.cast(flag, ctypes.c_void_p)
