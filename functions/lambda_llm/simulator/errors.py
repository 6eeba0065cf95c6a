"""What can't be simulated."""

import math

from lambda_llm.errors import LambdaLLMError


class SimulatorError(LambdaLLMError):
    """A number makes no sense, a file of arrivals is wrong, or something that the simulator needs is not installed."""


def check(name: str, value: float, *, least: float = 0.0, most: float = math.inf, above: bool = False) -> None:
    """Refuse a number that is out of range.

    Args:
        name: of the number, with its unit, at the beginning of the sentence.
        value: to check; NaN and infinity are always refused.
        least: smallest allowed.
        most: largest allowed.
        above: `least` itself is not allowed.

    Raises:
        SimulatorError: the value is out of range.
    """
    if math.isfinite(value) and least <= value <= most and not (above and value == least):
        return
    lower = f"above {least:,g}" if above else f"of at least {least:,g}"
    upper = "" if math.isinf(most) else f" and of at most {most:,g}"
    raise SimulatorError(f"{name} is {value:,g}: give a number {lower}{upper}.")
