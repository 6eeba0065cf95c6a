"""The command line in this process, as tests see it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Result:
    """What a command left: its exit status, and what it wrote."""

    status: int
    out: str
    err: str


Run = Callable[..., Result]
"""Takes a command's arguments."""
