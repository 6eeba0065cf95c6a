"""What a workload says of itself: the inputs of the cost model, for the command line, the report and the formulas."""

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
        least, most: what is possible. The ends are far beyond what is sensible, so that nothing computed of the
            numbers is infinite.
    """

    unit: str
    value: float
    low: float
    high: float
    label: str
    least: float = 0
    most: float = 1e12

    def refused(self, value: float) -> str | None:
        """Why a value is impossible, in one sentence; None: it is possible."""
        if not self.least <= value <= self.most:
            return f"{self.label}: {value:g} is impossible, expected {self.least:g} to {self.most:g}."
        return None


KEEP_WARM_SECONDS: Final = 360
"""How long an idle environment is kept, by the newest measurement that is published: between 5 and 7 minutes,
https://mikhail.io/serverless/coldstarts/aws/intervals/. AWS does not tell. Older ones: 10 minutes in 2019,
https://mikhail.io/2019/08/aws-lambda-cold-starts-after-10-minutes/, and 45 to 60 in 2017,
https://theburningmonk.com/2017/06/finding-coldstarts-how-long-does-aws-lambda-keep-your-idle-functions-around/"""

INPUTS: Final = {
    "requests_per_day": Input("request/day", 1000, 1, 100000, "Requests a day", most=1e15),
    "prompt_tokens": Input("token/request", 300, 1, 8000, "New tokens of a prompt"),
    "answer_tokens": Input("token/request", 150, 1, 4000, "Tokens of an answer"),
    "system_tokens": Input("token/request", 500, 0, 8000, "Tokens of the system prompt"),
    "turns": Input("", 1, 1, 30, "Turns of a conversation", least=1),
    "hours_per_day": Input("hour/day", 24, 1, 24, "Hours a day with requests", least=1, most=24),
    "days_per_week": Input("day/week", 7, 1, 7, "Days a week with requests", least=1, most=7),
    "burst": Input("", 3, 1, 50, "Busiest hour over the mean of those hours", least=1),
    "season": Input("", 1, 1, 12, "Busiest month over the mean month", least=1),
    "prefill": Input("token/second", 100, 10, 1000, "Prefill of a function, tokens/s", least=0.001, most=1e6),
    "decode": Input("token/second", 20, 2, 100, "Decode of a function, tokens/s", least=0.001, most=1e6),
    "restore_seconds": Input("second", 1.0, 0.1, 10, "Seconds of a restore"),
    "keep_warm": Input("second", KEEP_WARM_SECONDS, 60, 3600, "Seconds that an idle environment stays"),
    "versions": Input("", 1, 1, 10, "Published versions that exist"),
    "model_gb": Input("GB", 0.8, 0.1, 6, "Model, GB", least=0.001),
    "session_store": Input("", 1, 0, 1, "Share of turns whose history is in a cache", most=1),
    "prompt_cache": Input("", 1, 0, 1, "Share of the system prompt that is in the snapshot", most=1),
    "internet": Input("", 1, 0, 1, "Share of answers that leave AWS", most=1),
    "replicas": Input("", 1, 1, 5, "Servers at least", least=1),
    "target": Input("", 0.7, 0.1, 1, "Load of a server in the busiest hour, at most", least=0.01, most=1),
}
"""By name."""
