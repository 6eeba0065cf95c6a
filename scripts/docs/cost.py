"""Write the tables and the picture of docs/cost.md, which `lambda_llm.cost` computes.

Run it after a change of prices, options or formulas; a test fails until then.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lambda_llm.cost.compare.analysis import Analysis, analyse
from lambda_llm.cost.compare.verdict import LAMBDA
from lambda_llm.cost.compare.workload import Workload
from lambda_llm.cost.figure import draw
from lambda_llm.cost.prices import load
from lambda_llm.units import dollars
from scripts import ROOT
from scripts.docs.readme import with_part

DOCUMENT: Final = ROOT / "docs/cost.md"
FIGURE: Final = ROOT / "docs/cost.svg"

TRAFFIC: Final[Mapping[str, Mapping[str, float]]] = {
    "a team's assistant: 200 requests on each of 5 days, 9 hours, 4 turns": {
        "requests_per_day": 200 * 5 / 7,
        "hours_per_day": 9,
        "days_per_week": 5,
        "turns": 4,
    },
    "1,000 requests a day, the defaults": {},
    "1,000 a day, all day alike (burst 1)": {"burst": 1},
    "3,000 a day": {"requests_per_day": 3_000},
    "20,000 a day": {"requests_per_day": 20_000},
    "200,000 a day": {"requests_per_day": 200_000},
    "1,000 long documents a day: 3,000 tokens in, 300 out": {"prompt_tokens": 3000, "answer_tokens": 300},
    "20,000 short decisions a day: 80 tokens in, 5 out": {
        "requests_per_day": 20_000,
        "prompt_tokens": 80,
        "answer_tokens": 5,
    },
}
"""Workloads of the first table."""

SERVERS: Final = (
    "ec2.c7g.2xlarge.on-demand",
    "ec2.c7g.2xlarge.reserved-3y",
    "ec2.c7g.2xlarge.reserved-3y-upfront",
    "ec2.g6.xlarge.on-demand",
)
"""Of the table of rules."""

SHAPES: Final[Mapping[str, Mapping[str, float]]] = {
    "defaults": {},
    "no burst": {"burst": 1},
    "burst of 10": {"burst": 10},
    "twice as fast": {"prefill": 200, "decode": 40},
    "long documents": {"prompt_tokens": 3000, "answer_tokens": 300},
}
"""What changes the rules."""


LEAVING: Final[Mapping[str, str]] = {
    "ec2.c7g.large.on-demand": "answers may take three times as long",
    "ec2.c7g.2xlarge.reserved-3y-upfront": "you know the traffic of three years",
    "ec2.c7g.2xlarge.on-demand": "somebody patches, scales and watches it",
    "ec2.g6.xlarge.reserved-3y-upfront": "as above, and the GPU's speed is what we assume",
    "ec2.g6.xlarge.on-demand": "bursts can wait for a GPU that starts in minutes",
    "onprem.gpu": "a room, a contract for power and 8 hours of work a month are there",
    "managed.c8g.2xlarge": "the code should stay a Lambda function; three instances run all the time",
    "sagemaker.g6.xlarge.real-time": "SageMaker's deployment and monitoring are worth 40 % on top",
}
"""Options of the last table, and under which condition each is an answer."""


def verdicts() -> str:
    """The table of workloads."""
    rows = [
        "| Traffic | Lambda | Cheapest server of its speed, to be given back | For years | By the token | Lambda? |",
        "|---|---|---|---|---|---|",
    ]
    for name, inputs in TRAFFIC.items():
        found = _analysed(inputs)
        costs = {each.option.name: each for each in found.costs}
        free, committed = found.verdict.free, found.verdict.committed
        tokens = min((each for each in found.costs if _live_tokens(each.option.name)), key=lambda each: each.monthly)
        years = f"{dollars(committed.monthly)}, {costs[committed.name].option.title}" if committed else ""
        rows.append(
            f"| {name} | {dollars(costs[LAMBDA].monthly)} | {dollars(free.monthly)}, {costs[free.name].option.title} | "
            f"{years} | {dollars(tokens.monthly)} | {found.verdict.answer} |"
        )
    return "\n".join(rows) + "\n"


def rules() -> str:
    """The table of rules of thumb: utilizations of a server, in its own time, from which on it is cheaper."""
    titles = {each.option.name: each.option.title for each in _analysed({}).costs}
    rows = [
        f"| | {' | '.join(titles[name] for name in SERVERS)} |",
        f"|---|{'---|' * len(SERVERS)}",
    ]
    for shape, inputs in SHAPES.items():
        known = {rule.name: rule for rule in _analysed(inputs).rules}
        shares = ["never" if known[name].lambda_always else _percent(known[name].utilization) for name in SERVERS]
        rows.append(f"| {shape} | {' | '.join(shares)} |")
    return "\n".join(rows) + "\n"


def leaving() -> str:
    """The table of when to leave Lambda for what: the first requests a day at which an option is cheaper."""
    rows = ["| From, requests a day | One function is then busy | For | At | If |", "|---|---|---|---|---|"]
    found = _analysed({})
    titles = {each.option.name: each.option.title for each in found.costs}
    meetings = {each.cheap_later: each for each in found.break_evens if each.cheap_first == LAMBDA}
    for name, condition in LEAVING.items():
        meeting = meetings[name]
        if meeting.utilization is None or meeting.requests_per_day is None:
            raise ValueError(f"{name} is never cheaper than Lambda: take it out of LEAVING.")
        monthly = meeting.fixed[0] + meeting.variable[0] * meeting.utilization
        rows.append(
            f"| {meeting.requests_per_day:,.0f} | {_percent(meeting.utilization)} | {titles[name]} | "
            f"{dollars(monthly)} | {condition} |"
        )
    return "\n".join(rows) + "\n"


def with_tables(text: str) -> str:
    """The document with up-to-date tables."""
    for name, part in (("verdicts", verdicts()), ("rules", rules()), ("leaving", leaving())):
        text = with_part(text, f"<!-- {name} -->\n", part, f"<!-- end of {name} -->\n")
    return text


def picture(path: Path) -> None:
    """Draw the document's picture."""
    draw(_analysed({}), path)


def main() -> int:
    """Rewrite the document's tables and its picture."""
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
    picture(FIGURE)
    return 0


def _analysed(inputs: Mapping[str, float]) -> Analysis:
    return analyse(Workload.of(inputs), load())


def _live_tokens(name: str) -> bool:
    return name.startswith(("bedrock.", "deepinfra.", "groq.", "together.", "workers-ai.")) and not name.endswith(
        (".batch", ".flex")
    )


def _percent(share: float | None) -> str:
    if share is None:
        return "always"
    return f"{100 * share:,.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"  # noqa: PLR2004 - two digits


if __name__ == "__main__":
    sys.exit(main())
