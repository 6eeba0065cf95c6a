"""Server-sent events.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import json
from typing import Final

KEEP_ALIVE: Final = ": keep-alive\n\n"
"""A comment, which clients skip; but whoever waits for bytes sees some."""
DONE: Final = "data: [DONE]\n\n"

quoted = json.encoder.encode_basestring_ascii
"""A text in JSON. Escaped to ASCII: some clients take U+2028 and its like in an event for the end of a line."""


def event(data: str, kind: str = "") -> str:
    """One event.

    Args:
        data: JSON, on one line.
        kind: its `event` field, which OpenAI's chat has not and its responses have.
    """
    return f"event: {kind}\ndata: {data}\n\n" if kind else f"data: {data}\n\n"
