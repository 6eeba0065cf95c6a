"""The lines for figures that a test's code has written to standard output."""

from collections.abc import Iterable
from typing import Any, Final

import pytest

from lambda_llm.telemetry.lines import Line
from support import emf_schema
from support.servers import until

MARK: Final = "_aws"
"""What a line with metrics has."""


class Written:
    """Reads as it goes: what was read stays, whatever is written later."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    @property
    def text(self) -> str:
        """All that was written."""
        self._text += self._capsys.readouterr().out
        return self._text

    def of(self, kind: Line) -> list[dict[str, Any]]:
        """Lines of a kind, in order."""
        lines = checked(line for line in self.text.splitlines() if line.startswith("{"))
        return [line for line in lines if (line["service"], line["event"]) == (kind.service, kind.event)]

    def one(self, kind: Line) -> dict[str, Any]:
        """The only line of a kind, once it is there."""
        until(lambda: bool(self.of(kind)))
        (line,) = self.of(kind)
        return line


def checked(lines: Iterable[str]) -> list[dict[str, Any]]:
    """Lines that CloudWatch takes, as objects."""
    return [emf_schema.check(line, metrics=f'"{MARK}"' in line) for line in lines]


def metrics(line: dict[str, Any]) -> set[str]:
    """Names of the metrics that CloudWatch takes out of a line."""
    return {each["Name"] for directive in line["_aws"]["CloudWatchMetrics"] for each in directive["Metrics"]}
