"""Functions that numba compiles."""

import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from lambda_llm.simulator.errors import SimulatorError

try:
    import numba
except ModuleNotFoundError as error:
    raise SimulatorError(
        f"The simulator needs {error.name}, which comes with the extra `cost`: pip install 'lambda-llm[cost]'."
    ) from error

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function at its first call, and keep what was compiled beside Python's own bytecode.

    The compiler takes seconds, so its result is kept in `__pycache__` where and when Python keeps bytecode there: not
    with `PYTHONDONTWRITEBYTECODE`. Where the package can't be written, numba takes its folder below the user's cache,
    or `NUMBA_CACHE_DIR`; where nothing can be written, it compiles each time. A kept result is thrown away when the
    function's own file changes, and no other one: a compiled function must not call those of another file.

    Source: https://numba.readthedocs.io/en/stable/developer/caching.html
    """
    try:
        return cast("Callable[P, R]", numba.njit(cache=not sys.dont_write_bytecode)(function))
    except RuntimeError:  # nowhere to keep it
        return cast("Callable[P, R]", numba.njit(function))
