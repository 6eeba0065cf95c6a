"""The decode loop: a prompt's token ids in, text out, one piece at a time."""

import codecs
import time
from collections import deque
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from lambda_llm.engine.cancellation import Cancellation, CancelledError
from lambda_llm.engine.context_shift import fixed_prefix, make_room, shortened
from lambda_llm.engine.decoder import Decoder
from lambda_llm.engine.errors import ContextOverflowError
from lambda_llm.engine.guesses import Guesses
from lambda_llm.engine.prefix_cache import CacheScope, PrefixCache
from lambda_llm.engine.sampling import Sampler, Sampling, Scored, score
from lambda_llm.engine.session_store import SessionStore


class FinishReason(StrEnum):
    """Why a generation ended."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class GenerationRequest:
    """What to generate, and how.

    Attributes:
        prompt: token ids, at least one.
        sampling: how tokens are chosen.
        max_tokens: maximum number of tokens to generate; None: as many as the context allows.
        stop: stop sequences; the text ends before the first one.
        top_logprobs: number of most likely tokens to report with each token; None: no log probabilities at all.
        preserved_tokens: control tokens that are part of the text, like the tool call markers of some models.
        scope: who may reuse the keys and values that this computes.
        remember: restore earlier turns from the session store, and save this one there.
        predicted: token ids that the answer may consist of, besides those of the prompt; they are guessed.
    """

    prompt: Sequence[int]
    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int | None = None
    stop: Sequence[str] = ()
    top_logprobs: int | None = None
    preserved_tokens: Container[int] = ()
    scope: CacheScope = field(default_factory=CacheScope)
    remember: bool = False
    predicted: Sequence[int] = ()


@dataclass
class GenerationStats:
    """Token counts and timings of a generation; final once it has ended.

    Attributes:
        prompt_tokens: length of the prompt as it was evaluated.
        cached_tokens: tokens of the prompt that were in the KV cache or restored into it.
        completion_tokens: generated tokens, including the one that ended the turn.
        finish_reason: None while running, and after a failure of the engine.
        stop_sequence: the one of the request that ended it, if any.
        seconds_to_first_token: from the start of the iteration to the first sampled token; 0 where there was none.
        decode_seconds: from the first token to the last text that was yielded, and then to the end; 0 where there was
            none.
        guessed_tokens: that were evaluated before they were chosen.
        accepted_tokens: those of them that were then chosen, and so needed no evaluation of their own.
        restored_tokens: tokens of the prompt that came from the session store; they are cached ones too.
        queued_seconds: that it waited for others; whoever queues generations says so.
        started: when the iteration began, as `time.perf_counter` tells it; 0 where it did not.
    """

    prompt_tokens: int
    cached_tokens: int = 0
    completion_tokens: int = 0
    finish_reason: FinishReason | None = None
    stop_sequence: str | None = None
    seconds_to_first_token: float = 0.0
    decode_seconds: float = 0.0
    guessed_tokens: int = 0
    accepted_tokens: int = 0
    restored_tokens: int = 0
    queued_seconds: float = 0.0
    started: float = 0.0


def check_room(prompt: Sequence[int], context_length: int) -> None:
    """Check that a prompt leaves room for at least one token.

    Raises:
        ContextOverflowError: it does not.
    """
    if len(prompt) >= context_length:
        raise ContextOverflowError(len(prompt), context_length)


class Generation:
    """One run of a request; iterate over it once to generate.

    Attributes:
        request: what to generate.
        prompt: the token ids that are evaluated: the request's, shortened where they overflow a context that shifts.
        stats: token counts and timings.
        cancellation: ends the generation within one token.
    """

    def __init__(
        self,
        request: GenerationRequest,
        decoder: Decoder,
        prefixes: PrefixCache,
        *,
        sessions: SessionStore | None = None,
        cancellation: Cancellation | None = None,
    ) -> None:
        """Check the prompt; nothing is computed before the iteration.

        Args:
            request: what to generate.
            decoder: evaluates the tokens.
            prefixes: the decoder's prefix cache.
            sessions: where turns of requests with `remember` are stored; None: nowhere.
            cancellation: ends the generation; several may share one.

        Raises:
            ContextOverflowError: the prompt leaves no room for one token.
        """
        self.request = request
        self.cancellation = cancellation or Cancellation()
        self._decoder = decoder
        self._prefixes = prefixes
        self.prompt = request.prompt
        if decoder.context_shift and len(self.prompt) >= decoder.context_length:
            self.prompt = shortened(decoder, prefixes, self.prompt)
        check_room(self.prompt, decoder.context_length)
        self.stats = GenerationStats(len(self.prompt))
        self._turn = (
            sessions.turn(self.prompt, request.scope, prefixes.pinned_length(self.prompt))
            if sessions and request.remember
            else None
        )
        # With a context that shifts, a generation might never end.
        room = decoder.context_length - (0 if decoder.context_shift else len(self.prompt))
        self._longest = room if request.max_tokens is None else min(room, request.max_tokens)
        self._shifted = False
        self._forced: deque[int] = deque()
        self._pending: list[int] = []  # tokens of the answer that are not evaluated yet, or guessed
        cost = decoder.guess_cost
        self._guesses = None if cost is None else Guesses(self.prompt, request.predicted, cost)
        self._scored: list[Scored] = []
        self._yielded = 0

    def __iter__(self) -> Iterator[str]:
        """Yield the text in pieces, never half a character and never part of a stop sequence."""
        request, stats, model = self.request, self.stats, self._decoder.model
        characters = codecs.getincrementaldecoder("utf-8")(errors="replace")
        stops = _StopSequences(request.stop)
        started = first = stats.started = time.perf_counter()
        decoded = 0
        with self._decoder.lock, Sampler(self._decoder, request.sampling) as sampler:
            try:
                self._prefill()
                while stats.finish_reason is None:
                    token = self._next(sampler)
                    if stats.completion_tokens == 0:
                        first = time.perf_counter()
                        stats.seconds_to_first_token = first - started
                    stats.completion_tokens += token is not None
                    if token is None or model.ends_turn(token):
                        stats.finish_reason = FinishReason.STOP
                        break
                    if request.top_logprobs is not None:
                        self._scored.append(score(self._decoder, token, request.top_logprobs, decoded))
                    new = characters.decode(model.piece(token, control=token in request.preserved_tokens))
                    decoded += len(new)
                    if sampler.waiting:
                        sampler.observe(new)
                    if text := stops.feed(new):
                        self._yielded += len(text)
                        stats.decode_seconds = time.perf_counter() - first
                        yield text
                    stats.stop_sequence = stops.found
                    stats.finish_reason = self._reason(stopped=stops.found is not None)
                    if stats.finish_reason is None:
                        self._save()
                        self._go_on(token)
                self._save()
            except CancelledError:
                stats.finish_reason = self._cut_short()
                self._save()
            finally:
                ended = time.perf_counter()
                self._decoder.drop_guess()
                self._drop_shifted()
                stats.seconds_to_first_token = first - started
                stats.decode_seconds = ended - first if stats.completion_tokens else 0.0
        if rest := stops.finish(characters.decode(b"", final=True)):
            self._yielded += len(rest)
            yield rest

    def settle(self) -> None:
        """Wait until the turn is in the session store: Lambda may freeze the process once the response has ended."""
        if self._turn:
            self._turn.settle()

    @property
    def remembered(self) -> bool:
        """Whether the session store is used, so that `settle` may have to wait."""
        return self._turn is not None

    def skip(self, reason: FinishReason = FinishReason.CANCELLED) -> None:
        """Record that the request ended before it ran."""
        self.stats.finish_reason = reason

    def _cut_short(self) -> FinishReason:
        """The reason of a generation that was cancelled; at its deadline, what there is of an answer is one."""
        answered = self.cancellation.expired and self.stats.completion_tokens > 0
        return FinishReason.LENGTH if answered else FinishReason.CANCELLED

    def take_scored(self) -> list[Scored]:
        """The tokens of the text yielded since the last call, with log probabilities; empty without `top_logprobs`."""
        ready = [scored for scored in self._scored if scored.at < self._yielded]
        del self._scored[: len(ready)]
        return ready

    def _prefill(self) -> None:
        cached = self._prefixes.load(self.prompt, self.request.scope)
        if self._turn:
            self.stats.restored_tokens = self._turn.load(cached, self.cancellation) - cached
        self.stats.cached_tokens = self._decoder.evaluate(self.prompt, self.cancellation)

    def _next(self, sampler: Sampler) -> int | None:
        """The next token; those that a constraint forces are evaluated together, before the next choice."""
        if not self._forced and self.request.top_logprobs is None:  # nobody computes the logits of forced tokens
            self._forced += sampler.forced()
        if self._forced:
            return self._forced.popleft()
        kept = self._decoder.confirm(self._pending)
        if self._guesses:
            self._guesses.keep(kept)
            self.stats.accepted_tokens = self._guesses.accepted
        if len(self._pending) > kept:
            self._append(self._pending[kept:])
        self._pending = []
        return sampler.choose()

    def _go_on(self, token: int) -> None:
        self._pending.append(token)
        if self._guesses:
            self._guesses.add(token)

    def _append(self, tokens: Sequence[int]) -> None:
        decoder = self._decoder
        if not decoder.context_shift or len(decoder.evaluated) + len(tokens) <= decoder.context_length:
            decoder.append(*tokens, guess=self._guess(len(tokens)))
            return
        for token in tokens:
            if len(decoder.evaluated) >= decoder.context_length:
                make_room(decoder, fixed_prefix(self._prefixes, self.prompt))
                self._shifted = True
            decoder.append(token)

    def _guess(self, count: int) -> Sequence[int]:
        """What may follow the next `count` tokens, as far as the answer may still go."""
        if self._guesses is None or self._shifted:
            return ()
        left = self._longest - self.stats.completion_tokens - 1
        guess = self._guesses.next(min(left, self._decoder.guess_room(count)))
        self.stats.guessed_tokens = self._guesses.drafted
        return guess

    def _drop_shifted(self) -> None:
        """Drop keys and values that were computed in the presence of tokens that are gone."""
        if self._shifted:
            self._decoder.truncate(fixed_prefix(self._prefixes, self.prompt))

    def _save(self) -> None:
        reason = self.stats.finish_reason
        if self._turn is None or self._shifted or reason is FinishReason.CANCELLED:
            return
        if reason is not None:
            self._turn.save_answer()
        elif self.stats.completion_tokens == 1:
            self._turn.save_prompt()  # uploads while the decode loop runs, which takes longer

    def _reason(self, *, stopped: bool) -> FinishReason | None:
        """Why the generation ends here, or None."""
        if stopped:
            return FinishReason.STOP
        if self.cancellation.cancelled:
            return self._cut_short()
        return FinishReason.LENGTH if self.stats.completion_tokens >= self._longest else None


class _StopSequences:
    """Buffers text that may turn out to be the beginning of a stop sequence."""

    def __init__(self, sequences: Sequence[str]) -> None:
        self.found: str | None = None
        self._sequences = sequences
        self._buffer = ""

    def feed(self, text: str) -> str:
        """Add text; returns what can't be part of a stop sequence."""
        self._buffer += text
        ends = [(at, each) for each in self._sequences if (at := self._buffer.find(each)) >= 0]
        if ends:
            end, self.found = min(ends)
            clear, self._buffer = self._buffer[:end], ""
            return clear
        size = len(self._buffer) - max((overlap(self._buffer, each) for each in self._sequences), default=0)
        clear, self._buffer = self._buffer[:size], self._buffer[size:]
        return clear

    def finish(self, text: str) -> str:
        """The rest of the buffer, with the last text behind it, unless a stop sequence was found."""
        return "" if self.found is not None else self._buffer + text


def overlap(text: str, stop: str) -> int:
    """Length of the longest suffix of `text` that is a proper prefix of `stop`."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if stop.startswith(text[-size:])), 0)
