"""Measure the time to first token of each turn of a growing conversation, with and without the session store."""

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final

import llama_cpp
import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from lambda_llm.aws.s3_objects import S3Objects
from lambda_llm.engine.decoder import common_prefix
from lambda_llm.engine.engine import Engine
from lambda_llm.engine.generate import Generation, GenerationRequest
from lambda_llm.engine.prefix_cache import CacheScope
from lambda_llm.engine.sampling import Sampling
from lambda_llm.engine.session_store import BLOCK_TOKENS, SessionStore
from lambda_llm.engine.threads import available_cpus
from lambda_llm.errors import LambdaLLMError
from lambda_llm.gguf.options import KVType, ModelOptions, Weights
from scripts.bench.common import (
    AsJSON,
    Figure,
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
from scripts.bench.measurement import machine
from scripts.models.opening import open_engine

TURNS: Final = 10
HISTORY: Final = 4000
NEW_TOKENS: Final = 54
"""With Llama's template 64, from where llama.cpp's attention works in tiles: docs/first-token.md."""
SYSTEM_TOKENS: Final = 1000
REPEATS: Final = 3
FULL_AT: Final = "1000,2000,4000"
LIBRARY_AT: Final = "1000,2000"

TARGET_SPEEDUP: Final = 20
TARGET_FLAT: Final = 1.2
TARGET_SYSTEM: Final = 1.2

_TEXT: Final = (
    "A river runs through seven towns, and in each of them somebody counts the boats that pass. In the evening they "
    "compare their numbers, which never agree; yet nobody has ever seen a boat stop between two towns. "
)

_HELP: Final = """Print the time to first token of each turn of a conversation, with and without reuse.

[bold]What it answers.[/bold] Whether the time to first token depends on a turn's new tokens only, not on the history: \
for a conversation that another environment restores from S3, and for a system prompt evaluated before the snapshot.

[bold]How it measures.[/bold] Turn by turn, a conversation grows to --history tokens; each turn adds --new-tokens. \
Every measurement of the session store starts like a new environment: an empty KV cache, a new S3 client, and only \
the bucket (a local S3 over loopback). For comparison, at a few lengths: the same engine without \
reuse, and llama-cpp-python with its defaults and no reuse, which is what AWS's sample does. Answers are scripted \
and evaluated as a batch, so that the run takes minutes; their keys and values are stored.

[dim]Examples[/dim]
  python -m scripts.bench.first_token --synthesize llama-3.2-1b:Q4_0
  python -m scripts.bench.first_token --synthesize llama-3.2-1b:Q4_0 --json > measured.json
  python -m scripts.bench.first_token --show measured.json --figure docs/first-token.svg
"""


@dataclass(frozen=True)
class Turn:
    """One turn of the conversation, in seconds and tokens.

    Attributes:
        history: tokens before the new ones.
        prompt: tokens in total.
        restored: prompt tokens restored from the store.
        first_token: median time to first token.
        first_tokens: each measurement.
        save: seconds of writing with nothing in parallel: the most that it adds to a request.
        saved_bytes: bytes written.
    """

    history: int
    prompt: int
    restored: int
    first_token: float
    first_tokens: list[float]
    save: float
    saved_bytes: int


@dataclass(frozen=True)
class Prompt:
    """A prompt without reuse.

    Attributes:
        history: tokens before the new ones.
        prompt: tokens in total.
        first_token: time to first token.
    """

    history: int
    prompt: int
    first_token: float


class Conversation:
    """Prompts of given lengths, in the model's own chat template."""

    def __init__(self, engine: Engine, new_tokens: int) -> None:
        self._model = engine.model
        self._template = engine.template
        self._new = new_tokens
        self._messages: list[dict[str, str]] = []
        self._count = 0

    def ask(self) -> list[int]:
        """Return the prompt of the next turn."""
        self._messages.append({"role": "user", "content": self._text(self._new)})
        return self._template.tokens(self._messages)

    def ask_otherwise(self) -> list[int]:
        """Return the prompt of the same turn with a new, unique question."""
        return self._template.tokens([*self._messages[:-1], {"role": "user", "content": self._text(self._new)}])

    def answer(self, history: int) -> list[int]:
        """Add an answer that brings the conversation to `history` tokens; returns all tokens up to its end."""
        long = max(1, history - len(self._template.tokens(self._messages)))
        self._messages.append({"role": "assistant", "content": self._text(long)})
        both = [
            self._template.tokens([*self._messages, {"role": "user", "content": words}]) for words in ("Hello", "1")
        ]
        tokens = both[0][: common_prefix(*both)]
        end = max(index for index, token in enumerate(tokens) if self._model.ends_turn(token))
        return tokens[:end]

    def with_system(self, tokens: int) -> tuple[list[int], list[int], list[int]]:
        """Return a prompt with a system prompt of so many tokens, its prefix up to the user's text, and one without."""
        user = {"role": "user", "content": self._text(self._new)}
        system = {"role": "system", "content": self._text(tokens)}
        long = self._template.tokens([system, user])
        other = self._template.tokens([system, {"role": "user", "content": "1"}])
        return long, long[: common_prefix(long, other)], self._template.tokens([user])

    def _text(self, tokens: int) -> str:
        """Return text of so many tokens, give or take one; never the same twice."""
        text = f"{self._count}. " + _TEXT * (2 + tokens // 30)
        self._count += 1
        pieces = (self._model.piece(token) for token in self._model.tokenize(text, add_special=False)[:tokens])
        return b"".join(pieces).decode(errors="replace")


def main(  # noqa: PLR0913 - an option each
    model: ModelFile = None,
    *,
    synthesize: Synthesize = None,
    threads: Threads = None,
    kv_type: Annotated[KVType, typer.Option(help="Type of the KV cache, also as stored.")] = KVType.F16,
    turns: Annotated[int, typer.Option(min=2, help="Turns of the conversation.")] = TURNS,
    history: Annotated[int, typer.Option(min=8, help="Tokens before the last turn.")] = HISTORY,
    new_tokens: Annotated[int, typer.Option(min=1, help="New tokens of each turn.")] = NEW_TOKENS,
    system_tokens: Annotated[int, typer.Option(min=1, help="Tokens of the system prompt.")] = SYSTEM_TOKENS,
    full_at: Annotated[str, typer.Option(metavar="N,N", help="Histories to evaluate without reuse.")] = FULL_AT,
    library_at: Annotated[str, typer.Option(metavar="N,N", help="The same, by llama-cpp-python itself.")] = LIBRARY_AT,
    repeats: Annotated[int, typer.Option(min=1, help="Measurements of each turn.")] = REPEATS,
    as_json: AsJSON = False,
    markdown: Markdown = False,
    show: Show = None,
    figure: Figure = None,
) -> None:
    """Measure; the help text is `_HELP`."""
    if show:
        result = json.loads(show.read_text(encoding="utf-8"))
    else:
        path = Path(named(model, synthesize))
        lengths = (_lengths(full_at, "--full-at"), _lengths(library_at, "--library-at"))
        here = machine()
        with ended_by(LambdaLLMError):
            measured = measure(
                path,
                threads or available_cpus(),
                kv_type,
                (turns, history, new_tokens, system_tokens, repeats),
                lengths,
            )
        result = {"machine": here} | measured
    if figure:
        draw(result, figure)
    if as_json:
        print(json.dumps(result))
    else:
        _print(result, markdown=markdown)


def _lengths(text: str, option: str) -> list[int]:
    if not text:
        return []
    if not all(part.strip().isdecimal() for part in text.split(",")):
        raise typer.BadParameter(f"{text!r} is not a list of numbers such as 1000,2000", param_hint=option)
    return [int(part) for part in text.split(",")]


def measure(
    path: Path,
    threads: int,
    kv_type: KVType,
    sizes: tuple[int, int, int, int, int],
    lengths: tuple[Sequence[int], Sequence[int]],
) -> dict[str, Any]:
    """Measure one model; the result is what --json prints.

    Args:
        path: of a GGUF file.
        threads: to compute with; llama-cpp-python uses its own default.
        kv_type: type of the KV cache.
        sizes: turns, the history's tokens, a turn's new tokens, the system prompt's tokens, repeats.
        lengths: of histories to evaluate without reuse, by this engine and by llama-cpp-python.

    Raises:
        LambdaLLMError: the model can't be opened, or it has no chat template.
    """
    turns, history, new_tokens, system_tokens, repeats = sizes
    context = 256 * -(-(max(history, *lengths[0], *lengths[1], system_tokens) + 2 * new_tokens + 256) // 256)
    options = ModelOptions(context_length=context, kv_type=kv_type, placement=Weights.COPIED, threads=threads)
    with open_engine(path, options) as engine:
        decoder = engine.decoder
        steps = turns - 1 + len(lengths[0]) + len(lengths[1]) + repeats
        with progress_bar(escape(path.name), steps) as progress:
            with _bucket() as uri:
                stored = list(_with_store(engine, uri, (turns, history, new_tokens, repeats), progress))
            full = []
            for length in lengths[0]:
                full.append(_without_reuse(engine, *_history(engine, length, new_tokens)))
                progress(f"{length} tokens of history without reuse")
            with decoder.lock:
                bytes_per_token = len(decoder.read_state(0, BLOCK_TOKENS)) / BLOCK_TOKENS
            system, plain = _system(engine, system_tokens, new_tokens, repeats, progress)
            library = []
            for length in lengths[1]:
                library.append(_library(path, context, *_history(engine, length, new_tokens)))
                progress(f"{length} tokens of history, llama-cpp-python")
    return {
        "model": path.name,
        "threads": threads,
        "context": context,
        "kv_type": kv_type.value,
        "new_tokens": new_tokens,
        "system_tokens": system_tokens,
        "repeats": repeats,
        "turns": [asdict(turn) for turn in stored],
        "full": [asdict(each) for each in full],
        "library": [asdict(each) for each in library],
        "with_system_prompt": system,
        "without_system_prompt": plain,
        "bytes_per_token": bytes_per_token,
    } | _summary(stored, full, library, system, plain)


def _summary(
    stored: Sequence[Turn], full: Sequence[Prompt], library: Sequence[Prompt], system: list[float], plain: list[float]
) -> dict[str, Any]:
    def against(prompts: Sequence[Prompt]) -> dict[str, float]:
        return {str(each.history): each.first_token / _nearest(stored, each.history).first_token for each in prompts}

    times = [turn.first_token for turn in stored]
    return {
        "speedup": against(full),
        "speedup_library": against(library),
        "turn_to_turn": max((max(one, other) / min(one, other) for one, other in pairwise(times)), default=1.0),
        "save_seconds": statistics.median(turn.save for turn in stored),
        "system_prompt_ratio": statistics.median(one / other for one, other in zip(system, plain, strict=True)),
    }


def _nearest(stored: Sequence[Turn], history: int) -> Turn:
    return min(stored, key=lambda turn: abs(turn.history - history))


@contextmanager
def _bucket() -> Iterator[str]:
    """Run a local S3 with a bucket; yields a URI there, for the AWS clients of this process."""
    from scripts.local_aws.server import local_aws  # noqa: PLC0415 - only needed here

    with tempfile.TemporaryDirectory() as folder, local_aws(Path(folder)) as aws:
        with closing(aws.client("s3")) as s3:
            s3.create_bucket(Bucket="conversations")
        before = dict(os.environ)
        os.environ.update(aws.environment)
        try:
            yield "s3://conversations/state/kv/"
        finally:
            os.environ.clear()
            os.environ.update(before)


def _with_store(
    engine: Engine, uri: str, sizes: tuple[int, int, int, int], progress: Callable[[str], None]
) -> Iterator[Turn]:
    turns, history, new_tokens, repeats = sizes
    conversation = Conversation(engine, new_tokens)
    prompt = conversation.ask()
    # Warms up: a client's first use loads modules, which the function does before the snapshot.
    _in_new_environment(engine, uri, prompt)
    with _environment(engine, uri) as writer:
        for number in range(1, turns):
            answered = conversation.answer(history * number // (turns - 1))
            before = writer.counts.saved_bytes
            turn = writer.turn(prompt, CacheScope())
            with engine.decoder.lock:
                engine.decoder.evaluate(answered)
                began = time.perf_counter()
                turn.save_answer()
            turn.settle()
            save = time.perf_counter() - began
            prompt = conversation.ask()
            # No measurement may reuse what an earlier one stored.
            samples = [_in_new_environment(engine, uri, conversation.ask_otherwise()) for _ in range(repeats)]
            yield Turn(
                history=len(answered),
                prompt=len(prompt),
                restored=samples[-1].stats.cached_tokens,
                first_token=statistics.median(each.stats.seconds_to_first_token for each in samples),
                first_tokens=[each.stats.seconds_to_first_token for each in samples],
                save=save,
                saved_bytes=writer.counts.saved_bytes - before,
            )
            progress(f"turn {number + 1}, {len(answered)} tokens of history")


@contextmanager
def _environment(engine: Engine, uri: str) -> Iterator[SessionStore]:
    """Open the session store of a new environment: a new client and nothing cached."""
    with closing(S3Objects(uri)) as storage:
        storage.after_restore()
        with closing(SessionStore(engine.decoder, storage, b"benchmark")) as store:
            yield store


def _in_new_environment(engine: Engine, uri: str, prompt: list[int]) -> Generation:
    """Generate in a new environment."""
    with engine.decoder.lock:
        engine.decoder.truncate(0)
    with _environment(engine, uri) as store:
        generation = _generated(engine, prompt, store)
        generation.settle()
    return generation


def _generated(engine: Engine, prompt: list[int], store: SessionStore | None = None) -> Generation:
    request = GenerationRequest(prompt, Sampling(temperature=0), max_tokens=1, remember=store is not None)
    generation = Generation(request, engine.decoder, engine.prefixes, sessions=store)
    for _ in generation:
        pass
    return generation


def _history(engine: Engine, history: int, new_tokens: int) -> tuple[int, list[int]]:
    """Return the exact number of tokens of a history of about that length, and a prompt after it."""
    conversation = Conversation(engine, new_tokens)
    conversation.ask()
    known = conversation.answer(history)
    return len(known), conversation.ask()


def _without_reuse(engine: Engine, history: int, prompt: list[int]) -> Prompt:
    """Measure a prompt without any reuse."""
    with engine.decoder.lock:
        engine.decoder.truncate(0)
    return Prompt(history, len(prompt), _generated(engine, prompt).stats.seconds_to_first_token)


def _library(path: Path, context: int, history: int, prompt: list[int]) -> Prompt:
    """The same by llama-cpp-python with its defaults, as in AWS's sample; every request evaluates the whole prompt."""
    model = llama_cpp.Llama(str(path), n_ctx=context, verbose=False)
    try:
        next(model.generate(prompt[:8], temp=0))  # everything is in memory before the clock starts
        model.reset()  # type: ignore[no-untyped-call] # llama-cpp-python's
        began = time.perf_counter()
        next(model.generate(prompt, temp=0))
        return Prompt(history, len(prompt), time.perf_counter() - began)
    finally:
        model.close()


def _system(
    engine: Engine, system_tokens: int, new_tokens: int, repeats: int, progress: Callable[[str], None]
) -> tuple[list[float], list[float]]:
    """Return the times to first token with a pinned system prompt, and without one, in alternation."""
    long, beginning, plain = Conversation(engine, new_tokens).with_system(system_tokens)
    with engine.decoder.lock:
        engine.prefixes.pin(beginning)
    with_it, without = [], []
    for number in range(repeats):
        with engine.decoder.lock:
            engine.decoder.truncate(0)
        without.append(_generated(engine, plain).stats.seconds_to_first_token)
        # The cache contains another conversation now, so the system prompt comes from its pinned copy.
        with_it.append(_generated(engine, long).stats.seconds_to_first_token)
        progress(f"{len(beginning)} tokens of system prompt, round {number + 1}")
    return with_it, without


def draw(result: Mapping[str, Any], target: Path) -> None:
    """Draw seconds to the first token over the length of the history."""
    import matplotlib as mpl  # noqa: PLC0415 - slow to import, rarely needed

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415 - as above

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    lines = (
        ("library", "llama-cpp-python, defaults, no reuse", "s", "tab:gray"),
        ("full", "this engine, no reuse", "^", "tab:orange"),
        ("turns", "this engine, session store, another environment", "o", "tab:blue"),
    )
    for name, label, marker, colour in lines:
        points = sorted((each["history"], each["first_token"]) for each in result[name])
        axes.plot(*zip(*points, strict=True), marker=marker, color=colour, label=label)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
    axes.yaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    axes.set_xlim(left=0)
    axes.set_xlabel("tokens of history before the turn")
    axes.set_ylabel("seconds to the first token")
    axes.set_title(f"{result['new_tokens']} new tokens, {result['model']}, {result['threads']} threads")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(target, metadata={"Date": None} if target.suffix == ".svg" else None)


def _print(result: Mapping[str, Any], *, markdown: bool) -> None:
    out = printer(markdown=markdown)
    style = box.MARKDOWN if markdown else box.SIMPLE_HEAD
    table = Table(box=style)
    for column in ("Turn", "History", "From the store", "First token", "Spread", "Save adds", "Written"):
        table.add_column(column, justify="right")
    for number, turn in enumerate(result["turns"], 2):
        times = turn["first_tokens"]
        table.add_row(
            str(number),
            f"{turn['history']:,}",
            f"{turn['restored']:,}",
            f"{turn['first_token']:.2f} s",
            f"±{(max(times) - min(times)) / 2 / turn['first_token']:.0%}",
            f"{turn['save']:.2f} s",
            f"{turn['saved_bytes'] / 1e6:.1f} MB",
        )
    out.print(table)
    compared = Table(box=style)
    for column in ("History", "Evaluated by", "First token", "The session store is faster by"):
        compared.add_column(column, justify="right")
    for name, ratios, by in (
        ("full", "speedup", "this engine, no reuse"),
        ("library", "speedup_library", "llama-cpp-python, defaults"),
    ):
        for each in result[name]:
            ratio = result[ratios][str(each["history"])]
            compared.add_row(f"{each['history']:,}", by, f"{each['first_token']:.1f} s", f"{ratio:.1f} x")
    out.print(compared)
    here = result["machine"]
    out.print(
        f"{result['model']}, KV cache {result['kv_type']}, {result['threads']} threads, {here['cpu']}, {here['cpus']} "
        f"CPUs, load before {here['load_before']}; {result['new_tokens']} new tokens a turn, medians of "
        f"{result['repeats']}. From turn to turn at most {result['turn_to_turn']:.2f} x (target {TARGET_FLAT}). Behind "
        f"a system prompt of {result['system_tokens']:,} tokens the first token takes "
        f"{result['system_prompt_ratio']:.2f} x the time without one (target {TARGET_SYSTEM}). At 2,000 tokens of "
        f"history the target is {TARGET_SPEEDUP} x. {result['bytes_per_token']:,.0f} bytes a token are stored.",
        soft_wrap=True,
    )


app = command_line(main, _HELP)

if __name__ == "__main__":
    app()
