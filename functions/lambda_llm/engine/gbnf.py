"""Expressions in GBNF, llama.cpp's grammar language: literals, and numbers between bounds.

Source: https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

DIGITS: Final = 15
"""Digits of a number, before and after the decimal point: the precision of a double."""


def literal(text: str) -> str:
    """A text as a quoted GBNF literal."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


class _Bound(NamedTuple):
    value: int
    excluded: bool


def numbers(bounds: Mapping[str, int], *, fractions: bool) -> list[str]:
    """Alternatives that match the numbers between bounds; an empty list when there is no such number.

    Args:
        bounds: JSON Schema's `minimum`, `maximum`, `exclusiveMinimum`, `exclusiveMaximum`, any of them.
        fractions: also match numbers with a fraction; the grammar must then define the rule `fraction`.
    """
    low = max((_bound(name, bounds, 1) for name in ("minimum", "exclusiveMinimum") if name in bounds), default=None)
    # Upper bounds are negated, so that the stricter of two is the larger one here, too.
    high = max((_bound(name, bounds, -1) for name in ("maximum", "exclusiveMaximum") if name in bounds), default=None)
    if not fractions:
        low, high = _included(low), _included(high)
    zero = _Bound(0, excluded=False)
    # Negative numbers exclude zero: "-0" would be valid, but odd.
    behind_zero = _Bound(0, excluded=True) if fractions else _Bound(1, excluded=False)
    choices = _magnitudes(max(low, zero) if low else zero, _opposite(high), fractions=fractions)
    below_zero = _magnitudes(max(high, behind_zero) if high else behind_zero, _opposite(low), fractions=fractions)
    return choices + [f'"-" ({choice})' for choice in below_zero]


def _bound(name: str, bounds: Mapping[str, int], sign: int) -> _Bound:
    return _Bound(sign * bounds[name], name.startswith("exclusive"))


def _included(bound: _Bound | None) -> _Bound | None:
    return bound and _Bound(bound.value + bound.excluded, excluded=False)


def _opposite(bound: _Bound | None) -> _Bound | None:
    return bound and _Bound(-bound.value, bound.excluded)


def _magnitudes(low: _Bound, high: _Bound | None, *, fractions: bool) -> list[str]:
    """Alternatives for the unsigned numbers between two bounds."""
    if high and (low.value > high.value or (low.value == high.value and (low.excluded or high.excluded))):
        return []
    if not fractions:
        return _whole(low.value, high and high.value)
    choices = []
    if not high or low.value < high.value:
        more = f'"." [0-9]{{0,{DIGITS - 1}}} [1-9]' if low.excluded else "fraction?"
        choices.append(f"{literal(str(low.value))} {more}")
    if not high or low.value + 1 < high.value:
        between = " | ".join(_whole(low.value + 1, high and high.value - 1))
        choices.append(f"({between}) fraction?")
    if high and not high.excluded:
        choices.append(f'{literal(str(high.value))} ("." "0"{{1,{DIGITS}}})?')
    return choices


def _whole(low: int, high: int | None) -> list[str]:
    """Alternatives for the unsigned integers from `low` to `high`; None: no upper bound."""
    size = len(str(low))
    if high is None:
        return [*_whole(low, 10**size - 1), f"[1-9] [0-9]{{{size},{DIGITS}}}"]
    return [
        _same_length(str(max(low, 10 ** (length - 1) if length > 1 else 0)), str(min(high, 10**length - 1)))
        for length in range(size, len(str(high)) + 1)
    ]


def _same_length(low: str, high: str) -> str:
    """An expression for the integers between two with the same number of digits, digit by digit."""
    rest = len(low) - 1
    if low == high:
        return literal(low)
    if low[1:] == "0" * rest and high[1:] == "9" * rest:
        return f"[{low[0]}-{high[0]}]" + (f" [0-9]{{{rest}}}" if rest else "")
    if low[0] == high[0]:
        return f"{literal(low[0])} ({_same_length(low[1:], high[1:])})"
    choices = [f"{literal(low[0])} ({_same_length(low[1:], '9' * rest)})"]
    if int(low[0]) + 1 < int(high[0]):
        choices.append(f"[{int(low[0]) + 1}-{int(high[0]) - 1}] [0-9]{{{rest}}}")
    choices.append(f"{literal(high[0])} ({_same_length('0' * rest, high[1:])})")
    return " | ".join(choices)
