"""Stands for a function for inference behind a batch; runs as a function of the local AWS, with Python alone.

It answers at once with what it was asked. What a request's text begins with decides what becomes of it: `refuse` is
refused with a 400, `slow` takes a while. Of the others a seeded share is throttled, fails or kills the function, each
the first time that it is asked.
"""

import json
import os
import random
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ["BATCH_FOLDER"])
SEED = os.environ["BATCH_SEED"]
MOODS = float(os.environ["BATCH_MOODS"])
SECONDS = float(os.environ["BATCH_SECONDS"])
SLOW_SECONDS = 0.1


def handle(event: dict[str, Any], _: Any) -> dict[str, Any]:
    """Answer a request of a Function URL."""
    request = json.loads(event["body"])
    text = request["messages"][0]["content"]
    with (FOLDER / "asked").open("a", encoding="utf-8") as asked:
        asked.write(f"{text}\n")
    if text.startswith("refuse"):
        return _response(400, {"error": {"code": "content_policy", "message": "It is refused."}})
    draw = random.Random(f"{SEED} {text}").random()  # noqa: S311 - a schedule
    if draw < MOODS and _first(text):
        if draw < MOODS * 0.5:
            return _response(429, {"error": {"code": "rate_limit_exceeded", "message": "There is no room."}})
        if draw < MOODS * 0.75:
            return _response(500, {"error": {"code": "internal_error", "message": "It failed."}})
        if draw < MOODS * 0.9:
            raise ValueError("as drawn")
        os._exit(1)
    time.sleep(SLOW_SECONDS if text.startswith("slow") else SECONDS)
    message = {"role": "assistant", "content": f"You said {text}"}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return _response(200, {"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage})


def _response(status: int, body: dict[str, Any]) -> dict[str, Any]:
    return {"statusCode": status, "headers": {}, "body": json.dumps(body), "isBase64Encoded": False}


def _first(text: str) -> bool:
    """Whether no process was asked this before."""
    with suppress(FileExistsError):
        (FOLDER / f"seen-{text.replace(' ', '-')}").touch(exist_ok=False)
        return True
    return False
