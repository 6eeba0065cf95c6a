"""Which of llama.cpp's CPU backends runs here: the only one, or the best of the variants in the package."""

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
    """The folder of llama.cpp's libraries: LLAMA_CPP_LIB_PATH, or `lib` next to the bindings."""
    return Path(os.environ.get("LLAMA_CPP_LIB_PATH") or Path(llama_cpp.__file__).with_name("lib"))


def version() -> str:
    """The bindings' version, which identifies llama.cpp's: each release of them vendors one source tree of it."""
    return llama_cpp.__version__


def load() -> None:
    """Load the best backend for this CPU, where the libraries include one variant per CPU generation.

    llama.cpp asks each variant for its score on this CPU and keeps the best; a variant that needs missing
    instructions scores 0. Must run before the first model is opened.

    Raises:
        EngineError: there are variants, and none of them runs on this CPU.
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
            f"None of llama.cpp's CPU backends in {folder} runs on this CPU: use a newer CPU, or a package built for "
            "this one."
        )


def variant(maps: Path = _MAPS) -> str:
    """Name of the loaded variant, for example `armv8.2_2`, or `built in` where there is only one.

    Args:
        maps: the process's memory map; only Linux has it.
    """
    try:
        loaded = _VARIANT.search(maps.read_text())
    except OSError:
        return BUILT_IN
    return loaded[1] if loaded else BUILT_IN
