"""What a Terraform plan costs, before and after it is applied: idle a month, and a thousand requests."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from lambda_llm.cost.plans import pruners
from lambda_llm.cost.plans.file import Change, Plan, PlanError, Resource
from lambda_llm.cost.plans.resources import RULES, Assumed, Cost, cost_of, has_versions, version_month
from lambda_llm.cost.plans.stacks import stack
from lambda_llm.cost.plans.unpriced import FREE, NOT_PRICED, UNKNOWN

PRICED = {**RULES, "aws_cloudformation_stack": stack}


class Verdict(StrEnum):
    """What is known of a type's price."""

    PRICED = "priced"
    FREE = "free"
    NOT_PRICED = "not priced here"


def verdict(kind: str) -> Verdict:
    """What is known of the price of a type of resources."""
    if kind in PRICED:
        return Verdict.PRICED
    return Verdict.FREE if kind in FREE else Verdict.NOT_PRICED


@dataclass(frozen=True)
class Row:
    """One resource of a plan.

    Attributes:
        change: what the plan does to it.
        verdict: what is known of its price.
        before: what it costs now; nothing, if it is not there.
        after: what it costs when the plan is applied, without `left`.
        left: a month, of the version that the apply leaves behind, which nobody deletes.
        why: why it is not priced.
    """

    change: Change
    verdict: Verdict
    before: Cost
    after: Cost
    left: float = 0.0
    why: str = ""

    @property
    def cost(self) -> Cost:
        """What it will cost, or did, if it is deleted."""
        return self.after if self.change.after is not None else self.before

    @property
    def month_after(self) -> float:
        """Idle a month when the plan is applied."""
        return self.after.month + self.left

    @property
    def month_more(self) -> float:
        """How much more it costs idle a month."""
        return self.month_after - self.before.month


@dataclass(frozen=True)
class Forgotten:
    """A function whose unused versions nobody deletes.

    Attributes:
        address: of it.
        month: what each of its versions costs a month.
        now: whether this apply leaves one behind.
        unless: addresses of pruners of which only the apply tells whether they are its.
    """

    address: str
    month: float
    now: bool
    unless: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sums:
    """Of several resources, in US dollars.

    Attributes:
        before: idle a month, before the apply.
        after: the same, behind it.
        thousand_before: a thousand requests to each of them, before the apply.
        thousand_after: the same, behind it.
        unknown: whether some of them may cost more.
    """

    before: float
    after: float
    thousand_before: float
    thousand_after: float
    unknown: bool

    @property
    def more(self) -> float:
        """How much more they cost idle a month."""
        return self.after - self.before


@dataclass(frozen=True)
class Report:
    """What a plan costs.

    Attributes:
        rows: of every resource of it, in order of addresses.
        forgotten: functions whose versions add up.
        assumed: what the plan does not say.
        notes: sentences about what the plan does not have.
    """

    rows: tuple[Row, ...]
    forgotten: tuple[Forgotten, ...]
    assumed: Assumed = field(default_factory=Assumed)
    notes: tuple[str, ...] = ()

    @property
    def sums(self) -> Sums:
        """Of all resources."""
        return _sums(self.rows)

    def by_module(self) -> dict[str, Sums]:
        """Of each module's own resources, by its address, empty for the root; what costs nothing is left out."""
        modules = dict.fromkeys(row.change.resource.module for row in self.rows)
        sums = {module: _sums(row for row in self.rows if row.change.resource.module == module) for module in modules}
        return {module: one for module, one in sums.items() if one != Sums(0, 0, 0, 0, unknown=False)}

    def of(self, verdict: Verdict) -> Iterator[Row]:
        """The rows of one verdict."""
        return (row for row in self.rows if row.verdict is verdict)


def report(plan: Plan, assumed: Assumed) -> Report:
    """Say what a plan costs.

    Args:
        plan: as Terraform made it.
        assumed: what it does not say.

    Raises:
        PlanError: an attribute has a value that it can't have.
    """
    before = [change.before for change in plan.changes if change.before is not None]
    after = [change.after for change in plan.changes if change.after is not None]
    try:
        pruned, unclear = pruners.pruned(after, plan.configuration)
        forgotten = [
            Forgotten(change.after.address, version_month(change.after), _publishes_again(change), tuple(unclear))
            for change in plan.changes
            if change.after is not None and _adds_up(change.after, pruned)
        ]
        left = {one.address: one.month for one in forgotten if one.now}
        rows = [_row(change, before, after, assumed, left) for change in plan.changes]
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise PlanError(
            f"The plan has a value that its resource can't have ({error!r}): check how it was made."
        ) from error
    rows.sort(key=lambda row: (row.change.resource.module, row.change.resource.address))
    return Report(tuple(rows), tuple(forgotten), assumed, plan.notes)


def _adds_up(resource: Resource, pruned: set[str]) -> bool:
    return resource.type == pruners.FUNCTION and resource.address not in pruned and has_versions(resource)


def _publishes_again(change: Change) -> bool:
    """Whether an apply publishes a version beside one that is there: the provider then knows no number of it yet."""
    return change.action == "update" and change.after is not None and change.after.is_unknown("version")


def _row(
    change: Change, before: list[Resource], after: list[Resource], assumed: Assumed, left: Mapping[str, float]
) -> Row:
    kind = change.resource.type
    found = verdict(kind)
    if found is not Verdict.PRICED:
        why = NOT_PRICED.get(kind, UNKNOWN) if found is Verdict.NOT_PRICED else ""
        return Row(change, found, Cost(), Cost(), why=why)

    def cost(resource: Resource | None, side: list[Resource]) -> Cost:
        return Cost() if resource is None else cost_of(PRICED[kind], resource, side, assumed)

    row = Row(change, found, cost(change.before, before), cost(change.after, after))
    return replace(row, left=left.get(change.resource.address, 0.0))


def _sums(rows: Iterable[Row]) -> Sums:
    listed = list(rows)
    return Sums(
        sum(row.before.month for row in listed),
        sum(row.month_after for row in listed),
        sum(row.before.thousand for row in listed),
        sum(row.after.thousand for row in listed),
        any(row.cost.unknown or row.verdict is Verdict.NOT_PRICED for row in listed),
    )


def public(found: Report) -> dict[str, Any]:
    """A report as JSON has it."""

    def cost(one: Cost) -> dict[str, Any]:
        return {
            "month": one.month,
            "thousand_requests": one.thousand,
            "use": list(one.use),
            "unknown": list(one.unknown),
        }

    def sums(one: Sums) -> dict[str, Any]:
        return {
            "month": {"before": one.before, "after": one.after, "more": one.more},
            "thousand_requests": {"before": one.thousand_before, "after": one.thousand_after},
            "at_least": one.unknown,
        }

    return {
        "seconds_per_request": found.assumed.seconds,
        "total": sums(found.sums),
        "modules": {module: sums(one) for module, one in found.by_module().items()},
        "resources": [
            {
                "address": row.change.resource.address,
                "type": row.change.resource.type,
                "action": row.change.action,
                "verdict": str(row.verdict),
                "before": cost(row.before) if row.change.before else None,
                "after": cost(row.after) if row.change.after else None,
                "forgotten_version_month": row.left,
                "why": row.why or None,
            }
            for row in found.rows
        ],
        "forgotten": [
            {"address": one.address, "version_month": one.month, "now": one.now, "unless": list(one.unless)}
            for one in found.forgotten
        ],
        "notes": list(found.notes),
    }
