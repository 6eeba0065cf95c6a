"""Train the demo encoders that tests use, from scratch: for embeddings, classification and reranking."""

import hashlib
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from scripts import ROOT

sys.path.insert(0, str(ROOT / "functions"))

from scripts.models.demo_model import corpus
from scripts.models.progress import training_progress

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from scripts.models.demo_encoder.lessons import Lessons
    from scripts.models.demo_encoder.network import Parameters, Shape

FOLDER: Final = corpus.FOLDER.parent / "demo-encoder"
NAMES: Final = ("embeddings", "classifier", "reranker")
_RIGHT: Final = {"embeddings": 0.9, "classifier": 0.9, "reranker": 0.75}
"""Accuracy on held-out questions that each must reach."""
_AGREEMENT: Final = 0.02
"""Largest difference between PyTorch and llama.cpp that rounding explains: ggml looks up GELU in half precision."""

_HELP: Final = """Train the demo encoders, or evaluate them.

[bold]What it makes.[/bold] Three small BERT models that share a vocabulary: one embeds questions of the same meaning
close to each other, one classifies a question's topic, one scores how well an answer fits a question. Their text is
models/demo/corpus.toml.

[bold]What it checks.[/bold] That llama.cpp computes the same tokens and outputs as PyTorch, and that the finished files
get most of the held-out questions right.

[bold]How reproducible it is.[/bold] As the demo model: the text and its order depend on --seed only, the weights also
on the machine.

[bold]Needs[/bold] pip install torch tokenizers gguf numpy typer rich, and llama-cpp-python for the checks.

[dim]Examples[/dim]
  python -m scripts.models.train_demo_encoder
  python -m scripts.models.train_demo_encoder --steps 50 --folder /tmp/quick
  python -m scripts.models.train_demo_encoder --check
"""

_console = Console(stderr=True)


