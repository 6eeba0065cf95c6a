"""Log lines for CloudWatch: one JSON object each, never a prompt or an answer."""

import json
import logging
import sys


class _JSONLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"level": record.levelname, "logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure(level: int = logging.INFO) -> None:
    """Send every log line to standard error, from which Lambda collects it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JSONLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in ("botocore", "llama.cpp"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
