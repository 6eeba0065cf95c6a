"""Arrivals from a CSV file: a line for each request, or a line with the number of requests in each period."""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from lambda_llm.simulator.arrivals import CHUNK
from lambda_llm.simulator.errors import SimulatorError

Floats = NDArray[np.float64]

_MILLISECONDS: Final = 1e11
"""Numbers from here on are milliseconds since 1970: as seconds it is the year 5138."""

_COLUMNS: Final = 2


@dataclass(frozen=True)
class Trace:
    """A file of arrivals, read piece by piece.

    Its columns are `timestamp`, or `timestamp,count` as CloudWatch's sum of Invocations has them. Timestamps are ISO
    8601, UTC unless they say otherwise, or seconds or milliseconds since 1970, ascending. Requests that are counted are
    spread evenly at random over their period, which is the shortest time between two lines; a period without a line has
    no requests.

    Attributes:
        path: of the file.
        seconds: from the first request to the end.
        expected: number of requests.
        counted: it has counts.
        origin: first timestamp, in seconds since 1970.
        period: seconds that a count is of; 0 without counts.
    """

    path: Path
    seconds: float
    expected: float
    counted: bool
    origin: float
    period: float

    @classmethod
    def read(cls, path: Path, seconds: float = math.inf) -> Self:
        """Look through the whole file.

        Args:
            path: of the file.
            seconds: simulate so much from its beginning, if it is longer.

        Raises:
            SimulatorError: it can't be read, or a line is wrong, whose number the sentence has.
        """
        lines = 0
        total, origin, previous, period, gap = 0.0, 0.0, 0.0, math.inf, math.inf
        counted = False
        for number, time, count in _rows(path):
            if lines == 0:
                origin, counted = time, count is not None
            elif time < previous:
                raise SimulatorError(
                    f"Line {number} of {path} is earlier than the one before it: sort the file by time."
                )
            elif (count is not None) is not counted:
                raise SimulatorError(f"Line {number} of {path} has not as many columns as the first one: one or two.")
            elif count is not None and time == previous:
                raise SimulatorError(f"Line {number} of {path} has the time of the one before it: join the two counts.")
            if lines and time > previous:
                period = min(period, time - previous)
            if time - origin >= seconds:
                break
            lines += 1
            total += 1 if count is None else count
            previous = time
        if total == 0:
            raise SimulatorError(
                f"{path} has no requests: give a CSV file with the columns timestamp, or timestamp,count."
            )
        if counted and math.isinf(period):
            raise SimulatorError(f"{path} has one line, which does not tell how long its period is: give two or more.")
        gap = period if counted else max((previous - origin) / max(lines - 1, 1), 1e-3)
        return cls(path, min(previous - origin + gap, seconds), total, counted, origin, period if counted else 0.0)

    def times(self, rng: np.random.Generator) -> Iterator[Floats]:
        """See `Arrivals`."""
        pieces: list[Floats] = []
        waiting = 0
        for piece in self._pieces(rng):
            pieces.append(piece)
            waiting += piece.size
            if waiting >= CHUNK:
                yield from _below(np.concatenate(pieces), self.seconds)
                pieces, waiting = [], 0
        if waiting:
            yield from _below(np.concatenate(pieces), self.seconds)

    def _pieces(self, rng: np.random.Generator) -> Iterator[Floats]:
        single: list[float] = []
        for _, time, count in _rows(self.path):
            start = time - self.origin
            if start >= self.seconds:
                break
            if count is None:
                single.append(start)
                if len(single) == CHUNK:
                    yield np.array(single)
                    single = []
                continue
            parts = -(-count // CHUNK)
            for part in range(parts):
                number = count // parts + (part < count % parts)
                places = np.sort(rng.random(number))
                yield start + (part + places) * (self.period / parts)
        yield np.array(single)


def _below(times: Floats, seconds: float) -> Iterator[Floats]:
    inside = times[times < seconds]
    if inside.size:
        yield inside


def _rows(path: Path) -> Iterator[tuple[int, float, int | None]]:
    """Number of the line, time in seconds since 1970, and count, of each."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            for row in reader:
                number = reader.line_num
                if not row:
                    continue
                time = _time(row[0].strip())
                if time is None:
                    if number == 1:
                        continue  # the columns' names
                    raise SimulatorError(
                        f"Line {number} of {path} begins with {row[0][:40]!r}, which is no time: expected ISO 8601, or "
                        "seconds since 1970."
                    )
                yield number, time, _count(row, number, path)
    except OSError as error:
        raise SimulatorError(f"{path} can't be read ({error.strerror}): give a CSV file of timestamps.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise SimulatorError(f"{path} is no CSV file in UTF-8: export the timestamps as text.") from error


def _time(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        try:
            parsed = datetime.fromisoformat(text.replace("/", "-"))
        except ValueError:
            return None
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    if not math.isfinite(value) or value < 0:
        return None
    return value / 1000 if value >= _MILLISECONDS else value


def _count(row: list[str], number: int, path: Path) -> int | None:
    if len(row) == 1:
        return None
    if len(row) > _COLUMNS:
        raise SimulatorError(f"Line {number} of {path} has {len(row)} columns: expected timestamp, or timestamp,count.")
    try:
        value = float(row[1])
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0 or value != int(value):
        raise SimulatorError(f"Line {number} of {path} counts {row[1][:40]!r} requests: expected a whole number.")
    return int(value)
