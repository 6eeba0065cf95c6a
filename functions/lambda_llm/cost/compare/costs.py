"""What every option costs for a workload."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lambda_llm.cost.compare import formulas
from lambda_llm.cost.compare.options import Option, load
from lambda_llm.cost.compare.workload import Workload
from lambda_llm.cost.prices import Prices


@dataclass(frozen=True)
class Cost:
    """What one option costs.

    Attributes:
        option: of them.
        lines: US dollars a month, by what they are for.
        servers: that it takes; 0: none.
        tokens: of prompts and answers, a month.
    """

    option: Option
    lines: Mapping[str, float]
    servers: int
    tokens: float

    @property
    def monthly(self) -> float:
        """US dollars a month."""
        return sum(self.lines.values())

    @property
    def per_million_tokens(self) -> float | None:
        """US dollars for a million tokens of prompts and answers; None: there are none."""
        return self.monthly / self.tokens * 1e6 if self.tokens else None


def cost(option: Option, workload: Workload, prices: Prices) -> Cost:
    """What an option costs.

    Raises:
        PriceError: a price of it is not in the list.
    """
    known = workload.for_option(option)
    calls = formulas.calls(prices)
    lines = {line.what: float(line.formula.value(known, calls)) for line in option.lines}
    tokens = known["requests"] * (known["input_tokens"] + known["answer_tokens"])
    return Cost(option, lines, int(known.get("servers", 0)), tokens)


def priced(prices: Prices) -> tuple[list[Option], dict[str, list[str]]]:
    """The options whose prices are known, without minor lines that can't be priced, and what prices others lack.

    Returns:
        The options; and by name of every option that lacks a price, also where only a minor line does, which ones.
    """
    options = [option.priced_by(prices.keys()) for option in load().options]
    known = [option for option in options if option.prices <= prices.keys()]
    lacking = {option.name: sorted(option.prices - prices.keys()) for option in load().options}
    return known, {name: names for name, names in lacking.items() if names}


def costs(workload: Workload, prices: Prices) -> list[Cost]:
    """What each option costs whose prices are known, cheapest first."""
    options: Sequence[Option] = priced(prices)[0]
    return sorted((cost(option, workload, prices) for option in options), key=lambda each: each.monthly)
