"""Log lines for CloudWatch: one JSON object each, `extra=` as fields; prompts and responses are never logged.

A line has what Lambda's filter by level reads, `timestamp` and `level`, and the fields of the request that it is about.

Source: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
"""

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Final

from lambda_llm.telemetry.context import correlation

LEVEL: Final = "AWS_LAMBDA_LOG_LEVEL"
"""Lambda sets this to the function's application level."""

_LEVELS: Final = {
    "TRACE": logging.DEBUG,
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARN": logging.WARNING,
    "ERROR": logging.ERROR,
    "FATAL": logging.CRITICAL,
}
"""As Lambda names them."""

_NOT_EXTRA: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class _JSONLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "timestamp": stamp(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **correlation(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _NOT_EXTRA}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def stamp(seconds: float) -> str:
    """A time as RFC 3339 has it, in UTC and milliseconds.

    Args:
        seconds: since 1970.
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def handler() -> logging.Handler:
    """A handler that writes every log line to standard error as one JSON object."""
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(_JSONLines())
    return lines


def configure(level: int | None = None) -> None:
    """Send every log line to standard error, from which Lambda collects it.

    Args:
        level: of the lines that are written; None: the function's, as Lambda tells it, or INFO.
    """
    if level is None:
        level = _LEVELS.get(os.environ.get(LEVEL, "").upper(), logging.INFO)
    logging.basicConfig(level=level, handlers=[handler()], force=True)
    for chatty in ("botocore", "httpx2", "llama.cpp"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
