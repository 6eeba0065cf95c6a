"""How an evaluation is ended from another thread."""

import ctypes


class Cancellation:
    """Ends one evaluation or generation, from any thread, between two operations of llama.cpp."""

    def __init__(self) -> None:
        self.flag = ctypes.create_string_buffer(2)

    def cancel(self) -> None:
        """Ask to stop; there is no way back."""
        self.flag[0] = b"\x01"

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return bytes(self.flag.raw) != b"\x00\x00"


class CancelledError(Exception):
    """The evaluation was ended by its `Cancellation`."""
