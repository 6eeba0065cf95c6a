"""From lines to units, and from units to parts: a part is a range of the input that one worker answers."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final

from pydantic import BaseModel, ConfigDict

UNITS: Final = 8_000
"""That an input is cut into, about, before it is known who answers: the parts are made of whole ones."""


class Part(BaseModel):
    """A range of the input.

    Attributes:
        part: its number, from 0.
        first: number of its first byte.
        last: of its last one.
        record: number of its first record, from 0; blank lines are none.
        records: in it.
        input_tokens: of their prompts, rather too many.
        output_tokens: of their answers, at most.
        dollars: that they may cost together; None: no limit.
    """

    model_config = ConfigDict(frozen=True)

    part: int
    first: int
    last: int
    record: int
    records: int
    input_tokens: int = 0
    output_tokens: int = 0
    dollars: float | None = None


def records_of_unit(size: int, line_bytes: float) -> int:
    """How many records a unit should have.

    Args:
        size: of the input in bytes.
        line_bytes: of a line, on average, as far as it is known.
    """
    return max(1, math.ceil(size / max(1.0, line_bytes) / UNITS))


def merged(units: Iterable[Part], records: int, count: int, dollars: Callable[[Part], float | None]) -> Iterator[Part]:
    """Parts of about the same number of records.

    Args:
        units: in order.
        records: in all of them.
        count: how many parts there should be.
        dollars: that a part may cost; None: no limit.
    """
    number, wanted = 0, records / count
    held: list[Part] = []
    for unit in units:
        held.append(unit)
        if unit.record + unit.records >= round(wanted * (number + 1)):
            yield _joined(number, held, dollars)
            number, held = number + 1, []
    if held:
        yield _joined(number, held, dollars)


def fitting(
    units: Collection[Part],
    records: int,
    count: int,
    dollars: Callable[[Part], float | None],
    fits: Callable[[Part], bool],
) -> list[Part]:
    """The same, of which each fits; a unit that does not fit is a part that does not fit.

    Args:
        units: in order.
        records: in all of them.
        count: how many parts there should be; there are more, until all of them fit.
        dollars: as above.
        fits: whether a part can be answered as one.
    """
    while True:
        parts = list(merged(units, records, count, dollars))
        if count >= len(units) or all(map(fits, parts)):
            return parts
        count += max(1, count // 8)


def _joined(number: int, units: list[Part], dollars: Callable[[Part], float | None]) -> Part:
    part = Part(
        part=number,
        first=units[0].first,
        last=units[-1].last,
        record=units[0].record,
        records=sum(unit.records for unit in units),
        input_tokens=sum(unit.input_tokens for unit in units),
        output_tokens=sum(unit.output_tokens for unit in units),
    )
    return part.model_copy(update={"dollars": dollars(part)})
