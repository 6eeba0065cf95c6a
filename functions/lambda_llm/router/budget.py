"""What a tenant may spend: amounts, windows of time, limits, and the amount that a request takes at most."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final

from lambda_llm.errors import LambdaLLMError

MICRO: Final = 1_000_000
"""Micro-dollars of a dollar. A token at one dollar per million is one micro-dollar."""


class Window(StrEnum):
    """A period in UTC, at whose end a budget begins anew."""

    MINUTE = "minute"
    DAY = "day"
    MONTH = "month"

    def key(self, now: float) -> str:
        """Name of the period that a time (seconds since 1970) is in: `2026-11-27T06:34`, `2026-11-27`, `2026-11`."""
        return _start(self, now).strftime(_FORMATS[self])

    def end(self, now: float) -> int:
        """When the period of a time ends, both in seconds since 1970; the end is the next period's."""
        start = _start(self, now)
        if self is Window.MONTH:
            # The 28th and four days is in the next month, whatever the month.
            return int((start.replace(day=28) + timedelta(days=4)).replace(day=1).timestamp())
        return int((start + (timedelta(minutes=1) if self is Window.MINUTE else timedelta(days=1))).timestamp())

    def seconds_left(self, now: float) -> int:
        """Whole seconds after which the period of a time (seconds since 1970) has ended, at least one."""
        return max(1, math.ceil(self.end(now) - now))


_FORMATS: Final = {Window.MINUTE: "%Y-%m-%dT%H:%M", Window.DAY: "%Y-%m-%d", Window.MONTH: "%Y-%m"}


class What(StrEnum):
    """What is limited."""

    TOKENS = "tokens"
    DOLLARS = "dollars"


class BudgetError(LambdaLLMError):
    """A request would take more than a budget has left; nothing was reserved.

    Attributes:
        window: whose budget it is; of several, the one that lasts longest.
        what: what is used up.
        retry_after: seconds until the budget begins anew; None: the request is larger than the whole budget.
    """

    def __init__(self, sentence: str, window: Window, what: What, retry_after: int | None) -> None:
        super().__init__(sentence)
        self.window = window
        self.what = what
        self.retry_after = retry_after


@dataclass(frozen=True)
class Amount:
    """Tokens, and what they cost.

    Attributes:
        tokens: of prompts and answers together.
        micro_dollars: millionths of a US dollar.
    """

    tokens: int = 0
    micro_dollars: int = 0

    def __post_init__(self) -> None:
        """Refuse what can't have been spent.

        Raises:
            ValueError: one of the two is negative.
        """
        if self.tokens < 0 or self.micro_dollars < 0:
            raise ValueError(f"{self} is negative")

    def __add__(self, other: "Amount") -> "Amount":
        """Both together."""
        return Amount(self.tokens + other.tokens, self.micro_dollars + other.micro_dollars)

    def of(self, what: What) -> int:
        """Tokens, or micro-dollars."""
        return self.tokens if what is What.TOKENS else self.micro_dollars


@dataclass(frozen=True)
class Limit:
    """The most of one window; None: unlimited.

    Attributes:
        tokens: as in `Amount`.
        micro_dollars: as in `Amount`.
    """

    tokens: int | None = None
    micro_dollars: int | None = None

    def of(self, what: What) -> int | None:
        """Tokens, or micro-dollars."""
        return self.tokens if what is What.TOKENS else self.micro_dollars

    def left(self, used: Amount) -> "Limit":
        """What is left of it, never less than nothing."""
        tokens, money = (
            None if (most := self.of(what)) is None else max(0, most - used.of(what))
            for what in (What.TOKENS, What.DOLLARS)
        )
        return Limit(tokens, money)


@dataclass(frozen=True)
class Limits:
    """A tenant's budgets; all that are given hold at once.

    Attributes:
        minute: for each minute.
        day: for each day.
        month: for each calendar month.
    """

    minute: Limit = Limit()
    day: Limit = Limit()
    month: Limit = Limit()

    def of(self, window: Window) -> Limit:
        """The budget of a window."""
        return {Window.MINUTE: self.minute, Window.DAY: self.day, Window.MONTH: self.month}[window]


def micro_dollars(dollars: Decimal | float) -> int:
    """Millionths of a dollar, rounded up: a cost is never charged at less than it is."""
    # By its digits: 0.1 as a float is slightly more than a tenth.
    return math.ceil(Fraction(str(dollars)) * MICRO)


def dollars(micro: int) -> str:
    """Micro-dollars for people: `$1.50`, with as many digits as it takes, at least two."""
    whole, rest = divmod(micro, MICRO)
    digits = f"{rest:06}".rstrip("0").ljust(2, "0")
    return f"${whole:,}.{digits}"


def counted(what: What, number: int) -> str:
    """Tokens or micro-dollars for people: `1,200 tokens`, `$1.50`."""
    return f"{number:,} tokens" if what is What.TOKENS else dollars(number)


def refusal(wanted: Amount, used: Mapping[Window, Amount], limits: Limits, now: float) -> BudgetError | None:
    """Why an amount does not fit into limits, by the window that lasts longest; None: it fits.

    Args:
        wanted: by a request.
        used: spent or reserved so far, of every window.
        limits: that hold.
        now: seconds since 1970.
    """
    found: list[BudgetError] = []
    for window in Window:
        for what in What:
            most, asked = limits.of(window).of(what), wanted.of(what)
            if most is not None and used[window].of(what) + asked > most:
                found.append(_refused(window, what, asked, most, most - used[window].of(what), now))
    # What never fits is told before what fits later.
    return max(found, key=lambda each: math.inf if each.retry_after is None else each.retry_after, default=None)


def _refused(window: Window, what: What, asked: int, most: int, left: int, now: float) -> BudgetError:
    budget = f"budget of {counted(what, most)} a {window}"
    if asked > most:
        sentence = (
            f"The request may take {counted(what, asked)}, more than the tenant's whole {budget}: ask for a shorter "
            "answer, or have the budget raised."
        )
        return BudgetError(sentence, window, what, None)
    wait = window.seconds_left(now)
    sentence = (
        f"The tenant's {budget} has {counted(what, max(0, left))} left, and the request may take "
        f"{counted(what, asked)}: send it again in {wait:,} s, or ask for a shorter answer."
    )
    return BudgetError(sentence, window, what, wait)


def _start(window: Window, now: float) -> datetime:
    moment = datetime.fromtimestamp(now, UTC).replace(second=0, microsecond=0)
    if window is Window.MINUTE:
        return moment
    day = moment.replace(hour=0, minute=0)
    return day if window is Window.DAY else day.replace(day=1)
