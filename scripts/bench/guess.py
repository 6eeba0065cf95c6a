"""Compare answers of which tokens are guessed with the same answers, token by token."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, Final
from unittest.mock import patch

import llama_cpp
import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from lambda_llm.engine.decoder import Decoder
from lambda_llm.engine.generate import Generation, GenerationRequest
from lambda_llm.engine.guesses import measured
from lambda_llm.engine.loaded_model import LoadedModel
from lambda_llm.engine.matcher import compiled
from lambda_llm.engine.prefix_cache import PrefixCache
from lambda_llm.engine.sampling import Sampling
from lambda_llm.engine.threads import available_cpus
from lambda_llm.errors import LambdaLLMError
from lambda_llm.gguf.memory_plan import GUESSED_MAX
from lambda_llm.gguf.options import Guess, ModelOptions, Weights
from scripts.bench.common import (
    AsJSON,
    Markdown,
    ModelFile,
    Show,
    Synthesize,
    Threads,
    command_line,
    ended_by,
    named,
    printer,
    progress_bar,
)
from scripts.bench.guess_texts import Workload, workloads
from scripts.bench.measurement import cpu_name, machine
from scripts.bench.timed_answer import Answer, timed

REPEATS: Final = 3
CONTEXT: Final = 2048
_LIKELY: Final = 1e9
"""A logit that no other reaches."""

_HELP: Final = """Print how much faster answers are of which tokens are guessed.

[bold]What it answers.[/bold] What guessing saves depends on two things: how often guesses are right, which is a \
matter of the text, and what four tokens cost at once, which is a matter of model, kernels and machine.

[bold]How it measures.[/bold] The texts of prompts and answers are given (scripts/bench/guess_texts.py), so that a \
model with random weights will do: it computes every token, and samples it, but the logit of the given answer's next \
token is raised above all others. So the time is the model's, and the acceptance the text's. One process, one model; \
each round has the same answer with guesses, without, and, where a schema forces tokens, also without evaluating \
these together. Prompts are in the cache. Ratios are taken within each round; by CPU time they mean most with \
--threads 1.

[bold]What is not in it.[/bold] A real model may say what it quotes in other words, and less of its answer can be \
guessed then. Guesses are on here even where the measured cost would switch them off.

[dim]Example[/dim]
  python -m scripts.bench.guess --synthesize llama-3.2-1b:Q4_0 --markdown
  python -m scripts.bench.guess --show measured.json --markdown
"""


class Replay(Decoder):
    """Computes as any other, and then finds the next token of a given answer the likeliest."""

    _from: int
    _seen: int
    _rest: bytes
    _tokens: list[int]
    _places: dict[int, int]
    _place: int
    _at: int
    _end: int

    def replay(self, prompt: int, answer: str) -> None:
        """Begin an answer.

        Args:
            prompt: length of its prompt in tokens.
            answer: what it shall be.
        """
        self._from, self._seen = prompt, 0
        self._rest = answer.encode()
        self._plan()

    def logits(self) -> Any:
        """The computed logits, with the given token's raised in place."""
        logits = super().logits()
        for token in self.evaluated[self._from + self._seen :]:
            self._seen += 1
            self._go_on(token)
        logits[self._tokens[self._place] if self._place < len(self._tokens) else self._end] = _LIKELY
        return logits

    def _go_on(self, token: int) -> None:
        """Follow the answer by bytes: forced tokens may spell it in other tokens than the tokenizer."""
        size = len(self.model.piece(token, control=True))
        self._rest = self._rest[size:]
        self._at += size
        if self._at in self._places:
            self._place = self._places[self._at]
        else:
            self._plan()

    def _plan(self) -> None:
        text = self._rest.decode(errors="replace")
        self._tokens = self.model.tokenize(text, add_special=False)
        ends = accumulate((len(self.model.piece(token, control=True)) for token in self._tokens), initial=0)
        self._places = {end: number for number, end in enumerate(ends)}
        self._at = self._place = 0
        self._end = int(llama_cpp.llama_vocab_eot(self.model.vocabulary))
        if self._end < 0:
            self._end = int(llama_cpp.llama_vocab_eos(self.model.vocabulary))


