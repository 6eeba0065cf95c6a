"""What was spent, by day, plane, model and tenant: the sum of the functions' lines, no request counted twice."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from lambda_llm.telemetry.lines import AGENT_EXECUTION, BATCH_PART, INFERENCE_REQUEST, OWN, ROUTER_REQUEST, Line, Plane

NOBODY: Final = "-"
"""In place of a model or a tenant that a line does not name."""


@dataclass(frozen=True)
class Key:
    """What is added up.

    Attributes:
        day: in UTC, as `2026-11-27`.
        plane: what the money is spent on.
        model: its name.
        tenant: whose requests these are.
    """

    day: str
    plane: str
    model: str = NOBODY
    tenant: str = NOBODY


DIMENSIONS: Final = ("day", "plane", "model", "tenant")
"""Attributes of `Key`."""


@dataclass
class Amount:
    """What some requests took.

    Attributes:
        dollars: US dollars by the price list.
        requests: answers and errors; records of batches are among them, steps of agents are not.
        input: tokens of prompts, cached ones included.
        output: tokens of answers.
    """

    dollars: float = 0.0
    requests: int = 0
    input: int = 0
    output: int = 0

    def add(self, other: Self) -> None:
        """Add another."""
        self.dollars += other.dollars
        self.requests += other.requests
        self.input += other.input
        self.output += other.output


@dataclass(frozen=True)
class _Asked:
    """A request that waits for the line of another function."""

    key: Key
    amount: Amount


@dataclass
class Spend:
    """What was spent.

    A request that the router or a batch sent to one of our functions is in that function's line, with what it truly
    took, and in the sender's, with its tenant. The function's dollars count, for the sender's tenant.

    Attributes:
        lines: that were read.
        by_key: what was spent.
        unseen: what requests took, by price list, that our functions answered whose lines were not read; in no sum.
    """

    lines: int = 0
    by_key: dict[Key, Amount] = field(default_factory=dict)
    unseen: Amount = field(default_factory=Amount)

    @classmethod
    def of(cls, lines: Iterable[Mapping[str, Any]]) -> Self:
        """Add up lines, in any order."""
        spend = cls()
        sent: dict[str, _Asked] = {}
        answered: dict[str, list[_Asked]] = {}
        batches: dict[str, list[_Asked]] = {}
        for line in lines:
            spend.lines += 1
            spend._count_own(line)
            if _is(line, INFERENCE_REQUEST):
                answered.setdefault(str(line.get("request_id")), []).append(_asked(line, Plane.INFERENCE))
            elif _is(line, ROUTER_REQUEST):
                spend._sent_on(line, sent, str(line.get("request_id")))
            elif _is(line, BATCH_PART):
                own = line.get("backend_kind") == OWN
                (batches.setdefault(str(line.get("batch")), []).append if own else spend._count)(
                    _asked(line, Plane.INFERENCE)
                )
            elif _is(line, AGENT_EXECUTION):
                spend._count(_asked(line, Plane.ORCHESTRATION))
        seen = set()
        for request, found in answered.items():
            batch = request.rpartition("-")[0]
            sender = sent.pop(request, None) or next(iter(batches.get(batch, [])), None)
            if batch in batches:
                seen.add(batch)
            for each in found:
                tenant = sender.key.tenant if sender else each.key.tenant
                spend._count(_Asked(Key(each.key.day, each.key.plane, each.key.model, tenant), each.amount))
        for left in (*sent.values(), *(each for batch, all_ in batches.items() if batch not in seen for each in all_)):
            spend.unseen.add(left.amount)
        return spend

    def by(self, *dimensions: str) -> dict[tuple[str, ...], Amount]:
        """Sums for each combination of some of `DIMENSIONS`, the dearest first; days come in order."""
        sums: dict[tuple[str, ...], Amount] = {}
        for key, amount in self.by_key.items():
            sums.setdefault(tuple(getattr(key, name) for name in dimensions), Amount()).add(amount)

        def order(item: tuple[tuple[str, ...], Amount]) -> tuple[Any, ...]:
            days = tuple(value for name, value in zip(dimensions, item[0], strict=True) if name == "day")
            return (*days, -item[1].dollars, item[0])

        return dict(sorted(sums.items(), key=order))

    @property
    def total(self) -> Amount:
        """All of it."""
        return self.by().get((), Amount())

    def _sent_on(self, line: Mapping[str, Any], sent: dict[str, _Asked], request: str) -> None:
        asked = _asked(line, Plane.INFERENCE)
        if line.get("backend_kind") == OWN:
            sent[request] = asked
        else:
            self._count(asked)

    def _count_own(self, line: Mapping[str, Any]) -> None:
        """What a router or a batch's worker took itself."""
        if own := float(line.get("own_dollars") or 0):
            self._count(_Asked(_asked(line, Plane.ORCHESTRATION).key, Amount(own)))

    def _count(self, asked: _Asked) -> None:
        self.by_key.setdefault(asked.key, Amount()).add(asked.amount)


def _is(line: Mapping[str, Any], kind: Line) -> bool:
    return line.get("service") == kind.service and line.get("event") == kind.event


def _asked(line: Mapping[str, Any], plane: Plane) -> _Asked:
    """What a line says was spent."""
    key = Key(
        str(line.get("timestamp", ""))[:10],
        plane.value,
        str(line.get("model") or NOBODY),
        str(line.get("tenant") or NOBODY),
    )
    requests = 0 if _is(line, AGENT_EXECUTION) else int(line.get("Records", 1))
    return _Asked(
        key,
        Amount(
            float(line.get("Dollars") or 0),
            requests,
            int(line.get("InputTokens") or 0),
            int(line.get("OutputTokens") or 0),
        ),
    )
