"""Which of llama.cpp's CPU backends runs here: one for all, or the best of those that a package carries."""

import ctypes
import os
import re
from pathlib import Path
from typing import Final

import llama_cpp

from lambda_llm.engine.errors import EngineError

BUILT_IN: Final = "built in"
_MAPS: Final = Path("/proc/self/maps")
_VARIANT: Final = re.compile(r"libggml-cpu-([\w.]+?)\.(?:so|dylib)")


def library_folder() -> Path:
    """Where llama.cpp's libraries lie: beside the bindings, or where LLAMA_CPP_LIB_PATH says."""
    return Path(os.environ.get("LLAMA_CPP_LIB_PATH") or Path(llama_cpp.__file__).with_name("lib"))


def version() -> str:
    """Of llama.cpp, as far as it is told: its bindings carry its source along and are released with it."""
    return llama_cpp.__version__


def load() -> None:
    """Load the backend that suits this CPU best, where the libraries hold one for each generation.

    llama.cpp asks each variant how well it suits the CPU and keeps the best; a variant whose instructions are
    missing rates itself unusable. Must run before the first model is opened.

    Raises:
        EngineError: there are variants and none of them can run here.
    """
    folder = library_folder()
    if not any(_VARIANT.fullmatch(file.name) for file in folder.iterdir()):
        return
    suffix = next(file.suffix for file in folder.iterdir() if file.stem == "libggml")
    ggml = ctypes.CDLL(str(folder / f"libggml{suffix}"))
    ggml.ggml_backend_load_all_from_path.argtypes = [ctypes.c_char_p]
    ggml.ggml_backend_load_all_from_path.restype = None
    ggml.ggml_backend_dev_count.restype = ctypes.c_size_t
    ggml.ggml_backend_load_all_from_path(str(folder).encode())
    if ggml.ggml_backend_dev_count() == 0:
        raise EngineError(
            f"None of llama.cpp's CPU backends in {folder} runs on this CPU: it is too old for this package."
        )


def variant(maps: Path = _MAPS) -> str:
    """Name of the loaded variant, for example `armv8.2_2`, or `built in` where there is only one.

    Args:
        maps: the process's mapped files; only Linux has them.
    """
    try:
        loaded = _VARIANT.search(maps.read_text())
    except OSError:
        return BUILT_IN
    return loaded[1] if loaded else BUILT_IN
