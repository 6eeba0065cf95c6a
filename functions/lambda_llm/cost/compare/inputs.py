"""What a workload says of itself: the inputs of the cost model, for the command line, the report and the formulas."""

import math
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Input:
    """One number.

    Attributes:
        unit: as pint reads it; empty: a number.
        value: unless another is given.
        low, high: the ends of a slider.
        label: for people.
        least, most: what is possible.
        positive: whether 0 is impossible.
    """

    unit: str
    value: float
    low: float
    high: float
    label: str
    least: float = 0
    most: float = math.inf
    positive: bool = False

    def refused(self, value: float) -> str | None:
        """Why a value is impossible, in one sentence; None: it is possible."""
        if not math.isfinite(value) or not self.least <= value <= self.most or (self.positive and value == 0):
            above = "more than 0" if self.positive else f"{self.least:g} or more"
            upto = "" if math.isinf(self.most) else f", at most {self.most:g}"
            return f"{self.label}: {value:g} is impossible, expected {above}{upto}."
        return None


INPUTS: Final = {
    "requests_per_day": Input("request/day", 1000, 1, 100000, "Requests a day"),
    "prompt_tokens": Input("token/request", 300, 1, 8000, "New tokens of a prompt"),
    "answer_tokens": Input("token/request", 150, 1, 4000, "Tokens of an answer"),
    "system_tokens": Input("token/request", 500, 0, 8000, "Tokens of the system prompt"),
    "turns": Input("", 1, 1, 30, "Turns of a conversation", least=1),
    "hours_per_day": Input("hour/day", 24, 1, 24, "Hours a day with requests", most=24, positive=True),
    "days_per_week": Input("day/week", 7, 1, 7, "Days a week with requests", most=7, positive=True),
    "burst": Input("", 3, 1, 50, "Busiest hour over the mean of those hours", least=1),
    "season": Input("", 1, 1, 12, "Busiest month over the mean month", least=1),
    "prefill": Input("token/second", 120, 10, 1000, "Prefill of a function, tokens/s", positive=True),
    "decode": Input("token/second", 25, 2, 100, "Decode of a function, tokens/s", positive=True),
    "restore_seconds": Input("second", 1.0, 0.1, 10, "Seconds of a restore"),
    "keep_warm": Input("second", 420, 60, 3600, "Seconds that an idle environment stays"),
    "versions": Input("", 1, 1, 10, "Published versions that exist"),
    "model_gb": Input("GB", 0.8, 0.1, 6, "Model, GB", positive=True),
    "session_store": Input("", 1, 0, 1, "Share of turns whose history is in a cache", most=1),
    "prompt_cache": Input("", 1, 0, 1, "Share of the system prompt that is in the snapshot", most=1),
    "internet": Input("", 1, 0, 1, "Share of answers that leave AWS", most=1),
    "replicas": Input("", 1, 1, 5, "Servers at least", least=1),
    "target": Input("", 0.7, 0.1, 1, "Load of a server in the busiest hour, at most", most=1, positive=True),
}
"""By name."""
