"""Measuring a deployment's speed from outside, beside its own clock."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import Any, Final

import httpx2

from lambda_llm import __version__
from lambda_llm.cli.probes.deployment import Deployment, RefusedError
from lambda_llm.cli.probes.stream import Answer, answered, next_turn, question
from lambda_llm.cost.measured import Measured, Prompt, Quantity
from lambda_llm.errors import LambdaLLMError

LENGTHS: Final = (128, 512, 2048)
"""Prompt lengths in tokens, as far as the context goes."""
ROOM: Final = 64
"""Tokens for the chat template around a prompt, and for the next turn."""
LEAST_TOKENS: Final = 8
"""An answer of fewer tokens tells nothing of the decode."""
GIVE_UP: Final = 3
"""Requests that fail one after another, before the rest is left out."""

_TEXT: Final = (
    "A river runs through seven towns, and in each of them somebody counts the boats that pass. In the evening they "
    "compare their numbers, which never agree; yet nobody has ever seen a boat stop between two towns. "
)


class BenchError(LambdaLLMError):
    """Nothing could be measured."""


@dataclass(frozen=True)
class Workload:
    """What is asked, and how often.

    Attributes:
        lengths: prompt lengths in tokens.
        repeats: rounds; each asks every length once, and once again for the next turn.
        answer_tokens: the most that are generated behind each new prompt.
    """

    lengths: Sequence[int]
    repeats: int
    answer_tokens: int

    @property
    def requests(self) -> int:
        """How many that are, beside the one that warms the environment."""
        return 2 * len(self.lengths) * self.repeats + 1


@dataclass
class _Samples:
    """What was measured for one length."""

    tokens: list[int] = field(default_factory=list)
    prefill: list[float] = field(default_factory=list)
    new: list[float] = field(default_factory=list)
    cached: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)


class _GivenUpError(Exception):
    """Too many requests failed one after another."""


class _Run:
    def __init__(self, deployment: Deployment, workload: Workload) -> None:
        self.deployment = deployment
        self.workload = workload
        self.samples = {length: _Samples() for length in workload.lengths}
        self.decode: list[float] = []
        self.failures: list[str] = []
        self.clocks: set[str] = set()
        self._failed = 0
        self._repetitions = self._tokens_of_text()

    def pair(self, length: int) -> None:
        """A new prompt, and the next turn of its conversation."""
        prompt = question(_TEXT * max(1, round(length / self._repetitions)))
        new = self._answered([prompt], self.workload.answer_tokens)
        if new is None:
            return
        samples = self.samples[length]
        evaluated = new.prompt_tokens - (new.cached_tokens or 0)
        samples.tokens.append(evaluated)
        samples.new.append(new.first_token_seconds)
        samples.prefill.append(evaluated / (new.timings.get("prompt_ms", 0) / 1000 or new.first_token_seconds))
        self.clocks.add("server" if new.timings else "client")
        self._decode(new)
        cached = self._answered(next_turn(prompt, new), 1)
        if cached is None:
            return
        if (cached.cached_tokens or 0) < evaluated / 2:
            self.failures.append("The next turn did not find its prompt in the cache: another environment answered.")
            return
        samples.cached.append(cached.first_token_seconds)
        samples.ratios.append(cached.first_token_seconds / new.first_token_seconds)

    def _decode(self, answer: Answer) -> None:
        if answer.tokens < LEAST_TOKENS or len(answer.arrivals) < LEAST_TOKENS:
            self.failures.append(f"An answer had {answer.tokens} tokens, too few to tell the decode's speed.")
            return
        client = answer.arrivals[-1].at - answer.arrivals[0].at
        tokens = answer.timings.get("predicted_n", answer.tokens) - 1
        self.decode.append(tokens / (answer.timings.get("predicted_ms", 0) / 1000 or client))

    def _answered(self, messages: Sequence[Any], tokens: int) -> Answer | None:
        try:
            answer = answered(self.deployment, *messages, max_tokens=tokens)
        except RefusedError as error:
            self.failures.append(str(error))
            self._failed += 1
            if self._failed == GIVE_UP:
                raise _GivenUpError from error
            return None
        self._failed = 0
        if not answer.arrivals:
            self.failures.append("An answer had no text.")
            return None
        return answer

    def _tokens_of_text(self) -> float:
        """Tokens of a repetition of the text."""
        many = 16
        try:
            answer = self.deployment.http.post(f"{self.deployment.url}/tokenize", json={"content": _TEXT * many})
            return max(1.0, len(answer.raise_for_status().json()["tokens"]) / many)
        except (httpx2.HTTPError, ValueError, KeyError) as error:
            raise BenchError(
                f"{self.deployment.url} has no /tokenize that works ({error}): give a deployment of this package."
            ) from error


def lengths_that_fit(deployment: Deployment, wanted: Sequence[int], answer_tokens: int) -> list[int]:
    """The prompt lengths for which the context has room.

    Args:
        deployment: that is measured.
        wanted: lengths in tokens; none: the usual ones.
        answer_tokens: the most that are generated.

    Raises:
        BenchError: a length that is wanted does not fit, or none does.
    """
    context = int(deployment.health["context"])
    fitting = [length for length in wanted or LENGTHS if length + answer_tokens + ROOM <= context]
    if not fitting or (wanted and len(fitting) < len(wanted)):
        raise BenchError(
            f"The context has {context:,} tokens: choose --prompt-tokens and --answer-tokens whose sum is "
            f"{context - ROOM:,} at most."
        )
    return fitting


def measure(deployment: Deployment, workload: Workload, done: Callable[[], None]) -> Measured:
    """Measure.

    The lengths alternate, so that slow changes of the machine affect all of them. Every prompt is another one, so that
    no cache knows it, and its next turn follows at once. A request that fails is counted and left out.

    Args:
        deployment: that is measured.
        workload: what is asked.
        done: called after each pair of requests.

    Raises:
        BenchError: no request was answered.
    """
    health = deployment.health
    run = _Run(deployment, workload)
    try:
        answered(deployment, max_tokens=1)  # the first request may restore an environment
        for _ in range(workload.repeats):
            for length in workload.lengths:
                run.pair(length)
                done()
    except (_GivenUpError, RefusedError) as error:
        if not any(samples.new for samples in run.samples.values()):
            raise BenchError(f"Nothing could be measured: {run.failures[0] if run.failures else error}") from error
    prompts = [_prompt(samples) for samples in run.samples.values() if samples.new]
    if not prompts:
        raise BenchError(f"Nothing could be measured: {run.failures[0]}")
    environment = health.get("environment") or {}
    return Measured(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        lambda_llm=__version__,
        model=health["model"],
        url_kind=_kind(deployment),
        region=deployment.region,
        memory_mb=environment.get("memory_mb"),
        backend=health["backend"],
        threads=health["threads"],
        context=health["context"],
        clock="server" if run.clocks == {"server"} else "client",
        prompts=tuple(prompts),
        decode_tokens_per_second=Quantity.of(run.decode),
        failures=tuple(run.failures),
    )


def _prompt(samples: _Samples) -> Prompt:
    prefill, new = Quantity.of(samples.prefill), Quantity.of(samples.new)
    if prefill is None or new is None:
        raise BenchError("A length has no measurements.")
    return Prompt(
        prompt_tokens=round(median(samples.tokens)),
        prefill_tokens_per_second=prefill,
        first_token_seconds=new,
        cached_first_token_seconds=Quantity.of(samples.cached),
        cached_to_new=Quantity.of(samples.ratios),
    )


def _kind(deployment: Deployment) -> str:
    if deployment.region is None:
        return "server"
    return "function_url" if ".lambda-url." in deployment.url else "custom_domain"
