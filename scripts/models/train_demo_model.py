"""Train the demo model that tests and the demo use, in about three quarters of an hour."""

import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console

from scripts import ROOT

sys.path.insert(0, str(ROOT / "functions"))

from scripts.models.demo_model import corpus
from scripts.models.progress import training_progress

if TYPE_CHECKING:
    from scripts.models.demo_model.network import Parameters, Shape
    from scripts.models.demo_model.tokens import Encoder

DEFAULT_OUTPUT: Final = corpus.FOLDER / "lambda-llm-demo.gguf"
_BATCH_TOKENS: Final = 2048
_LEARNING_RATE: Final = 2e-3
_LATER_RATE: Final = 1.5e-3
"""Peak of the learning rate when trained weights are trained further."""
_TOKENIZER_CONVERSATIONS: Final = 3000
_AGREEMENT: Final = 0.02
"""Largest difference of logits between PyTorch and llama.cpp that rounding explains."""

_HELP: Final = """Train the demo model, or evaluate one.

[bold]What it makes.[/bold] A Llama of 3.5 million parameters that knows Lambda's limits, how lambda-llm works, small
sums, counting and six tools. Its text is models/demo/corpus.toml; AWS's numbers in it come from
lambda_llm.limits. The tokenizer and the chat template are made here too.

[bold]What it checks.[/bold] That llama.cpp computes the same tokens and logits as PyTorch, and that the finished file
answers models/demo/evaluation.jsonl. It fails if a plain question is answered wrong.

[bold]How reproducible it is.[/bold] Text, tokenizer and the order of batches depend on --seed only. The weights are
reproducible on the same CPU with the same PyTorch, --steps and --start; elsewhere sums round differently, so the
weights differ, but the answers should not. With --minutes the clock decides, so nothing is repeatable.

[bold]Needs[/bold] pip install torch tokenizers gguf numpy typer rich, and llama-cpp-python for the checks.

[dim]Examples[/dim]
  python -m scripts.models.train_demo_model
  python -m scripts.models.train_demo_model --minutes 2 --output /tmp/quick.gguf
  python -m scripts.models.train_demo_model --check --output models/demo/lambda-llm-demo.gguf
"""

_console = Console(stderr=True)


def _train(steps: int, minutes: float, seed: int, start: Path | None) -> "tuple[Parameters, Shape, Encoder, Any]":
    """Return trained parameters, their shape, and the tokenizer that they were trained with."""
    # Threads that spin while they wait slow a busy machine down several times.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch  # noqa: PLC0415 - only training needs it, --check does not

    from scripts.models.demo_model import lessons, network, resume, tokens  # noqa: PLC0415 - as above

    torch.manual_seed(seed)
    teacher = corpus.Teacher(seed)
    shape = network.Shape(tokens.VOCABULARY)
    if start:
        parameters, tokenizer = resume.read(start)
    else:
        samples = [teacher.conversation() for _ in range(_TOKENIZER_CONVERSATIONS)]
        tokenizer = tokens.train_tokenizer([message.content for sample in samples for message in sample.messages])
        parameters = network.initialize(shape)
    encoder = tokens.Encoder(tokenizer)
    count = sum(tensor.numel() for tensor in parameters.values())
    _console.print(f"{count:,} parameters, {tokens.VOCABULARY:,} tokens, seed {seed}")

    started, step = time.monotonic(), 0
    with training_progress(_console) as progress:
        task = progress.add_task("training", total=None if minutes else steps)

        def done(loss: float) -> float:
            nonlocal step
            progress.update(task, completed=step, description=f"training, loss {loss:.4f}")
            share = (time.monotonic() - started) / (60 * minutes) if minutes else step / steps
            step += 1
            return share

        batches = lessons.batches(teacher, encoder, tokens=_BATCH_TOKENS, context=shape.context)
        network.train(parameters, shape, batches, learning_rate=_LATER_RATE if start else _LEARNING_RATE, progress=done)
    _console.print(f"trained for {step - 1} steps in {(time.monotonic() - started) / 60:.1f} minutes")
    return parameters, shape, encoder, tokenizer