def main(
    model: ModelFile = None,
    *,
    synthesize: Synthesize = None,
    threads: Threads = None,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = REPEATS,
    show: Show = None,
    markdown: Markdown = False,
    as_json: AsJSON = False,
) -> None:
    """Measure; the help text is `_HELP`."""
    if show:
        result = json.loads(show.read_text(encoding="utf-8"))
    else:
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
        LambdaLLMError: the model can't be loaded, or says something else than it is given.
    """
    options = ModelOptions(context_length=CONTEXT, threads=threads, placement=Weights.COPIED, guess=Guess.ON)
    with LoadedModel(str(path), options.placement) as model, Replay(model, options) as decoder:
        with decoder.lock:
            decoder.evaluate(model.tokenize(workloads()[0].prompt, add_special=True))
            cost = measured(decoder)
        if cost is None:
            raise LambdaLLMError(
                "Nothing can be guessed with this model, as its KV cache can't be cut: use another one."
            )
        decoder.guess_cost = cost.ratio
        answers = {}
        with progress_bar(escape(path.name), len(workloads()) * repeats) as progress:
            for each in workloads():
                rounds = []
                for _ in range(repeats):
                    rounds.append(_round(decoder, each))
                    progress(each.name)
                answers[each.name] = _summary(rounds, each.target)
        return {
            "model": path.name,
            "threads": threads,
            "repeats": repeats,
            "token_seconds": cost.token_seconds,
            "cost": cost.ratio,
            "pays": cost.pays,
            "answers": answers,
        }


def _round(decoder: Replay, workload: Workload) -> dict[str, Answer]:
    """The answer in every way, once."""
    ways = {"guessed": (True, True), "not guessed": (False, True)}
    if workload.constraint:
        ways["one by one"] = (False, False)
    return {
        name: _answer(decoder, workload, guess=guess, together=together) for name, (guess, together) in ways.items()
    }


def _answer(decoder: Replay, workload: Workload, *, guess: bool, together: bool) -> Answer:
    """Generate the answer once."""
    prompt = decoder.model.tokenize(workload.prompt, add_special=True)
    constraint = compiled(workload.constraint, decoder.trie) if workload.constraint else None
    request = GenerationRequest(prompt, Sampling(temperature=0, constraint=constraint))
    with decoder.lock:
        decoder.evaluate(prompt)
    decoder.replay(len(prompt), workload.answer)
    with patch.object(decoder, "guess_cost", decoder.guess_cost if guess else None):
        going = Generation(request, decoder, PrefixCache(decoder))
    text, answer = timed(going, decoder, together=together)
    if text != workload.answer:
        raise LambdaLLMError(f"The model did not say the given answer ({workload.name}): use another one.")
    return answer


def _summary(rounds: Sequence[Mapping[str, Answer]], target: float) -> dict[str, Any]:
    slowest = "one by one" if "one by one" in rounds[0] else "not guessed"

    def ratios(way: str, clock: str) -> list[float]:
        return [getattr(each[way], clock) / getattr(each["guessed"], clock) for each in rounds]

    return {
        **{way: asdict(answer) for way, answer in rounds[-1].items()},
        "ratios": ratios(slowest, "seconds"),
        "ratio": statistics.median(ratios(slowest, "seconds")),
        "cpu_ratio": statistics.median(ratios(slowest, "cpu")),
        "guesses_alone": statistics.median(ratios("not guessed", "seconds")),
        "target": target,
    }


def _print(result: Mapping[str, Any], *, markdown: bool) -> None:
    out = printer(markdown=markdown)
    table = Table(box=box.MARKDOWN if markdown else box.SIMPLE_HEAD)
    for column in (
        "Answer",
        "Tokens",
        "Evaluations",
        "Guessed",
        "Right",
        "Times faster",
        "Target",
        "By CPU time",
        "By guesses alone",
    ):
        table.add_column(column, justify="left" if column == "Answer" else "right")
    for name, each in result["answers"].items():
        guessed = each["guessed"]
        met = "" if each["ratio"] >= each["target"] else ", missed"
        table.add_row(
            name,
            f"{guessed['tokens']}",
            f"{guessed['evaluations']}",
            f"{guessed['guessed']}",
            f"{guessed['accepted']}",
            f"{each['ratio']:.2f} ({min(each['ratios']):.2f} to {max(each['ratios']):.2f})",
            f"{each['target']:.2f}{met}",
            f"{each['cpu_ratio']:.2f}",
            f"{each['guesses_alone']:.2f}",
        )
    out.print(table)
    out.print(
        f"{result['model']}, {result['threads']} threads, {cpu_name()}, {result['machine']['cpus']} CPUs, load before "
        f"{result['machine']['load_before']}; medians of {result['repeats']} rounds. A token takes "
        f"{result['token_seconds'] * 1000:.1f} ms, and {result['cost']:.2f} times as long with {GUESSED_MAX} guessed "
        f"ones behind it, so guesses are {'on' if result['pays'] else 'off'} by themselves here.",
        soft_wrap=True,
    )


app = command_line(main, _HELP)

if __name__ == "__main__":
    app()
