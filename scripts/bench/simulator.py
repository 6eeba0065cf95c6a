"""Measure the simulator: one queue by Python, NumPy, numba and SimPy, and a million requests with all they need."""

import heapq
import json
import os
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final

import numpy as np
import simpy
import typer
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from lambda_llm.cost.speeds import Speeds
from lambda_llm.errors import LambdaLLMError
from lambda_llm.simulator import fleet_loop
from lambda_llm.simulator.arrivals import DAY, Diurnal, Poisson
from lambda_llm.simulator.compiled import compiled
from lambda_llm.simulator.fleet import Fleet, Scaling, simulate_fleet
from lambda_llm.simulator.functions import Rules, simulate_functions
from lambda_llm.simulator.result import Result
from lambda_llm.simulator.work import Tokens, Work
from scripts.bench.common import AsJSON, Markdown, command_line, ended_by, printer, progress_bar
from scripts.bench.measurement import machine

REQUESTS: Final = 100_000
MILLION: Final = 1_000_000
REPEATS: Final = 5
SERVERS: Final = 8
LOAD: Final = 0.8
TARGET_SECONDS: Final = 5.0

_HELP: Final = """Print how long simulating a request takes, by each way to do it.

[bold]The queue.[/bold] Poisson arrivals, exponential work, 8 servers, one queue, first come, first served, a load of \
0.8. Every way gets the same arrivals and must find the same mean wait, else nothing is printed. They take turns; x is \
the median of the ratios to plain Python in the same round. The simulator's loop does more than the heap: it knows \
when what happens, batches and scaling; it runs compiled and, in a process of its own, as Python. NumPy can do several \
servers only with a step for each request; the last row is one server, by a running minimum (Lindley).

[bold]Whole simulations[/bold] include arrivals, lengths and percentiles. The time of the compiler is that of a new \
process that keeps nothing and simulates one request.

[dim]Example[/dim]
  python -m scripts.bench.simulator --markdown
"""

Floats = NDArray[np.float64]
Way = Callable[[Floats, Floats], float]
"""Takes arrivals and work, gives the mean wait."""


class BenchError(LambdaLLMError):
    """It can't be measured."""


@dataclass(frozen=True)
class Row:
    """One way.

    Attributes:
        name: of it.
        microseconds: a request, at the median.
        ratio: to plain Python, at the median of the rounds; None: another queue.
        spread: half of the range of the times, over the median.
        mean_wait: that it found, in seconds.
    """

    name: str
    microseconds: float
    ratio: float | None
    spread: float
    mean_wait: float


@dataclass(frozen=True)
class Whole:
    """One simulation.

    Attributes:
        name: of it.
        seconds: at the median.
        spread: half of the range, over the median.
        compile_seconds: of the compiler, once; less where its result is kept.
        peak_mb: Python's and NumPy's memory at its highest.
    """

    name: str
    seconds: float
    spread: float
    compile_seconds: float
    peak_mb: float


def python_heap(times: Floats, work: Floats) -> float:
    """A heap of the times at which servers will be free."""
    free = [0.0] * SERVERS
    waited = 0.0
    for time_, length in zip(times.tolist(), work.tolist(), strict=True):
        begins = max(time_, free[0])
        heapq.heapreplace(free, begins + length)
        waited += begins - time_
    return waited / times.size


def numpy_steps(times: Floats, work: Floats) -> float:
    """The same with an array and its smallest element."""
    free = np.zeros(SERVERS)
    waited = 0.0
    for time_, length in zip(times, work, strict=True):
        first = free.argmin()
        begins = max(time_, free[first])
        free[first] = begins + length
        waited += begins - time_
    return float(waited / times.size)


@compiled
def _numba_heap(times: Floats, work: Floats) -> float:
    free = [0.0] * SERVERS
    waited = 0.0
    for place in range(times.size):
        begins = max(times[place], free[0])
        heapq.heapreplace(free, begins + work[place])
        waited += begins - times[place]
    return waited / times.size


def numba_heap(times: Floats, work: Floats) -> float:
    """The lines of `python_heap`, compiled."""
    return float(_numba_heap(times, work))


def fleet(times: Floats, work: Floats) -> float:
    """The simulator's own loop, which also knows batching, scaling, a queue's end and what happens when."""
    limits = fleet_loop.Limits(1, 100_000, False, 0.0, SERVERS, SERVERS, 0.7, 60.0, 0.0, 0.0, 1e9, 1e6)  # noqa: FBT003
    state = fleet_loop.new_state(limits, 288)
    batch = fleet_loop.Batch(times, np.zeros(times.size), work)
    room = times.size + 100_000 + SERVERS
    answers = fleet_loop.Answers(np.empty(room), np.empty(room), np.empty(room))
    begun, _ = fleet_loop.serve(batch, limits, state, answers, True)  # noqa: FBT003 - as numba takes it
    return float(answers.wait[:begun].mean())


