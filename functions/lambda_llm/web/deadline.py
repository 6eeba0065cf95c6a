"""How much time a request has: Lambda ends the environment at the function's time-out, with all that it holds."""

import json
import time
from typing import Any, Final

from starlette.requests import Request

LAMBDA_CONTEXT: Final = "x-amzn-lambda-context"
"""Header in which the web adapter gives Lambda's context of an invocation, as JSON.
Source: https://github.com/aws/aws-lambda-web-adapter"""

END_SECONDS: Final = 1.0
"""From the end of an answer to the end of its invocation: the last events, and their way."""


def deadline_of(request: Request, seconds: float, margin: float = END_SECONDS) -> float:
    """When a request must have been answered, as `time.monotonic` tells it.

    Args:
        request: behind a front door of Lambda it knows when its invocation times out.
        seconds: that any request may take.
        margin: that is kept for the end of an invocation, in seconds; of a short one at most half of its time.
    """
    left = _seconds_left(request)
    if left is None:
        return time.monotonic() + seconds
    return time.monotonic() + min(seconds, left - min(margin, left / 2))


def _seconds_left(request: Request) -> float | None:
    """Until the invocation times out; None outside Lambda."""
    context: Any = request.scope.get("aws.context")
    if context is not None:
        return max(0.0, float(context.get_remaining_time_in_millis()) / 1000)
    try:
        milliseconds = float(json.loads(request.headers[LAMBDA_CONTEXT])["deadline"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return max(0.0, milliseconds / 1000 - time.time())
