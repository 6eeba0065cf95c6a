"""Work of somebody else's, which the caller waits for only so long."""

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, work: Callable[[], T]) -> T | None:
    """What `work` gives, or None once the time is up: whatever it does, the caller goes on.

    It goes on too, on a thread that does not keep the process.

    Args:
        seconds: longest time to wait.
        work: to be done; whatever it raises is raised here.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def worker() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again where it belongs
            errors.append(error)

    thread = threading.Thread(target=worker, name="tool", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    return results[0] if results else None