def simpy_processes(times: Floats, work: Floats) -> float:
    """A process for each request, and a resource, as SimPy's documentation has it."""
    environment = simpy.Environment()
    servers = simpy.Resource(environment, SERVERS)
    waited = 0.0

    def request(length: float) -> Generator[simpy.Event, Any, None]:
        nonlocal waited
        came = environment.now
        with servers.request() as place:
            yield place
            waited += environment.now - came
            yield environment.timeout(length)

    def source() -> Generator[simpy.Event, Any, None]:
        for time_, length in zip(times.tolist(), work.tolist(), strict=True):
            yield environment.timeout(time_ - environment.now)
            environment.process(request(length))

    environment.process(source())
    environment.run()
    return waited / times.size


def lindley(times: Floats, work: Floats) -> float:
    """One server, all requests at once.

    Source: https://en.wikipedia.org/wiki/Lindley_equation
    """
    steps = np.concatenate(([0.0], np.cumsum(work[:-1] - np.diff(times))))
    return float((steps - np.minimum.accumulate(steps)).mean())


BASELINE: Final = "Python, heapq"
WAYS: Final[Mapping[str, Way]] = {
    BASELINE: python_heap,
    "NumPy, a step each": numpy_steps,
    "SimPy": simpy_processes,
    "numba, the same heap": numba_heap,
    "numba, the simulator's loop": fleet,
}
UNCOMPILED: Final = "Python, the simulator's loop"
ONE_SERVER: Final = "NumPy, one server only"

_WORK: Final = Work(Tokens(500, 1.0), Tokens(100, 1.0), 0.5)
_SPEEDS: Final = Speeds(100.0, 20.0)

WHOLES: Final[Mapping[str, Callable[[float], Result]]] = {
    "functions, Poisson": lambda n: simulate_functions(Poisson(n / DAY, DAY), _WORK, Rules(_SPEEDS)),
    "functions, a day's curve": lambda n: simulate_functions(Diurnal(n / DAY, DAY), _WORK, Rules(_SPEEDS)),
    "100 servers": lambda n: simulate_fleet(Poisson(n / DAY, DAY), _WORK, Fleet("", 1.0, _SPEEDS, servers=100)),
    "autoscaled GPUs, batches of 32": lambda n: simulate_fleet(
        Diurnal(n / DAY, DAY),
        _WORK,
        Fleet("", 1.0, Speeds(4000.0, 60.0), slots=32, slowdown=0.02, scaling=Scaling(1, 20, target=0.4)),
    ),
}


def queue(requests: int, servers: int, seed: int = 0) -> tuple[Floats, Floats]:
    """Arrivals and work of so many requests."""
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.exponential(1 / (LOAD * servers), requests)), rng.exponential(1.0, requests)


def compare(requests: int, repeats: int, step: Callable[[str], None] = lambda _: None) -> list[Row]:
    """Let each way simulate the queue.

    Args:
        requests: how many.
        repeats: rounds; each way once.
        step: called after each.

    Raises:
        BenchError: two ways found different waits.
    """
    times, work = queue(requests, SERVERS)
    taken: dict[str, list[float]] = {name: [] for name in (*WAYS, UNCOMPILED, ONE_SERVER)}
    waits: dict[str, float] = {}
    numba_heap(times[:10], work[:10])  # compiles, as the next one does
    fleet(times[:10], work[:10])
    for _ in range(repeats):
        for name, way in WAYS.items():
            began = time.perf_counter()
            waits[name] = way(times, work)
            taken[name].append(time.perf_counter() - began)
            step(name)
        seconds, waits[UNCOMPILED] = _uncompiled(requests)
        taken[UNCOMPILED].append(seconds)
        step(UNCOMPILED)
        alone = queue(requests, 1)
        began = time.perf_counter()
        waits[ONE_SERVER] = lindley(*alone)
        taken[ONE_SERVER].append(time.perf_counter() - began)
        step(ONE_SERVER)
    wrong = [name for name in (*WAYS, UNCOMPILED) if abs(waits[name] / waits[BASELINE] - 1) > 1e-6]  # noqa: PLR2004 - sums of floats
    if wrong:
        raise BenchError(f"{wrong[0]} found a mean wait of {waits[wrong[0]]} s, and Python {waits[BASELINE]} s.")
    return [_row(name, taken, waits[name], requests) for name in taken]


