"""Where the lines come from: files, or log groups in CloudWatch."""

import gzip
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from lambda_llm.telemetry.lines import LINES
from lambda_llm.usage.errors import UsageError

EVENTS: Final = frozenset((line.service, line.event) for line in LINES)


WANTED: Final = '{ $.event = "*" && $.service = "*" && $.plane = "*" }'
"""The pattern of our lines: what is no JSON, or says nothing of these, is left out."""


def from_file(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a file of logs, whatever else is in it; one that ends with `.gz` is unpacked, `-` is standard input.

    A file may also be the answer of `aws logs filter-log-events`: the messages of its events are read.

    Raises:
        UsageError: the file can't be read.
    """
    try:
        if path == Path("-"):
            yield from of_text(sys.stdin)
            return
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
            first = file.readline()
            if first.strip() == "{":
                yield from of_text(_messages(first + file.read(), path))
                return
            yield from of_text([first])
            yield from of_text(file)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} can't be read ({error}): give a file of log lines, or - for standard input."
        ) from error


def of_text(lines: Any) -> Iterator[dict[str, Any]]:
    """Those of some lines of text that are ours."""
    for text in lines:
        at = text.find("{")  # what a tool has written before it: a time, a stream's name
        if at < 0:
            continue
        try:
            line = json.loads(text[at:])
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict) and (line.get("service"), line.get("event")) in EVENTS:
            yield line


def from_group(
    logs: Any, group: str, since: float, until: float, page: Callable[[], object] = lambda: None
) -> Iterator[dict[str, Any]]:
    """The lines of a log group in CloudWatch.

    Args:
        logs: boto's client of CloudWatch Logs.
        group: its name.
        since: seconds since 1970.
        until: the same; not included.
        page: called after each page.

    Raises:
        UsageError: they can't be read.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - see cli.app

    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=group, startTime=int(since * 1000), endTime=int(until * 1000) - 1, filterPattern=WANTED
    )
    try:
        for found in pages:
            yield from of_text(event["message"] for event in found["events"])
            page()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "ResourceNotFoundException":
            raise UsageError(
                f"There is no log group {group!r} in this region: a function's is /aws/lambda/NAME; see --region."
            ) from error
        raise UsageError(
            f"The log group {group} can't be read ({code}): logs:FilterLogEvents on it is needed."
        ) from error
    except BotoCoreError as error:
        raise UsageError(f"The log group {group} can't be read: {error}") from error


def _messages(text: str, path: Path) -> Iterator[str]:
    try:
        events = json.loads(text)["events"]
        yield from (str(event["message"]) for event in events)
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is neither log lines nor what `aws logs filter-log-events` prints: give one of both."
        ) from error
