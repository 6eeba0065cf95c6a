"""The function's log: Lambda's report of an invocation."""

import json
import re
import time
from typing import Any, Final, NamedTuple

from lambda_llm.cli.probes.deployment import Deployment, UnknowableError

DELIVERY_SECONDS: Final = 20.0
"""A line comes into the log some seconds after it was written; an invocation begins with one."""
WAIT_SECONDS: Final = 120.0
"""For the end of an invocation that has begun."""
RECENT_SECONDS: Final = 900.0
"""How old the invocation is at most, and by how much the clocks may differ: AWS takes no signature that is older."""
POLL_SECONDS: Final = 2.0

_DURATION: Final = re.compile(r"\bDuration: ([\d.]+) ms")
_RESTORE: Final = re.compile(r"\bRestore Duration: ([\d.]+) ms")


class Report(NamedTuple):
    """What Lambda says of an invocation.

    Attributes:
        seconds: that it took, without the restore.
        restore_seconds: that the environment took to be restored for it; None: it was there.
        timed_out: whether Lambda ended it.
    """

    seconds: float
    restore_seconds: float | None
    timed_out: bool


def lines(deployment: Deployment, pattern: str, since: float) -> list[str]:
    """The log's lines with a text.

    Args:
        deployment: whose log.
        pattern: the text.
        since: Unix time in seconds.

    Raises:
        UnknowableError: it can't be read.
    """
    configuration = deployment.configuration
    group = configuration.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{configuration['FunctionName']}"
    wanted = {"logGroupName": group, "filterPattern": f'"{pattern}"', "startTime": int(since * 1000)}
    found: list[str] = []
    page: dict[str, Any] = {"nextToken": ""}
    while "nextToken" in page:  # pages may be empty, and there are more of them
        page = deployment.aws.call(
            "logs", "FilterLogEvents", **wanted, **({"nextToken": page["nextToken"]} if page["nextToken"] else {})
        )
        found += [event["message"] for event in page["events"] if pattern in event["message"]]
    return found


def report(deployment: Deployment, request_id: str) -> Report:
    """Wait for the report of an invocation.

    Args:
        deployment: whose log.
        request_id: Lambda's, of the response's header.

    Raises:
        UnknowableError: it did not come, or the log can't be read.
    """
    if not request_id:
        raise UnknowableError("The response had no x-amzn-requestid, by which the log's line would be found.")
    began = time.monotonic()
    while True:
        found = lines(deployment, request_id, time.time() - RECENT_SECONDS)
        if parsed := next(filter(None, map(parse, found)), None):
            return parsed
        limit = WAIT_SECONDS if found else DELIVERY_SECONDS
        if time.monotonic() - began > limit:
            raise UnknowableError(f"Lambda's report of the invocation was not in the log within {limit:g} s.")
        time.sleep(POLL_SECONDS)


def parse(line: str) -> Report | None:
    """A line's report, as text or as JSON; None: it has none.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html and
    https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
    """
    if line.startswith("REPORT "):
        duration, restore = _DURATION.search(line), _RESTORE.search(line)
        if duration is None:
            return None
        return Report(
            float(duration[1]) / 1000, float(restore[1]) / 1000 if restore else None, "Status: timeout" in line
        )
    try:
        said: Any = json.loads(line)
    except ValueError:
        return None
    if not isinstance(said, dict) or said.get("type") != "platform.report":
        return None
    metrics = said["record"]["metrics"]
    restore_ms = metrics.get("restoreDurationMs")
    return Report(
        metrics["durationMs"] / 1000,
        restore_ms / 1000 if restore_ms is not None else None,
        said["record"].get("status") == "timeout",
    )
