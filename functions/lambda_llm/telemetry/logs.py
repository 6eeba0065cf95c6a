"""Log lines for CloudWatch: one JSON object each, `extra=` as fields; prompts and responses are never logged."""

import json
import logging
import sys
from typing import Final

_NOT_EXTRA: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class _JSONLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"level": record.levelname, "logger": record.name, "message": record.getMessage()}
        line |= {name: value for name, value in vars(record).items() if name not in _NOT_EXTRA}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def handler() -> logging.Handler:
    """A handler that writes every log line to standard error as one JSON object."""
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(_JSONLines())
    return lines


def configure(level: int = logging.INFO) -> None:
    """Send every log line to standard error, from which Lambda collects it."""
    logging.basicConfig(level=level, handlers=[handler()], force=True)
    for chatty in ("botocore", "llama.cpp"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
