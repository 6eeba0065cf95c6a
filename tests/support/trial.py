"""Opening mutations of a model, many in a process: what becomes of each.

The process is this module, run by `outcomes`. It writes a line for each mutation: its number, a tab, and `opened` or
the sentence of the refusal.
"""

import logging
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gguf import Keys

from lambda_llm.engine.engine import Engine
from lambda_llm.errors import LambdaLLMError
from lambda_llm.gguf.known import ARCHITECTURES
from lambda_llm.gguf.memory_plan import plan_memory
from lambda_llm.gguf.options import ModelOptions, Weights
from lambda_llm.limits import MIB
from lambda_llm.loading.load import inspect
from lambda_llm.loading.sources.base import ModelReference
from scripts import ROOT
from support.mutations import mutated, taken_apart

OPENED: Final = "opened"
BREAK: Final = "⏎"
"""Stands for the end of a line in a sentence, which should have none."""
MEMORY: Final = 1024 * MIB
ADDRESS_SPACE: Final = 6 * 1024 * MIB


def outcomes(model: Path, numbers: range) -> Iterator[tuple[int, str]]:
    """Try mutations of a model; yields each one's number and outcome. A process that died is told as `died: …`."""
    at = numbers.start
    while at < numbers.stop:
        done = subprocess.run(
            [sys.executable, "-m", __name__, model, str(at), str(numbers.stop)],
            env={
                **os.environ,
                "MALLOC_ARENA_MAX": "2",
                "PYTHONPATH": os.pathsep.join(str(ROOT / each) for each in ("functions", "tests", ".")),
            },
            capture_output=True,
            timeout=600,
            check=False,
        )
        lines = done.stdout.decode(errors="replace").split("\n")[:-1]
        for line in lines:
            number, _, outcome = line.partition("\t")
            at = int(number) + 1
            yield int(number), outcome
        if done.returncode:
            at = max(at, numbers.start)
            yield at, f"died: {done.returncode}, {done.stderr.decode(errors='replace')[-500:]}"
            at += 1


def keys(architecture: str) -> tuple[str, ...]:
    """Every key that package gguf knows."""
    found: list[str] = []
    for group in vars(Keys).values():
        if isinstance(group, type):
            found += [value for value in vars(group).values() if isinstance(value, str) and "." in value]
    return tuple(sorted({each.replace("{arch}", architecture) for each in found}))


def try_it(path: str, placement: Weights) -> None:
    """Open a model as `init` does, and evaluate something."""
    inspection = inspect(ModelReference(path))
    options = ModelOptions(placement=placement, threads=1)
    plan = plan_memory(inspection.header, inspection.described.size, options, memory=MEMORY)
    plan.require()
    with Engine.open(path, plan, encodes=inspection.header.encodes) as engine:
        tokens = engine.model.tokenize("Hello, 1\n<s> wörld", add_special=True)[: plan.context_length - 1] or [0]
        for token in range(min(engine.model.vocabulary_size, 400)):
            engine.model.piece(token, control=True)
        if engine.encodes:
            engine.encoder.encode([tokens])
        else:
            engine.decoder.evaluate(tokens)
            engine.decoder.logits()


def main(model: str, start: int, stop: int) -> None:
    """Try mutations `start` to `stop` of a model."""
    logging.disable(logging.ERROR)  # only what ends the process is told
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    parts = taken_apart(Path(model).read_bytes())
    known, architectures = keys(parts.architecture), tuple(sorted(ARCHITECTURES))
    for number in range(start, stop):
        file = os.memfd_create("mutation")
        with os.fdopen(file, "wb") as writer:
            writer.write(mutated(parts, number, known, architectures))
            writer.flush()
            sys.stdout.flush()
            try:
                try_it(f"/proc/self/fd/{file}", Weights.MAPPED if number % 2 else Weights.COPIED)
                outcome = OPENED
            except LambdaLLMError as error:
                outcome = str(error).replace("\n", BREAK)
        sys.stdout.write(f"{number}\t{outcome}\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