def _uncompiled(requests: int) -> tuple[float, float]:
    """Seconds and mean wait of the simulator's loop in a process in which numba compiles nothing."""
    program = (
        "import time\nfrom scripts.bench.simulator import SERVERS, fleet, queue\n"
        f"times, work = queue({requests}, SERVERS)\nbegan = time.perf_counter()\nwait = fleet(times, work)\n"
        "print(time.perf_counter() - began, wait)"
    )
    seconds, wait = _told_by(program, NUMBA_DISABLE_JIT="1").split()
    return float(seconds), float(wait)


def _told_by(program: str, **environment: str) -> str:
    """What a new process prints."""
    command = [sys.executable, "-B", "-c", program]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"A new process failed: {done.stderr[-300:]!r}")
    return done.stdout


def _row(name: str, taken: Mapping[str, Sequence[float]], wait: float, requests: int) -> Row:
    median, spread = _summary(taken[name])
    ratios = [own / base for own, base in zip(taken[name], taken[BASELINE], strict=True)]
    ratio = None if name == ONE_SERVER else statistics.median(ratios)
    return Row(name, median / requests * 1e6, ratio, spread, wait)


def _summary(values: Sequence[float]) -> tuple[float, float]:
    median = statistics.median(values)
    return median, (max(values) - min(values)) / 2 / median


def whole(requests: int, repeats: int, step: Callable[[str], None] = lambda _: None) -> list[Whole]:
    """Simulate a day with so many requests.

    Args:
        requests: expected.
        repeats: of each simulation.
        step: called after each.
    """
    rows = []
    for name, simulate in WHOLES.items():
        compiling = _compile_seconds(name)
        simulate(10)
        taken = []
        for _ in range(repeats):
            began = time.perf_counter()
            simulate(requests)
            taken.append(time.perf_counter() - began)
            step(name)
        tracemalloc.start()
        simulate(requests)
        peak = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        median, spread = _summary(taken)
        rows.append(Whole(name, median, spread, compiling, peak))
    return rows


def _compile_seconds(name: str) -> float:
    """By a process that keeps nothing: its first simulation, less its second."""
    program = (
        "import time\nfrom scripts.bench.simulator import WHOLES\ndef once():\n    began = time.perf_counter()\n"
        f"    WHOLES[{name!r}](1)\n    return time.perf_counter() - began\nprint(once() - once())"
    )
    return float(_told_by(program))


def main(
    *,
    requests: Annotated[int, typer.Option(min=100, help="Requests of the queue.")] = REQUESTS,
    million: Annotated[int, typer.Option(min=1, help="Requests of a whole simulation.")] = MILLION,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = REPEATS,
    markdown: Markdown = False,
    as_json: AsJSON = False,
) -> None:
    """See `_HELP`."""
    found = machine()
    with ended_by(BenchError):
        with progress_bar("The queue", repeats * (len(WAYS) + 2)) as step:
            rows = compare(requests, repeats, step)
        with progress_bar("Whole simulations", repeats * len(WHOLES)) as step:
            wholes = whole(million, repeats, step)
    if as_json:
        told = {
            "machine": found,
            "requests": requests,
            "repeats": repeats,
            "ways": [asdict(row) for row in rows],
            "million": million,
            "wholes": [asdict(row) for row in wholes],
        }
        print(json.dumps(told))
        return
    out = printer(markdown=markdown)
    out.print(_ways(rows, markdown=markdown))
    out.print()
    out.print(_wholes(wholes, million, markdown=markdown))
    slowest = max(wholes, key=lambda row: row.seconds)
    out.print(
        f"\n{found['cpu']}, {found['cpus']} CPUs, load before {found['load_before']}; medians of {repeats}. "
        f"The slowest simulation takes {slowest.seconds:.1f} s; for {MILLION:,} requests the target is "
        f"{TARGET_SECONDS:.0f} s."
    )


def _table(*columns: str, markdown: bool) -> Table:
    table = Table(box=box.MARKDOWN if markdown else box.SIMPLE)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table


def _ways(rows: Sequence[Row], *, markdown: bool) -> Table:
    table = _table("Way", "µs a request", "x", "Mean wait found", markdown=markdown)
    for row in rows:
        ratio = "-" if row.ratio is None else f"{row.ratio:.3f}"
        table.add_row(row.name, f"{row.microseconds:.3f} ±{row.spread:.0%}", ratio, f"{row.mean_wait:.6f} s")
    return table


def _wholes(rows: Sequence[Whole], million: int, *, markdown: bool) -> Table:
    table = _table(f"{million:,} requests in a day", "Seconds", "Compiler, once", "Memory", markdown=markdown)
    for row in rows:
        table.add_row(
            row.name, f"{row.seconds:.2f} ±{row.spread:.0%}", f"{row.compile_seconds:.1f} s", f"{row.peak_mb:.0f} MB"
        )
    return table


app = command_line(main, _HELP)

if __name__ == "__main__":
    app()
