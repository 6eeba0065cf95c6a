"""How much time Lambda says that an invocation has."""

import json
import time
from types import SimpleNamespace
from typing import Any


def ends_in(seconds: float) -> str:
    """What the web adapter tells of an invocation that times out in so many seconds."""
    return json.dumps({"request_id": "r", "deadline": round((time.time() + seconds) * 1000), "env_config": {}})


def buffered(seconds: float) -> Any:
    """Lambda's context, as the buffered door has it."""
    return SimpleNamespace(get_remaining_time_in_millis=lambda: seconds * 1000)
