"""What a batch would cost and how long it would take, in each way that there is; and which one is chosen.

Every answer is counted as long as its limit allows, so that both are upper bounds as far as the speeds are right.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lambda_llm.backends.contract import Operation
from lambda_llm.batch.config import BedrockBackend, GPUBackend, LambdaBackend, Model
from lambda_llm.batch.plan import Part
from lambda_llm.batch_store.records import Option
from lambda_llm.cost import prices
from lambda_llm.limits import BATCH_ARRAY_SIZE, BEDROCK_JOB_BYTES, BEDROCK_JOB_RECORDS, BEDROCK_JOBS

WORKER_MB: Final = 512
"""Memory of a worker, which waits for answers most of its time."""

TRANSITIONS: Final = 4
"""Of a part that is answered at once: its execution's start, the worker, the choice, the end.
Source: https://aws.amazon.com/step-functions/pricing/"""

PART_SECONDS: Final = 240.0
"""Work of a part for a function, in seconds of its worker."""

GPU_PART_SECONDS: Final = 1800.0
"""Work of a part for an instance, several times what its server needs to start."""

ROUNDS: Final = 4
"""Parts for each worker at least, if the batch has as many records: the last ones end at about the same time."""

JOB_OUTPUT_TOKENS: Final = 64_000_000
"""Of a batch job of Bedrock: its answers may come in any order, and a worker keeps those that are early."""

_INPUT_SHARE: Final = 0.75
"""Of the largest input of a job that a part may have: its requests are translated."""

_PLACES: Final[Mapping[str, int]] = {"lambda": 0, "account": 1, "anywhere": 2}
_GENERATE: Final = frozenset({Operation.CHAT})
"""What Bedrock's batch jobs are asked for here: Converse."""


@dataclass(frozen=True)
class Totals:
    """What a batch asks for.

    Attributes:
        records: requests.
        bytes: of the input.
        input_tokens: of all prompts, rather too many.
        output_tokens: of all answers, at most.
    """

    records: int
    bytes: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class Wish:
    """What whoever sends a batch demands.

    Attributes:
        seconds: until its window ends.
        place: farthest place that its data may go to.
        backend: name of the one that has to answer; None: any.
        max_dollars: that it may cost; None: no limit.
    """

    seconds: float
    place: str = "account"
    backend: str | None = None
    max_dollars: float | None = None


def options(model: Model, operation: Operation, totals: Totals, wish: Wish) -> tuple[Option, ...]:
    """Every backend of a model: dollars, hours, and why it can't be chosen, the cheapest first.

    Args:
        model: of the batch.
        operation: likewise.
        totals: what it asks for.
        wish: of whoever sends it.
    """
    found = [_option(name, backend, operation, totals, wish) for name, backend in model.backends.items()]
    return tuple(sorted(found, key=lambda option: (option.why_not is not None, option.dollars)))


def chosen(found: tuple[Option, ...]) -> Option | None:
    """The cheapest that can be chosen; None: none can."""
    return next((option for option in found if option.why_not is None), None)


def seconds_of(backend: LambdaBackend | GPUBackend, work: Totals | Part) -> float:
    """How long one server of a backend would be busy with a batch, or with a part of it."""
    return work.input_tokens / backend.prefill + work.output_tokens / backend.decode


def parts_for(backend: LambdaBackend | BedrockBackend | GPUBackend, totals: Totals) -> int:
    """How many parts a batch is best cut into."""
    match backend:
        case LambdaBackend():
            lanes = min(backend.parallel, backend.concurrency)
            wanted = max(
                seconds_of(backend, totals) / lanes / PART_SECONDS,
                ROUNDS * workers(backend),
                totals.records / 10_000,
            )
        case BedrockBackend():
            wanted = totals.records / BEDROCK_JOB_RECORDS
        case GPUBackend():
            wanted = max(seconds_of(backend, totals) / GPU_PART_SECONDS, backend.instances)
    return max(1, min(math.ceil(wanted), totals.records, BATCH_ARRAY_SIZE))