def _compare(parameters: "Parameters", shape: "Shape", encoder: "Encoder", tokenizer: Any, seed: int) -> None:
    """Verify llama.cpp against the training: same text from the template, same tokens, same logits."""
    import gguf  # noqa: PLC0415 - only training needs it
    import torch  # noqa: PLC0415 - as above

    from scripts.models.demo_model import export, network  # noqa: PLC0415 - as above
    from scripts.models.demo_model.examination import Pupil  # noqa: PLC0415 - needs llama_cpp, which may be missing

    worst = 0.0
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = Path(folder, "exact.gguf")
        export.write(path, parameters, shape, tokenizer, gguf.GGMLQuantizationType.F32)
        pupil = Pupil(path)
        teacher = corpus.Teacher(seed + 1)
        for sample in (teacher.conversation() for _ in range(200)):
            text = "".join(piece for piece, _ in encoder.pieces(sample))
            messages = [{"role": message.role, "content": message.content} for message in sample.messages]
            templated = pupil.prompt(messages, list(sample.tools) or None)
            if not templated.startswith(text):
                raise ValueError(f"The chat template renders {templated!r}, the training text is {text!r}")
            ids, _ = encoder.encode(sample)
            if pupil.ids(text) != ids:
                raise ValueError(f"llama.cpp tokenizes differently: {text!r}")
            ours = network.logits(parameters, network.hidden(parameters, shape, torch.tensor([ids])))[0].numpy()
            worst = max(worst, float(abs(ours - pupil.logits(ids)).max()))
    _console.print(f"llama.cpp: same template, same tokens, logits within {worst:.5f}")
    if worst > _AGREEMENT:
        raise ValueError(f"Logits of llama.cpp and PyTorch differ by {worst}, more than {_AGREEMENT}")


def _check(path: Path) -> bool:
    """Evaluate a file and print the model card's numbers; returns whether all plain questions were answered right."""
    data = path.read_bytes()
    print(f"{path.name}: {len(data):,} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}")
    try:
        from scripts.models.demo_model.examination import Pupil, examine, read  # noqa: PLC0415 - needs llama_cpp
    except ImportError:
        _console.print("llama-cpp-python is not installed, so the file was not evaluated", style="yellow")
        return True
    cases = read(corpus.EVALUATION)
    with training_progress(_console) as progress:
        task = progress.add_task("examination", total=len(cases))
        report = examine(Pupil(path), cases, lambda: progress.advance(task))
    print("| Kind | Asked | Right | Share | Smallest margin in logits |\n|---|---|---|---|---|")
    print("\n".join(report.lines()))
    for wrong in report.wrong:
        _console.print(f"{wrong['kind']}: {wrong['question']} -> {wrong['answer'][:120]}", markup=False)
    return report.right["plain"] == report.asked["plain"]


def main(
    output: Annotated[Path, typer.Option(help="The GGUF file to write, or with --check to read.")] = DEFAULT_OUTPUT,
    steps: Annotated[int, typer.Option(min=1, help="Batches of about 2,048 tokens to train on.")] = 7600,
    minutes: Annotated[float, typer.Option(min=0, help="Train for this long instead of --steps.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed of text, tokenizer and weights.")] = 20261122,
    start: Annotated[Path | None, typer.Option(help="Go on from this GGUF file, with its tokenizer.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Only evaluate an existing file.")] = False,  # noqa: FBT002 - a flag
) -> None:
    """Train and evaluate the model; the help text is `_HELP`."""
    if not check:
        import gguf  # noqa: PLC0415 - only training needs it

        from scripts.models.demo_model import export  # noqa: PLC0415 - as above

        corpus.TRAINING.write_text(corpus.training_text(), encoding="utf-8")
        corpus.EVALUATION.write_text(corpus.evaluation_text(), encoding="utf-8")
        parameters, shape, encoder, tokenizer = _train(steps, minutes, seed, start)
        export.write(output, parameters, shape, tokenizer, gguf.GGMLQuantizationType.Q8_0)
        try:
            _compare(parameters, shape, encoder, tokenizer, seed)
        except ImportError:
            _console.print("llama-cpp-python is not installed, so nothing was verified", style="yellow")
    if not _check(output):
        raise typer.Exit(1)


if __name__ == "__main__":
    app = typer.Typer(rich_markup_mode="rich", add_completion=False)
    app.command(help=_HELP)(main)
    app()
