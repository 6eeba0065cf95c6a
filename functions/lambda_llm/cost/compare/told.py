"""What an analysis says, in words and rows that a terminal, a page and a comment share."""

from dataclasses import dataclass
from typing import Final, Self

from lambda_llm.cost.compare.analysis import Analysis
from lambda_llm.cost.compare.costs import Cost
from lambda_llm.cost.compare.inputs import INPUTS
from lambda_llm.cost.compare.verdict import EQUAL, LAMBDA
from lambda_llm.units import dollars

RULES: Final = (0.15, 0.40)
"""Utilizations of a server above which rules of thumb advise against Lambda."""


@dataclass(frozen=True)
class OptionRow:
    """A row of the table of options.

    Attributes:
        title: of the option.
        monthly, per_million: US dollars, as people read them.
        until: in words, when Lambda is cheaper than it.
        ours: it is Lambda.
        own: the weights are the user's.
    """

    title: str
    monthly: str
    per_million: str
    until: str
    ours: bool
    own: bool

    @classmethod
    def of(cls, found: Cost, analysis: Analysis) -> Self:
        """The row of an option."""
        million = found.per_million_tokens
        ours = found.option.name == LAMBDA
        speed = analysis.workload.for_option(found.option).get("capacity", 1.0)
        slower = f", at {speed:.0%} of a function's speed" if speed < EQUAL else ""
        return cls(
            found.option.title + slower,
            dollars(found.monthly),
            dollars(million) if million is not None else "",
            "" if ours else until(found, analysis),
            ours,
            found.option.own,
        )


def until(found: Cost, analysis: Analysis) -> str:
    """When Lambda is cheaper than an option, in words."""
    name = found.option.name
    meeting = next(each for each in analysis.break_evens if name in {each.cheap_first, each.cheap_later})
    if meeting.utilization is None or meeting.requests_per_day is None:
        return "always" if meeting.cheap_first == LAMBDA else "never"
    below = "up to" if meeting.cheap_first == LAMBDA else "from"
    return f"{below} {meeting.requests_per_day:,.0f} requests a day ({share(meeting.utilization)} busy)"


def cheapest_of_each(analysis: Analysis) -> list[OptionRow]:
    """Lambda, and of every other kind of place the option that costs least for this workload."""
    rows: dict[str, OptionRow] = {}
    for found in analysis.costs:
        name = found.option.name
        committed = found.option.kind == "server" and not name.startswith("onprem")
        spot = name.endswith(".spot")
        graphics = found.option.server is not None and found.option.server.startswith(("g5", "g6"))
        place = f"{name.split('.')[0]} {committed} {spot} {graphics}" if name.startswith("ec2.") else name.split(".")[0]
        if found.option.kind == "tokens" and not found.option.name.startswith("bedrock."):
            place = "by the token"
        rows.setdefault(place, OptionRow.of(found, analysis))
    return list(rows.values())


def notes(analysis: Analysis) -> list[str]:
    """What to know beside the table, a sentence each."""
    workload = analysis.workload
    known = workload.quantities
    request = (
        f"A request takes {_digits(known['seconds'])} s; one function would be busy {share(workload.utilization)} of "
        f"the time, and {analysis.cold_share:.1%} of the requests wait {_digits(workload.inputs['restore_seconds'])} s "
        "for a restore."
    )
    said = [request, _rules(analysis)]
    for each in analysis.sensitivities:
        faster = "half" if each.factor < 1 else f"{each.factor:g} times"
        limit = f", and break-even is at {each.requests_per_day:,.0f} requests a day" if each.requests_per_day else ""
        said.append(f"At {faster} the {each.name}, Lambda costs {dollars(each.monthly)} a month{limit}.")
    said += [
        f"Without the {saving.what} a request takes {_digits(saving.seconds)} s longer, and a month costs "
        f"{dollars(abs(saving.monthly))} {'more' if saving.monthly >= 0 else 'less'}."
        for saving in analysis.savings
        if saving.seconds > 0
    ]
    egress = analysis.ours.lines["egress"]
    said.append(
        f"Answers of {known['egress_gb']:.2g} GB leave AWS in a month, for {dollars(egress)}; it is the same for every "
        "option on AWS."
    )
    compared = {each.option.name for each in analysis.costs}
    absent = [name for name in analysis.missing if name not in compared]
    without = sorted({price for name, prices in analysis.missing.items() if name in compared for price in prices})
    if absent:
        said.append(f"Not compared, for want of prices in this region: {', '.join(absent)}.")
    if without:
        said.append(f"Not counted, for want of prices in this region: {', '.join(without)}.")
    return said


def _rules(analysis: Analysis) -> str:
    """What the rules of thumb become: from which utilization of a server on, in its own time, it is cheaper."""
    servers = ("ec2.c7g.2xlarge.on-demand", "ec2.c7g.2xlarge.reserved-3y", "ec2.g6.xlarge.on-demand")
    titles = {each.option.name: each.option.title for each in analysis.costs}
    parts = []
    for rule in analysis.rules:
        if rule.name in servers:
            limit = "none" if rule.lambda_always else share(rule.utilization) if rule.utilization else "any"
            parts.append(f"{limit} of {titles[rule.name]} (worth {_digits(rule.ratio)} functions)")
    thumbs = " and ".join(f"{rule:.0%}" for rule in RULES)
    become = f"become, in the server's own time: {'; '.join(parts)}" if parts else "can't be computed without prices"
    return f"The rules that a server is cheaper from {thumbs} utilization on {become}."


def share(value: float) -> str:
    """A share as people read it, two digits of it at least."""
    return f"{_digits(100 * value)}%"


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"  # noqa: PLR2004 - two digits are enough


def assumptions(analysis: Analysis, region: str) -> str:
    """What all of it rests on, in a sentence or two."""
    days = sorted(price.read_on for price in analysis.used.values() if price.read_on)
    read = f"read {days[0]} to {days[-1]}" if days else "all given"
    given = "; ".join(f"{INPUTS[name].label}: {value:g}" for name, value in analysis.workload.inputs.items())
    return (
        f"Prices of {region}, {read}, without free tier, discounts and tax. Assumed: {given}. "
        "Speeds of GPUs are estimates (--server has yours); another's model is another model."
    )
