"""Measure tokens per second of llama.cpp on this machine: one process per measurement, in alternation.

`threads.py` is the command line. On Lambda, which has no shell, the module is a handler: `measurement.handle`;
docs/threads.md says how to use it. It needs only the function's own packages.
"""

import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Final

from lambda_llm.engine.threads import available_cpus
from lambda_llm.errors import LambdaLLMError
from lambda_llm.gguf.header import Header
from lambda_llm.gguf.options import KVType, ModelOptions, Weights
from lambda_llm.inference.settings import Settings
from lambda_llm.inference.snapshot.memory import available_memory
from lambda_llm.loading.load import Loaded, load

PROMPT_TOKENS: Final = 256
ANSWER_TOKENS: Final = 32
REPEATS: Final = 3
NEW_TOKENS: Final = (16, 32, 48, 64, 74, 128)

WARM_TOKENS: Final = 32
"""Enough to have every weight's page and llama.cpp's buffers in memory before the clock starts."""

FILE_TYPES: Final[Mapping[int, str]] = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    25: "IQ4_NL",
    30: "IQ4_XS",
    32: "BF16",
}
"""Mixes of tensor types by llama.cpp's number. Source: enum llama_ftype in llama.cpp's include/llama.h."""

ARM_CORES: Final[Mapping[str, str]] = {
    "0xd0c": "Neoverse N1 (Graviton2)",
    "0xd40": "Neoverse V1 (Graviton3)",
    "0xd4f": "Neoverse V2 (Graviton4)",
    "0xd83": "Neoverse V3AE",
    "0xd84": "Neoverse V3",
}
"""CPU parts, which Linux on arm64 reports only as a number. Source: https://docs.kernel.org/arch/arm64/cpu-feature-registers.html
and the parts' reference manuals (MIDR_EL1)."""

NOTABLE: Final = ("OPENMP", "KLEIDIAI")
"""Build features of llama.cpp that are reported beside its CPU backend."""

_TEXT: Final = "A river runs through seven towns, and in each of them somebody counts the boats that pass. "

Progress = Callable[[str], None]
"""Called with a few words on what has just been measured."""


class MeasurementError(LambdaLLMError):
    """A measurement could not be made."""


class Clock(StrEnum):
    """What a second is: `wall`, elapsed time, or `cpu`, CPU time of all threads together."""

    WALL = "wall"
    CPU = "cpu"


@dataclass(frozen=True)
class Combination:
    """What is varied between the rows of one model.

    Attributes:
        threads: threads that llama.cpp computes with.
        placement: `copied` (repacked) or `mapped` (as in the file).
        libraries: folder with llama.cpp's libraries; None: those that the package uses.
    """

    threads: int
    placement: Weights
    libraries: Path | None = None


@dataclass(frozen=True)
class Timing:
    """One stretch of work.

    Attributes:
        tokens: how many were evaluated.
        wall: seconds elapsed.
        cpu: seconds of CPU time, summed over the process's threads.
    """

    tokens: int
    wall: float
    cpu: float

    def rate(self, clock: Clock) -> float:
        """Return tokens per second of that clock."""
        return self.tokens / max(self.wall if clock is Clock.WALL else self.cpu, 1e-9)


@dataclass(frozen=True)
class Sample:
    """What one process measured.

    Attributes:
        backend: llama.cpp's CPU backend, with notable build features.
        prefill: evaluation of a prompt in batches.
        decode: evaluation of an answer token by token, sampling included.
        turns: evaluation of few new tokens behind many, by the number of both: `16 after 2048`; and of the many behind
            nothing: `2048 after 0`.
    """

    backend: str
    prefill: Timing
    decode: Timing
    turns: Mapping[str, Timing] = field(default_factory=dict)


@dataclass(frozen=True)
class Speed:
    """Summary of one row's repeats.

    Attributes:
        tokens_per_second: median.
        ratio: median of the ratios to the baseline's measurement of the same round.
        spread: half of the range of those rates, as a share of the median.
    """

    tokens_per_second: float
    ratio: float
    spread: float


