"""Ending an evaluation from another thread."""

import ctypes
import time


class Cancellation:
    """A flag that ends an evaluation or a generation, from any thread, between two operations of llama.cpp.

    Attributes:
        deadline: when `expire` is due, as `time.monotonic` tells it; None: never. Whoever runs the evaluation calls it.
        ended_at: when the flag was set; None: it is not set.
        expired: whether it was set because of the deadline: an answer then ends where it is, and is complete as far as
            it goes.
    """

    def __init__(self, deadline: float | None = None) -> None:
        self.flag = ctypes.create_string_buffer(2)
        self.deadline = deadline
        self.ended_at: float | None = None
        self.expired = False

    def cancel(self) -> None:
        """Set the flag; it can't be reset."""
        self.ended_at = self.ended_at or time.monotonic()
        self.flag[0] = b"\x01"

    def expire(self) -> None:
        """Set the flag, as the deadline has come."""
        self.expired = True
        self.cancel()

    @property
    def cancelled(self) -> bool:
        """Whether the flag is set."""
        return bytes(self.flag.raw) != b"\x00\x00"


class CancelledError(Exception):
    """The evaluation was ended by its `Cancellation`."""
