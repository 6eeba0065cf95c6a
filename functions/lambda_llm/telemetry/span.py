"""What a span is to those that write it: its kind, its values, and what can be said while it lasts."""

from collections.abc import Sequence
from typing import Literal, Protocol

Kind = Literal["internal", "server", "client"]
"""Of a span: it answers a request of another process, makes one, or neither."""

Value = str | bool | int | float | Sequence[str] | None
"""Of an attribute; None: it is not known, and left out."""


class Span(Protocol):
    """A span that is not over."""

    def set(self, name: str, value: Value) -> None:
        """Set an attribute."""

    def fail(self, error_type: str) -> None:
        """Say that it failed.

        Args:
            error_type: kind of the error, with few values; never its message.
        """