def fits(backend: LambdaBackend | BedrockBackend | GPUBackend, part: Part) -> bool:
    """Whether a backend takes a part as one; parts are made of units, and are never as long as planned."""
    if not isinstance(backend, BedrockBackend):
        return True
    return (
        part.records <= BEDROCK_JOB_RECORDS
        and part.last - part.first < BEDROCK_JOB_BYTES * _INPUT_SHARE
        and (part.records == 1 or part.output_tokens <= JOB_OUTPUT_TOKENS)
    )


def workers(backend: LambdaBackend | BedrockBackend) -> int:
    """Workers at once: together they ask no more than a function has room for, or Bedrock takes jobs."""
    if isinstance(backend, BedrockBackend):
        return BEDROCK_JOBS
    return max(1, backend.concurrency // backend.parallel)


def starts(backend: GPUBackend, totals: Totals) -> float:
    """US dollars of instances until their servers answer: each part's container starts its own."""
    return backend.hourly * parts_for(backend, totals) * backend.start_seconds / 3600


def _option(
    name: str,
    backend: LambdaBackend | BedrockBackend | GPUBackend,
    operation: Operation,
    totals: Totals,
    wish: Wish,
) -> Option:
    match backend:
        case LambdaBackend():
            dollars, hours = _function(backend, totals)
        case BedrockBackend():
            dollars = totals.input_tokens / 1e6 * backend.input + totals.output_tokens / 1e6 * backend.output
            # As many jobs at once as the quota allows, each of which may take all of its time.
            hours = float(backend.hours) * math.ceil(parts_for(backend, totals) / workers(backend))
        case GPUBackend():
            dollars, hours = _instances(backend, totals)
    why = _why_not(name, backend, operation, totals, wish)
    if why is None and wish.max_dollars is not None and dollars > wish.max_dollars:
        why = f"costs up to ${dollars:,.2f}, more than the limit of ${wish.max_dollars:,.2f}"
    if why is None and wish.backend is None and hours * 3600 > wish.seconds:
        why = f"takes up to {hours:,.1f} h, and the window has {wish.seconds / 3600:,.1f} h left"
    return Option(backend=name, kind=backend.kind, dollars=dollars, hours=hours, why_not=why)


def _why_not(
    name: str,
    backend: LambdaBackend | BedrockBackend | GPUBackend,
    operation: Operation,
    totals: Totals,
    wish: Wish,
) -> str | None:
    if wish.backend is not None and wish.backend != name:
        return f"is not {wish.backend}, which was asked for"
    place = "lambda" if isinstance(backend, LambdaBackend) else "account"
    if _PLACES[place] > _PLACES[wish.place]:
        return f"is outside of {wish.place}, where the tenant's data has to stay"
    if isinstance(backend, BedrockBackend):
        if operation not in _GENERATE:
            return f"does not have {operation.value}"
        if totals.records < backend.records:
            return f"takes jobs of {backend.records:,} records or more"
    return None


def _function(backend: LambdaBackend, totals: Totals) -> tuple[float, float]:
    """Dollars and hours of a function, the workers and the state machine included."""
    busy = seconds_of(backend, totals)
    lanes = workers(backend) * min(backend.parallel, backend.concurrency)
    workers_busy = busy / min(backend.parallel, backend.concurrency)
    parts = parts_for(backend, totals)
    dollars = (
        prices.busy(busy)
        + prices.busy(workers_busy, WORKER_MB)
        + prices.REQUEST * (totals.records + parts)
        + prices.restore() * lanes
        + prices.STATE_TRANSITION * TRANSITIONS * parts
    )
    return dollars, busy / lanes / 3600


def _instances(backend: GPUBackend, totals: Totals) -> tuple[float, float]:
    """Dollars and hours of instances."""
    busy = seconds_of(backend, totals)
    parts = parts_for(backend, totals)
    at_once = min(backend.instances, parts)
    rounds = math.ceil(parts / at_once)
    return backend.hourly * busy / 3600 + starts(backend, totals), rounds * (
        busy / parts + backend.start_seconds
    ) / 3600
