"""The formulas of options.toml: texts that Python and the report's JavaScript both compute, and that people read."""

import ast
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, Final

from lambda_llm.cost.prices import Prices
from lambda_llm.errors import LambdaLLMError

FUNCTIONS: Final = ("awake_share", "ceil", "cold_starts", "cost", "max", "min", "price")
"""What formulas may call. `cost` takes the name of a price and a quantity a month, `price` the name alone."""

_NODES: Final = (
    *(ast.Expression, ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.UnaryOp, ast.USub),
    *(ast.Call, ast.Name, ast.Load, ast.Constant),
)
_ENOUGH: Final = 12
"""Standard deviations beyond which a Poisson distribution has nothing that matters."""


class FormulaError(LambdaLLMError):
    """A formula is not one that both languages compute alike."""


@dataclass(frozen=True)
class Formula:
    """A formula.

    Attributes:
        text: as options.toml has it: names, numbers, `+ - * /`, parentheses, and calls of `FUNCTIONS`. Written so, it
            means the same in Python and in JavaScript.
        prices: names of the prices in it.
        names: of the quantities in it.
    """

    text: str
    prices: frozenset[str] = field(init=False)
    names: frozenset[str] = field(init=False)
    _code: CodeType = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Parse the text.

        Raises:
            FormulaError: it has something else in it.
        """
        try:
            tree = ast.parse(self.text, mode="eval")
        except SyntaxError as error:
            raise FormulaError(f"The formula {self.text!r} can't be read ({error.msg}).") from error
        prices, names = set(), set()
        for node in ast.walk(tree):
            if not isinstance(node, _NODES):
                raise FormulaError(
                    f"The formula {self.text!r} has a {type(node).__name__}: expected + - * / or a call."
                )
            if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS):
                raise FormulaError(f"The formula {self.text!r} calls something else than {', '.join(FUNCTIONS)}.")
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                prices.add(node.value)
            elif isinstance(node, ast.Name) and node.id not in FUNCTIONS:
                names.add(node.id)
        object.__setattr__(self, "prices", frozenset(prices))
        object.__setattr__(self, "names", frozenset(names))
        object.__setattr__(self, "_code", compile(tree, "<formula>", "eval"))

    def value(self, quantities: Mapping[str, Any], calls: Mapping[str, Callable[..., Any]]) -> Any:
        """Compute it.

        Args:
            quantities: by name.
            calls: what `FUNCTIONS` are; see `calls`.

        Raises:
            FormulaError: a quantity has no value.
            PriceError: a price has none.
        """
        try:
            return eval(self._code, {"__builtins__": {}, **calls}, quantities)  # noqa: S307 - of the nodes above only
        except NameError as error:
            raise FormulaError(f"The formula {self.text!r} has no value for {error.name!r}.") from error
        except ZeroDivisionError as error:
            raise FormulaError(f"The formula {self.text!r} divides by zero.") from error


def calls(prices: Prices) -> dict[str, Callable[..., Any]]:
    """What formulas call, for plain numbers.

    Args:
        prices: that `cost` and `price` look up.
    """
    return {
        "awake_share": awake_share,
        "ceil": math.ceil,
        "cold_starts": cold_starts,
        "cost": lambda name, quantity: prices[name].cost(quantity),
        "max": max,
        "min": min,
        "price": lambda name: prices[name].first,
    }


def cold_starts(rate: float, seconds: float, keep_warm: float) -> float:
    """Requests that find no warm environment, in a second.

    Requests come at random, and the environment that was used last is taken first. So the k-th one is needed whenever
    k - 1 are busy as a request comes, which happens `r = rate * P(k - 1 busy)` times a second, P by the Poisson
    distribution of an M/G/infinity queue. It is cold if that did not happen for `keep_warm` seconds: exp(-r keep_warm).
    Those of the mean load are never idle for long, and left out. The times at which k are needed come in clusters;
    taking them as independent counts some cold starts too many.

    Args:
        rate: requests a second.
        seconds: that one keeps its environment busy.
        keep_warm: seconds for which an idle environment stays.
    """
    load = rate * seconds
    usual = math.floor(load)
    # Weights of the distribution, relative to that of the usual number: neither language needs a factorial for them.
    far = math.ceil(_ENOUGH * (math.sqrt(load) + 1))
    above = [1.0]
    for busy in range(usual + 1, usual + far):
        above.append(above[-1] * load / busy)
    below = [1.0]
    for busy in range(usual, max(0, usual - far), -1):
        below.append(below[-1] * busy / load)
    whole = sum(above) + sum(below) - 1
    needed = [rate * weight / whole for weight in above]
    return sum(times * math.exp(-times * keep_warm) for times in needed)


def awake_share(rate: float, seconds: float, idle_seconds: float) -> float:
    """The share of time in which something runs that stops when nobody asks for a while.

    It runs at a time if a request came in the `seconds + idle_seconds` before; requests come at random.

    Args:
        rate: requests a second.
        seconds: that one takes.
        idle_seconds: that it waits for the next one.
    """
    return -math.expm1(-rate * (seconds + idle_seconds))
