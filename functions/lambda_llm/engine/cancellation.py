"""Ending an evaluation from another thread."""

import ctypes


class Cancellation:
    """A flag that ends an evaluation or a generation, from any thread, between two operations of llama.cpp."""

    def __init__(self) -> None:
        self.flag = ctypes.create_string_buffer(2)

    def cancel(self) -> None:
        """Set the flag; it can't be reset."""
        self.flag[0] = b"\x01"

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return bytes(self.flag.raw) != b"\x00\x00"


class CancelledError(Exception):
    """The evaluation was ended by its `Cancellation`."""