@dataclass(frozen=True)
class Row:
    """One combination's result.

    Attributes:
        model: its name.
        quantization: llama.cpp's name of the mix of tensor types.
        threads: threads computed with.
        placement: `copied` or `mapped`.
        libraries: the given folder, or `default`.
        backend: as in `Sample`.
        baseline: whether the model's other rows are compared with this one.
        prefill: by clock.
        decode: by clock.
        turns: as in `Sample`, by clock.
        on_cpu: share of the threads' time that they spent on a CPU; llama.cpp's threads never sleep while they
            compute, so less than 1 means that something else ran there.
    """

    model: str
    quantization: str
    threads: int
    placement: str
    libraries: str
    backend: str
    baseline: bool
    prefill: Mapping[str, Speed]
    decode: Mapping[str, Speed]
    turns: Mapping[str, Mapping[str, Speed]]
    on_cpu: float


@dataclass(frozen=True)
class Workload:
    """What is measured, and how often.

    Attributes:
        prompt_tokens: length of the prompt.
        answer_tokens: length of the answer.
        repeats: rounds; each measures every combination once.
        busy: busy-looping processes beside each measurement.
        after: numbers of tokens behind which new ones are evaluated, in ascending order.
        new: numbers of new tokens.
    """

    prompt_tokens: int = PROMPT_TOKENS
    answer_tokens: int = ANSWER_TOKENS
    repeats: int = REPEATS
    busy: int = 0
    after: tuple[int, ...] = ()
    new: tuple[int, ...] = NEW_TOKENS

    @property
    def longest(self) -> int:
        """Tokens that a context must have room for."""
        turn = max(self.after, default=0) + max(self.new, default=0)
        return max(self.prompt_tokens + self.answer_tokens, turn) + 1


def turn_name(new: int, after: int) -> str:
    """Return the name of some new tokens behind others, in the results."""
    return f"{new} after {after}"


