"""Server-sent events.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import json
from typing import Final

KEEP_ALIVE: Final = ": keep-alive\n\n"
"""A comment: clients skip it, and it resets idle timeouts on the way."""
DONE: Final = "data: [DONE]\n\n"

quoted = json.encoder.encode_basestring_ascii
"""A JSON string. Escaped to ASCII: some clients treat U+2028 and the like in an event as the end of a line."""


def event(data: str, kind: str = "") -> str:
    """One event.

    Args:
        data: JSON, on one line.
        kind: its `event` field, which OpenAI's Responses API uses and its chat completions don't.
    """
    return f"event: {kind}\ndata: {data}\n\n" if kind else f"data: {data}\n\n"
