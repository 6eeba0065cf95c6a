"""JSON of what the state keeps, with a limit: nothing larger ever reaches the durable SDK.

The service refuses a step above 262,144 bytes and fails the execution, and the SDK can hang on one above 750 KB. Values
are bounded where they are made (`results.bounded`); this is the net below.
"""

import json
from typing import Any, Final

from lambda_llm.agent.errors import TooLargeError

LIMIT: Final = 64 * 1024
"""Most bytes of one value: far below the service's limit, and above what `results.bounded` lets through."""


def dump(value: Any, most: int = LIMIT) -> str:
    """Compact JSON of a value.

    Args:
        value: plain JSON.
        most: limit in bytes.

    Raises:
        TooLargeError: it has more bytes, or is no JSON.
    """
    try:
        text = json.dumps(value, separators=(",", ":"), allow_nan=False)  # ASCII: characters are bytes
    except (TypeError, ValueError, RecursionError) as error:
        raise TooLargeError(f"A value of the state is no JSON ({type(error).__name__}): return plain JSON.") from None
    if len(text) > most:
        raise TooLargeError(
            f"A value of the state has {len(text):,} bytes, and at most {most:,} are kept: return a reference instead."
        )
    return text


def load(text: str) -> Any:
    """The value of `dump`'s text."""
    return json.loads(text)
