"""Count the answers of a model that guessed tokens change, and by how much they change its logits."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer

from lambda_llm.engine.chat_template import ChatTemplate
from lambda_llm.engine.decoder import Decoder, common_prefix
from lambda_llm.engine.generate import Generation, GenerationRequest
from lambda_llm.engine.loaded_model import LoadedModel
from lambda_llm.engine.prefix_cache import PrefixCache
from lambda_llm.engine.sampling import Sampling
from lambda_llm.gguf.options import Guess, ModelOptions, Weights
from scripts.bench.common import AsJSON, command_line, printer, progress_bar
from scripts.demo import MODEL
from scripts.models.demo_model.corpus import EVALUATION
from scripts.models.demo_model.examination import read

CONTEXT: Final = 2048
TEMPERATURE: Final = 0.8
"""Of the seeded answers."""
ROUNDING: Final = 0.2
"""Of logits with a standard deviation of 2: activations are rounded to 8 bits for each multiplication with quantized
weights, and a prompt that is divided otherwise changes them by half as much."""

_HELP: Final = """Answer the demo model's evaluation with guessed tokens and without, and compare.

[bold]What it answers.[/bold] The sampler chooses every token, so an answer could only change because a row of four is \
rounded in another way than a row alone. For each question the tokens are compared, and the logits that they were \
chosen by, up to the first token that differs.

[bold]How.[/bold] Each question is answered greedily, and with a seed at temperature 0.8. Every other one has the \
expected answer as its `prediction`; else guesses come from prompt and answer. Exits with 1 if logits differ by more \
than rounding.

[dim]Example[/dim]
  python -m scripts.bench.guess_answers
"""


class Recording(Decoder):
    """Remembers the tokens that were sampled, and by which logits."""

    def __init__(self, model: LoadedModel, options: ModelOptions) -> None:
        super().__init__(model, options)
        self.rows: list[Any] = []
        self.tokens: list[int] = []

    def sample(self, sampler: Any) -> int:
        """See `Decoder.sample`."""
        self.rows.append(self.logits().copy())
        self.tokens.append(super().sample(sampler))
        return self.tokens[-1]


@dataclass
class Comparison:
    """Answers with guesses and without.

    Attributes:
        answers: how many were compared.
        tokens: in all of them.
        guessed: tokens that were guessed.
        accepted: those of them that were chosen.
        differing: the questions, each with the place of the first token that differs.
        largest: difference between two logits that should be equal.
    """

    answers: int = 0
    tokens: int = 0
    guessed: int = 0
    accepted: int = 0
    differing: list[tuple[str, int]] = field(default_factory=list)
    largest: float = 0.0

    @property
    def rounded(self) -> bool:
        """Whether nothing but rounding can be the reason of a difference."""
        return self.largest <= ROUNDING


class Pair:
    """One model in two contexts: without guesses, and with them."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        """Open the model; `close` it.

        Args:
            path: of a GGUF file.
            threads: for each context.
        """
        self._model = LoadedModel(str(path), Weights.COPIED)
        self._template = ChatTemplate(self._model)
        self._decoders = [
            Recording(self._model, ModelOptions(context_length=CONTEXT, threads=threads, guess=guess))
            for guess in (Guess.OFF, Guess.ON)
        ]

    def compare(self, cases: Iterable[Mapping[str, Any]], step: Callable[[str], object] = lambda _: None) -> Comparison:
        """Answer each case twice in both contexts.

        Args:
            cases: lines of the demo model's evaluation.
            step: called after each with its kind.
        """
        found = Comparison()
        for number, case in enumerate(cases):
            # Results of tools are in the evaluation as the template renders them, which needs no ids of calls.
            messages = [{"tool_call_id": ""} | message for message in case["messages"]]
            prompt = self._template.prompt(messages, case.get("tools") or ()).tokens
            predicted = self._model.tokenize(case["answer"], add_special=False) if number % 2 else []
            for sampling in (Sampling(temperature=0), Sampling(temperature=TEMPERATURE, seed=number)):
                request = GenerationRequest(prompt, sampling, max_tokens=200, predicted=predicted)
                self._answer(request, str(case["messages"][-1]["content"]), found)
            step(case["kind"])
        return found

    def close(self) -> None:
        """Free the model."""
        for decoder in self._decoders:
            decoder.close()
        self._model.close()

    def _answer(self, request: GenerationRequest, question: str, found: Comparison) -> None:
        for decoder in self._decoders:
            decoder.rows.clear()
            decoder.tokens.clear()
            with decoder.lock:
                decoder.truncate(0)  # the other context's cache may have another beginning of the prompt
            going = Generation(request, decoder, PrefixCache(decoder))
            "".join(going)
        plain, guessing = self._decoders
        found.answers += 1
        found.tokens += len(guessing.tokens)
        found.guessed += going.stats.guessed_tokens
        found.accepted += going.stats.accepted_tokens
        same = common_prefix(plain.tokens, guessing.tokens)
        found.largest = max(found.largest, _difference(plain.rows[: same + 1], guessing.rows[: same + 1]))
        if plain.tokens != guessing.tokens:
            found.differing.append((question, same))


def _difference(rows: Sequence[Any], others: Sequence[Any]) -> float:
    return max(float(np.abs(row - other).max()) for row, other in zip(rows, others, strict=False))


def main(
    *,
    every: Annotated[int, typer.Option(min=1, help="Ask every so-manieth question only.")] = 1,
    as_json: AsJSON = False,
) -> None:
    """Compare; the help text is `_HELP`."""
    cases = read(EVALUATION)[::every]
    pair = Pair(MODEL)
    try:
        with progress_bar(MODEL.name, len(cases)) as progress:
            found = pair.compare(cases, progress)
    finally:
        pair.close()
    if as_json:
        print(json.dumps(vars(found)))
    else:
        printer(markdown=False).print(
            f"{found.answers:,} answers of {found.tokens:,} tokens, of which {found.accepted:,} of {found.guessed:,} "
            f"guessed ones were right: {len(found.differing)} answers differ. Logits differ by {found.largest:.3g} at "
            f"most{'' if found.rounded else ', which is more than rounding'}.",
            soft_wrap=True,
        )
    if not found.rounded:
        raise typer.Exit(1)


app = command_line(main, _HELP)

if __name__ == "__main__":
    app()
