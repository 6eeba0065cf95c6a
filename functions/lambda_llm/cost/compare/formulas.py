"""The formulas of options.toml: texts that Python and the report's JavaScript both compute, and that people read."""

import ast
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, Final

from lambda_llm.cost.prices import Prices
from lambda_llm.errors import LambdaLLMError

FUNCTIONS: Final = {"awake_share": 3, "ceil": 1, "cold_starts": 3, "cost": 2, "max": 2, "min": 2, "price": 1}
"""What formulas may call, and with how many arguments. `cost` takes the name of a price and a quantity a month, `price`
the name alone."""

_OF_PRICES: Final = frozenset({"cost", "price"})

# What both languages read alike: no other quotes, numbers or comments, and no `--`, which JavaScript counts down with.
_TEXT: Final = re.compile(
    r"""(?: [a-z_][a-z0-9_]* | \d+(?:\.\d+)?(?:e-?\d+)?(?![\w.]) | "[\w.-]+"(?![ ]*") | -(?!-) | [+*/(),] | [ ] )+""",
    re.ASCII | re.VERBOSE,
)

_NODES: Final = (
    *(ast.Expression, ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.UnaryOp, ast.USub),
    *(ast.Call, ast.Name, ast.Load, ast.Constant),
)

MOST_BUSY: Final = 1e9
"""Functions busy at once beyond which nothing is computed; all of AWS's would not do."""

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
        if not _TEXT.fullmatch(self.text):
            raise FormulaError(
                f"The formula {self.text!r} has a sign that is none of a formula's: expected names, numbers, "
                f"+ - * / and calls of {', '.join(FUNCTIONS)}."
            )
        try:
            tree = ast.parse(self.text, mode="eval")
        except (SyntaxError, RecursionError, MemoryError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else "it is nested too deeply"
            raise FormulaError(f"The formula {self.text!r} can't be read ({reason}): correct it.") from error
        prices, names, called = set(), set(), set()
        for node in ast.walk(tree):
            if not isinstance(node, _NODES):
                raise FormulaError(
                    f"The formula {self.text!r} has a {type(node).__name__}: expected + - * / or a call."
                )
            if isinstance(node, ast.Call):
                prices |= self._price(node)
                called |= {node.func, *(node.args[:1] if _name(node) in _OF_PRICES else ())}
            elif node in called:
                continue
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                raise FormulaError(f"The formula {self.text!r} has a text outside cost and price: name a quantity.")
            elif isinstance(node, ast.Name):
                if node.id in FUNCTIONS:
                    raise FormulaError(f"The formula {self.text!r} has {node.id} without a call: call it.")
                names.add(node.id)
        object.__setattr__(self, "prices", frozenset(prices))
        object.__setattr__(self, "names", frozenset(names))
        object.__setattr__(self, "_code", compile(tree, "<formula>", "eval"))

    def _price(self, call: ast.Call) -> set[str]:
        """The name of the price in a call; none where it has none.

        Raises:
            FormulaError: the call is none of `FUNCTIONS`.
        """
        name = _name(call)
        if name not in FUNCTIONS:
            raise FormulaError(f"The formula {self.text!r} calls something else than {', '.join(FUNCTIONS)}.")
        if len(call.args) != FUNCTIONS[name] or call.keywords:
            raise FormulaError(f"The formula {self.text!r} calls {name} wrongly: it takes {FUNCTIONS[name]}.")
        if name not in _OF_PRICES:
            return set()
        first = call.args[0]
        if not (isinstance(first, ast.Constant) and isinstance(first.value, str)):
            raise FormulaError(f"The formula {self.text!r} calls {name} wrongly: it takes a price's name in quotes.")
        return {first.value}

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


def _name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


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
    k - 1 are busy as a request comes, `rate * P(k - 1 busy)` times a second, P by the Poisson distribution of an
    M/G/infinity queue. In between fewer than k are busy, for `P(fewer than k busy) / (rate * P(k - 1 busy))` seconds at
    the mean: the k-th is idle then, and cold if it took more than `keep_warm`. That these times are exponential is true
    of the first environment and nearly so of others: simulated requests of 8 s have at most 3 % fewer and 27 % more
    cold starts with environments that stay for 420 s, up to 40 % more at 60 s. Where one stays hardly longer than a
    request takes there are fewer, down to half.

    Args:
        rate: requests a second.
        seconds: that one keeps its environment busy.
        keep_warm: seconds for which an idle environment stays.

    Raises:
        FormulaError: more environments would be busy than can be computed with.
    """
    load = rate * seconds
    if not load <= MOST_BUSY:
        raise FormulaError(f"{load:.3g} functions would be busy at once: expected at most {MOST_BUSY:g}.")
    usual = math.floor(load)
    # Weights of the distribution, relative to that of the usual number: neither language needs a factorial for them.
    far = math.ceil(_ENOUGH * (math.sqrt(load) + 1))
    weights = [1.0]
    for busy in range(usual, max(0, usual - far), -1):
        weights.append(weights[-1] * busy / load)
    weights.reverse()
    for busy in range(usual + 1, usual + far):
        weights.append(weights[-1] * load / busy)
    whole, fewer, cold = sum(weights), 0.0, 0.0
    for weight in weights:
        fewer += weight
        if weight:
            cold += rate * weight / whole * math.exp(-rate * weight / fewer * keep_warm)
    return cold


def awake_share(rate: float, seconds: float, idle_seconds: float) -> float:
    """The share of time in which something runs that stops when nobody asks for a while.

    It runs at a time if a request came in the `seconds + idle_seconds` before; requests come at random.

    Args:
        rate: requests a second.
        seconds: that one takes.
        idle_seconds: that it waits for the next one.
    """
    return -math.expm1(-rate * (seconds + idle_seconds))