def machine() -> dict[str, Any]:
    """Describe what determines this machine's speed; the load is the last minute's average."""
    return {
        "cpu": cpu_name(),
        "architecture": platform.machine(),
        "cpus": available_cpus(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the CPU's name: by `cpuinfo` on x86-64, by part number on arm64, elsewhere by Python."""
    try:
        text = cpuinfo.read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or "unknown"
    if named := re.search(r"^model name\s*: (.+)", text, re.MULTILINE):
        return named[1]
    part = re.search(r"^CPU part\s*: (\w+)", text, re.MULTILINE)
    return ARM_CORES.get(part[1], f"CPU part {part[1]}") if part else "unknown"


def quantization(header: Header) -> str:
    """Return a model's mix of tensor types, or the type of most of its bytes if the header names none."""
    named = FILE_TYPES.get(int(header.metadata.get("general.file_type", -1)))  # type: ignore[arg-type] # a number
    return named or max(header.tensor_types.items(), key=lambda item: item[1])[0]


def measure(
    uri: str,
    combinations: Sequence[Combination],
    workload: Workload,
    *,
    progress: Progress = lambda _: None,
    seconds: float = math.inf,
) -> list[Row]:
    """Measure one model with all combinations.

    The model is loaded once, as the function loads it (`LAMBDA_LLM_*` variables apply), and passed to one process
    after the other. The first combination is the baseline. Combinations alternate, so that slow changes of the
    machine, such as its clock or its neighbours, affect all equally.

    Args:
        uri: `s3://bucket/key`, `file:///path` or a path.
        combinations: at least one.
        workload: what to compute.
        progress: called after each measurement.
        seconds: time budget; no round starts that would probably exceed it.

    Raises:
        LambdaLLMError: the model can't be loaded, or a measurement failed.
    """
    end = time.monotonic() + seconds
    context = 256 * math.ceil(workload.longest / 256)
    settings = Settings.load(model=uri)
    copied = any(each.placement is Weights.COPIED for each in combinations)
    loaded = load(
        settings.reference,
        options=ModelOptions(
            context_length=context,
            kv_type=settings.kv_type,
            placement=Weights.COPIED if copied else Weights.MAPPED,
        ),
        memory=available_memory(settings),
        seconds=settings.load_seconds,
    )
    rounds: list[list[Sample]] = []
    longest = 0.0
    with loaded.file, _neighbours(workload.busy):
        while len(rounds) < workload.repeats and (not rounds or time.monotonic() + longest < end):
            began = time.monotonic()
            samples = []
            for each in combinations:
                samples.append(_in_a_process(loaded, each, workload, settings, context))
                progress(f"{each.threads} threads, {each.placement.value}, round {len(rounds) + 1}")
            rounds.append(samples)
            longest = max(longest, time.monotonic() - began)
    header = loaded.inspection.header
    name = header.name or loaded.inspection.reference.name
    return [summary(name, quantization(header), index, each, rounds) for index, each in enumerate(combinations)]


def summary(name: str, mix: str, index: int, combination: Combination, rounds: Sequence[Sequence[Sample]]) -> Row:
    """Summarize one combination's measurements.

    Args:
        name: the model's.
        mix: the model's quantization.
        index: which of the combinations it is; 0 is the baseline.
        combination: what was measured.
        rounds: a sample for each combination, for each round.
    """
    own = [samples[index] for samples in rounds]
    base = [samples[0] for samples in rounds]

    def speeds(part: Callable[[Sample], Timing]) -> dict[str, Speed]:
        return {clock.value: _speed([part(each).rate(clock) for each in own], part, clock) for clock in Clock}

    def _speed(rates: list[float], part: Callable[[Sample], Timing], clock: Clock) -> Speed:
        ratios = [rate / part(other).rate(clock) for rate, other in zip(rates, base, strict=True)]
        median = statistics.median(rates)
        return Speed(median, statistics.median(ratios), (max(rates) - min(rates)) / 2 / median)

    shares = [
        (each.prefill.cpu + each.decode.cpu) / (each.prefill.wall + each.decode.wall) / combination.threads
        for each in own
    ]
    return Row(
        model=name,
        quantization=mix,
        threads=combination.threads,
        placement=combination.placement.value,
        libraries=str(combination.libraries or "default"),
        backend=own[0].backend,
        baseline=index == 0,
        prefill=speeds(lambda each: each.prefill),
        decode=speeds(lambda each: each.decode),
        turns={name: speeds(partial(_turn, name)) for name in own[0].turns},
        on_cpu=statistics.median(shares),
    )


def _turn(name: str, sample: Sample) -> Timing:
    return sample.turns[name]


def _in_a_process(
    loaded: Loaded, combination: Combination, workload: Workload, settings: Settings, context: int
) -> Sample:
    """Measure in a new process: llama.cpp's libraries can be chosen only once in each."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        # NumPy's threads are not needed here, but spin for a while after their start.
        "OPENBLAS_NUM_THREADS": "1",
    }
    if combination.libraries:
        environment["LLAMA_CPP_LIB_PATH"] = str(combination.libraries.resolve())
    task = {
        "path": loaded.file.path,
        "placement": combination.placement.value,
        "threads": combination.threads,
        "context": context,
        "kv_type": settings.kv_type.value,
        "prompt_tokens": workload.prompt_tokens,
        "answer_tokens": workload.answer_tokens,
        "after": workload.after,
        "new": workload.new,
    }
    done = subprocess.run(
        [sys.executable, __file__, json.dumps(task)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        pass_fds=[int(loaded.file.path.rpartition("/")[2])],
    )
    if done.returncode != 0:
        how = f"was killed by signal {-done.returncode}" if done.returncode < 0 else "failed"
        raise MeasurementError(
            f"The measurement with {combination.threads} threads, weights {combination.placement.value}, {how}: "
            f"{done.stderr.strip()[-600:] or 'it printed nothing'}"
        )
    result = json.loads(done.stdout)
    turns = {name: Timing(**each) for name, each in result["turns"].items()}
    return Sample(result["backend"], Timing(**result["prefill"]), Timing(**result["decode"]), turns)


@contextmanager
def _neighbours(count: int) -> Iterator[None]:
    """Run busy-looping processes; they end with this one, however it ends."""
    busy = f"import os\nwhile os.getppid() == {os.getpid()}: pass"
    running = [subprocess.Popen([sys.executable, "-c", busy]) for _ in range(count)]
    try:
        yield
    finally:
        for each in running:
            each.kill()
            each.wait()


def work(task: Mapping[str, Any]) -> Sample:
    """Measure in this process.

    Args:
        task: from `_in_a_process`.
    """
    import llama_cpp  # noqa: PLC0415 - only the measured process may load the libraries

    from lambda_llm.engine import backend  # noqa: PLC0415 - as above
    from lambda_llm.engine.decoder import Decoder  # noqa: PLC0415 - as above
    from lambda_llm.engine.loaded_model import LoadedModel  # noqa: PLC0415 - as above

    options = ModelOptions(
        context_length=task["context"],
        kv_type=KVType(task["kv_type"]),
        placement=Weights(task["placement"]),
        threads=task["threads"],
    )
    with LoadedModel(task["path"], options.placement) as model, Decoder(model, options) as decoder:
        features = llama_cpp.llama_print_system_info().decode()
        notable = [name for name in NOTABLE if f"{name} = 1" in features]
        text = _TEXT
        while len(tokens := model.tokenize(text, add_special=False)) < task["context"]:
            text *= 2
        prompt = tokens[: task["prompt_tokens"]]
        sampler = llama_cpp.llama_sampler_init_greedy()
        try:
            decoder.evaluate(prompt[::-1][:WARM_TOKENS])
            decoder.append(decoder.sample(sampler))
            cached = 0

            def prefill() -> None:
                nonlocal cached
                cached = decoder.evaluate(prompt)

            def decode() -> None:
                # End-of-turn tokens don't stop it.
                for _ in range(task["answer_tokens"]):
                    decoder.append(decoder.sample(sampler))

            wall, cpu = _timed(prefill)
            evaluated = Timing(len(prompt) - cached, wall, cpu)
            wall, cpu = _timed(decode)
            turns = _turns(decoder, tokens, task["after"], task["new"])
        finally:
            llama_cpp.llama_sampler_free(sampler)
        decoded = Timing(task["answer_tokens"], wall, cpu)
        return Sample(" + ".join([backend.variant(), *notable]), evaluated, decoded, turns)


def _turns(decoder: Any, tokens: Sequence[int], after: Sequence[int], new: Sequence[int]) -> dict[str, Timing]:
    """Evaluate each number of new tokens behind each number of others (the quicker of two), and the others once."""
    turns = {}
    wall = cpu = 0.0
    decoder.truncate(0)
    for history in after:
        more = _timed(partial(decoder.append, *tokens[len(decoder.evaluated) : history]))
        wall, cpu = wall + more[0], cpu + more[1]
        turns[turn_name(history, 0)] = Timing(history, wall, cpu)
        for count in new:
            timed = []
            for _ in range(2):
                decoder.truncate(history)
                timed.append(_timed(partial(decoder.append, *tokens[history : history + count])))
            turns[turn_name(count, history)] = Timing(count, *(min(each) for each in zip(*timed, strict=True)))
        decoder.truncate(history)
    return turns


def _timed(action: Callable[[], None]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - wall, time.process_time() - cpu


def handle(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Measure on Lambda; `threads.py --show` prints the result as a table.

    Args:
        event: `model` (s3://…), and optionally `threads` (a list), `placements` (a list),
            `prompt_tokens`, `answer_tokens`, `repeats`, `after` (a list) and `new` (a list).
        context: Lambda's; its remaining time is the budget; rounds that no longer fit are skipped.

    Example: `{"model": "s3://bucket/model.gguf", "threads": [4, 5, 6]}`
    """
    placements = event.get("placements", [Weights.COPIED.value, Weights.MAPPED.value])
    combinations = [
        Combination(threads, Weights(placement))
        for placement in placements
        for threads in event.get("threads", [available_cpus()])
    ]
    workload = Workload(
        event.get("prompt_tokens", PROMPT_TOKENS),
        event.get("answer_tokens", ANSWER_TOKENS),
        event.get("repeats", REPEATS),
        after=tuple(sorted(event.get("after", ()))),
        new=tuple(event.get("new", NEW_TOKENS)),
    )
    here = machine()
    left = context.get_remaining_time_in_millis() / 1000 - 5
    return report(here, workload, measure(event["model"], combinations, workload, seconds=left))


def report(here: Mapping[str, Any], workload: Workload, rows: Sequence[Row]) -> dict[str, Any]:
    """Return the whole result for JSON."""
    return {"machine": dict(here), **asdict(workload), "rows": [asdict(row) for row in rows]}


if __name__ == "__main__":
    try:
        print(json.dumps(asdict(work(json.loads(sys.argv[1])))))
    except LambdaLLMError as error:
        sys.exit(str(error))