def _train(folder: Path, steps: int, seed: int) -> None:
    # Threads that spin while they wait slow a busy machine down several times.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import gguf  # noqa: PLC0415 - only training needs it, --check does not
    import torch  # noqa: PLC0415 - as above

    from scripts.models.demo_encoder import export, network, tokens  # noqa: PLC0415 - as above
    from scripts.models.demo_encoder.lessons import Lessons  # noqa: PLC0415 - as above

    torch.manual_seed(seed)
    entries = corpus.entries()
    teacher = corpus.Teacher(seed)
    texts = [text for entry in entries for text in (*entry.ask, entry.answer, *(teacher.question(entry),) * 3)]
    tokenizer = tokens.train_tokenizer(texts)
    shape = network.Shape(tokenizer.get_vocab_size())
    lessons = Lessons(entries, tokenizer, shape, seed)
    base = network.initialize(shape)
    folder.mkdir(parents=True, exist_ok=True)
    _console.print(f"{sum(each.numel() for each in base.values()):,} parameters, {shape.vocabulary:,} tokens")

    def learn(what: str, parameters: "Parameters", loss: "Callable[[Parameters], torch.Tensor]", count: int) -> None:
        step = 0
        with training_progress(_console) as progress:
            task = progress.add_task(what, total=count)

            def done(last: float) -> float:
                nonlocal step
                progress.update(task, completed=step, description=f"{what}, loss {last:.4f}")
                if step % 100 == 0 and not _console.is_terminal:
                    _console.print(f"{what}: step {step} of {count}, loss {last:.4f}")
                step += 1
                return (step - 1) / count

            network.train(parameters, lambda: loss(parameters), learning_rate=1e-3, progress=done)

    learn("embeddings", base, lessons.similarity, steps)
    classifier = network.with_head(base, shape, len(lessons.labels))
    learn("classifier", classifier, lessons.topic, steps // 3)
    reranker = network.with_head(base, shape, 1)
    learn("reranker", reranker, lessons.relevance, steps)
    pooled = (gguf.PoolingType.MEAN, gguf.PoolingType.RANK, gguf.PoolingType.RANK)
    labels: tuple[list[str], ...] = ([], lessons.labels, [])
    for name, parameters, pooling, classes in zip(NAMES, (base, classifier, reranker), pooled, labels, strict=True):

        def write(path: Path, kind: gguf.GGMLQuantizationType) -> None:
            export.write(
                path, parameters, shape, tokenizer, kind,  # noqa: B023 - called before they change
                name=f"lambda-llm demo {name}", pooling=pooling, labels=classes,  # noqa: B023 - as above
            )  # fmt: skip

        write(folder / f"{name}.gguf", gguf.GGMLQuantizationType.Q8_0)
        try:
            with tempfile.TemporaryDirectory() as exact:
                write(Path(exact, "exact.gguf"), gguf.GGMLQuantizationType.F32)
                _compare(Path(exact, "exact.gguf"), lessons, parameters, shape)
        except ImportError:
            _console.print("llama-cpp-python is not installed, so nothing was verified", style="yellow")


def _compare(path: Path, lessons: "Lessons", parameters: "Parameters", shape: "Shape") -> None:
    """Verify llama.cpp against the training: the same tokens, the same outputs."""
    import torch  # noqa: PLC0415 - only training needs it

    from scripts.models.demo_encoder.examination import opened  # noqa: PLC0415 - needs llama_cpp, which may be missing
    from scripts.models.demo_encoder.network import embeddings, hidden, scores  # noqa: PLC0415 - as above

    worst = 0.0
    with opened(path) as engine, torch.no_grad():
        encoder = engine.encoder
        for entry in corpus.entries()[::5]:
            texts = [entry.held_out, f"{entry.ask[0]} Grüße, 5+5=10? ¿x_y!"]
            ids, there = lessons.batch(texts)
            theirs = [encoder.model.tokenize(text, add_special=True) for text in texts]
            ours = [[int(each) for each in row[is_there]] for row, is_there in zip(ids, there, strict=True)]
            if theirs != ours:
                raise ValueError(f"llama.cpp tokenizes differently: {texts}")
            found, states = torch.tensor(encoder.encode(theirs)), hidden(parameters, shape, ids, there)
            if "cls.weight" in parameters:
                expected = scores(parameters, states)
            else:
                found, expected = torch.nn.functional.normalize(found), embeddings(states, there)
            worst = max(worst, float((found - expected).abs().max()))
    _console.print(f"llama.cpp: same tokens, outputs within {worst:.6f}")
    if worst > _AGREEMENT:
        raise ValueError(f"Outputs of llama.cpp and PyTorch differ by {worst}, more than {_AGREEMENT}")


def _check(folder: Path) -> bool:
    """Evaluate the files and print the model card's numbers; returns whether they are good enough."""
    for name in NAMES:
        data = (folder / f"{name}.gguf").read_bytes()
        print(f"{name}.gguf: {len(data):,} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}")
    try:
        from scripts.models.demo_encoder.examination import examine  # noqa: PLC0415 - needs llama_cpp
    except ImportError:
        _console.print("llama-cpp-python is not installed, so the files were not evaluated", style="yellow")
        return True
    entries = corpus.entries()
    print("| Model | Asked | Right | Share |\n|---|---|---|---|")
    good = True
    for name in NAMES:
        asked, wrong = examine(folder / f"{name}.gguf", entries)
        right = 1 - len(wrong) / asked
        print(f"| {name} | {asked} | {asked - len(wrong)} | {right:.1%} |")
        for line in wrong:
            _console.print(f"{name}: {line}", markup=False)
        good &= right >= _RIGHT[name]
    return good


def main(
    folder: Annotated[Path, typer.Option(help="Folder of the GGUF files, written or with --check read.")] = FOLDER,
    steps: Annotated[int, typer.Option(min=3, help="Batches of the longest training.")] = 600,
    seed: Annotated[int, typer.Option(help="Seed of text, tokenizer and weights.")] = 20261125,
    check: Annotated[bool, typer.Option("--check", help="Only evaluate existing files.")] = False,  # noqa: FBT002 - a flag
) -> None:
    """Train and evaluate the models; the help text is `_HELP`."""
    if not check:
        _train(folder, steps, seed)
    if not _check(folder):
        raise typer.Exit(1)


if __name__ == "__main__":
    app = typer.Typer(rich_markup_mode="rich", add_completion=False)
    app.command(help=_HELP)(main)
    app()
