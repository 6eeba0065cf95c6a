"""Compare constrained answers whose forced tokens are evaluated together with the same answers, token by token."""

import json
import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from lambda_llm.engine.constraints import Constraint, schema_constraint
from lambda_llm.engine.engine import Engine
from lambda_llm.engine.generate import FinishReason, GenerationRequest
from lambda_llm.engine.matcher import compiled
from lambda_llm.engine.sampling import Sampling
from lambda_llm.engine.schemas import enforceable
from lambda_llm.engine.threads import available_cpus
from lambda_llm.engine.tool_call_formats import hermes
from lambda_llm.engine.tool_call_formats.base import Tool
from lambda_llm.errors import LambdaLLMError
from lambda_llm.gguf.options import ModelOptions
from scripts.bench.common import (
    AsJSON,
    Markdown,
    ModelFile,
    Synthesize,
    Threads,
    command_line,
    ended_by,
    named,
    printer,
    progress_bar,
)
from scripts.bench.measurement import cpu_name, machine
from scripts.bench.timed_answer import Answer, timed
from scripts.models.opening import open_engine

REPEATS: Final = 5
PROMPT: Final = "A boat of seven tons leaves for the northern harbour at noon. Fill in its record."
SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "departure_harbour": {"enum": ["north", "south", "west"]},
        "destination_harbour": {"enum": ["north", "south", "west"]},
        "weight_in_tons": {"type": "integer", "minimum": 1, "maximum": 99},
        "carries_passengers": {"type": "boolean"},
        "departure_time": {"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}$"},
        "inspection_required": {"type": "boolean"},
    },
    "required": [
        "departure_harbour",
        "destination_harbour",
        "weight_in_tons",
        "carries_passengers",
        "departure_time",
        "inspection_required",
    ],
    "additionalProperties": False,
}
"""Names as long as they are in practice; values that come to an end whatever the model says."""

_HELP: Final = """Print what evaluating forced tokens together brings for a strict JSON answer and for a tool call.

[bold]What it answers.[/bold] A schema leaves no choice for the names of properties and for much of a call. Such \
tokens are evaluated in one batch instead of one by one.

[bold]How it measures.[/bold] One process, one model, one prompt, which is in the cache: the same constrained answer \
with and without, in alternation, greedy. Ratios are taken within each round. The answers may differ: where a text is \
forced, it is tokenized as the tokenizer does it, while a model may spell it in other tokens. So the ratio is that of \
whole answers, and tokens are listed. On a shared machine, use the ratio by CPU time, with --threads 1.

[dim]Example[/dim]
  python -m scripts.bench.constrained --synthesize llama-3.2-1b:Q4_0
"""


def main(
    model: ModelFile = None,
    *,
    synthesize: Synthesize = None,
    threads: Threads = None,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = REPEATS,
    markdown: Markdown = False,
    as_json: AsJSON = False,
) -> None:
    """Measure; the help text is `_HELP`."""
    path = Path(named(model, synthesize))
    here = machine()
    with ended_by(LambdaLLMError):
        result = {"machine": here} | measure(path, threads or available_cpus(), repeats)
    if as_json:
        print(json.dumps(result))
    else:
        _print(result, markdown=markdown)


def measure(path: Path, threads: int, repeats: int) -> dict[str, Any]:
    """Measure one model; the result is what --json prints.

    Raises:
        LambdaLLMError: the model can't be loaded.
    """
    with open_engine(path, ModelOptions(context_length=2048, threads=threads)) as engine:
        began = time.perf_counter()
        trie = engine.decoder.trie
        vocabulary_seconds = time.perf_counter() - began
        answers = {}
        for name, constraint in _constraints().items():
            began = time.perf_counter()
            ready = compiled(constraint, trie)
            compile_seconds = time.perf_counter() - began
            rounds = []
            with progress_bar(escape(f"{path.name}, {name}"), repeats + 1) as progress:
                for number in range(repeats + 1):  # the first one warms up
                    together, one_by_one = (_answer(engine, ready, together=each) for each in (True, False))
                    rounds.append((together, one_by_one))
                    progress(f"round {number}")
            ratios = [one_by_one.seconds / together.seconds for together, one_by_one in rounds[1:]]
            cpu_ratios = [one_by_one.cpu / together.cpu for together, one_by_one in rounds[1:]]
            answers[name] = {
                "compile_seconds": compile_seconds,
                "together": asdict(rounds[-1][0]),
                "one_by_one": asdict(rounds[-1][1]),
                "ratios": ratios,
                "ratio": statistics.median(ratios),
                "cpu_ratio": statistics.median(cpu_ratios),
            }
        return {
            "model": path.name,
            "threads": threads,
            "vocabulary": engine.model.vocabulary_size,
            "vocabulary_seconds": vocabulary_seconds,
            "answers": answers,
        }


def _constraints() -> dict[str, Constraint]:
    schema = enforceable(SCHEMA, strict=True)
    call = hermes.FORMAT.constraint(
        {0: Tool("record_departure", SCHEMA, strict=True), 1: Tool("cancel_departure", SCHEMA, strict=True)},
        parallel=False,
        optional=False,
        thinking=False,
        markers={},
    )
    return {"strict JSON": schema_constraint(schema, schema), "tool call": call}


def _answer(engine: Engine, constraint: Constraint, *, together: bool) -> Answer:
    """Generate the answer once."""
    prompt = engine.model.tokenize(PROMPT, add_special=True)
    with engine.decoder.lock:
        engine.decoder.evaluate(prompt)
    going = engine.generate(GenerationRequest(prompt, Sampling(temperature=0, constraint=constraint), max_tokens=400))
    _, answer = timed(going, engine.decoder, together=together)
    if going.stats.finish_reason is not FinishReason.STOP:
        raise LambdaLLMError("The model did not come to the end of its answer: use another one.")
    return answer


def _print(result: Mapping[str, Any], *, markdown: bool) -> None:
    out = printer(markdown=markdown)
    table = Table(box=box.MARKDOWN if markdown else box.SIMPLE_HEAD)
    for column in (
        "Answer",
        "Tokens",
        "Evaluations",
        "One by one",
        "Seconds",
        "One by one",
        "Times faster",
        "By CPU time",
    ):
        table.add_column(column, justify="left" if column == "Answer" else "right")
    for name, each in result["answers"].items():
        together, one_by_one = each["together"], each["one_by_one"]
        table.add_row(
            name,
            f"{together['tokens']}",
            f"{together['evaluations']}",
            f"{one_by_one['evaluations']}",
            f"{together['seconds']:.3f}",
            f"{one_by_one['seconds']:.3f}",
            f"{each['ratio']:.2f} ({min(each['ratios']):.2f} to {max(each['ratios']):.2f})",
            f"{each['cpu_ratio']:.2f}",
        )
    out.print(table)
    slowest = max(each["compile_seconds"] for each in result["answers"].values())
    out.print(
        f"{result['model']}, {result['threads']} threads, {cpu_name()}, {result['machine']['cpus']} CPUs, load before "
        f"{result['machine']['load_before']}; medians of {len(each['ratios'])} rounds, seconds of the last one. The "
        f"vocabulary of {result['vocabulary']:,} tokens took {result['vocabulary_seconds']:.2f} s, a constraint "
        f"{slowest * 1000:.1f} ms.",
        soft_wrap=True,
    )


app = command_line(main, _HELP)

if __name__ == "__main__":
    app()
