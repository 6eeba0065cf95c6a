"""The decode loop: a prompt's tokens in, text out, one piece at a time."""

import codecs
import time
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from lambda_llm.engine.cancellation import Cancellation, CancelledError
from lambda_llm.engine.context_shift import fixed_prefix, make_room, shortened
from lambda_llm.engine.decoder import Decoder
from lambda_llm.engine.errors import ContextOverflowError
from lambda_llm.engine.prefix_cache import CacheScope, PrefixCache
from lambda_llm.engine.sampling import Sampler, Sampling, Scored, score
from lambda_llm.engine.session_store import SessionStore


class FinishReason(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class GenerationRequest:
    """What is to be generated.

    Attributes:
        prompt: token ids, at least one.
        sampling: how tokens are chosen.
        max_tokens: the longest answer; None: as long as the context allows.
        stop: texts before which the answer ends.
        top_logprobs: how many of the likeliest tokens to report with each token; None: no probabilities at all.
        preserved_tokens: control tokens that are part of the answer's text, as some models' marks of tool calls are.
        scope: who may reuse what this evaluates.
        remember: look for earlier turns in the session store, and leave this one there.
    """

    prompt: Sequence[int]
    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int | None = None
    stop: Sequence[str] = ()
    top_logprobs: int | None = None
    preserved_tokens: Container[int] = ()
    scope: CacheScope = field(default_factory=CacheScope)
    remember: bool = False


@dataclass
class GenerationStats:
    """What a generation took; final when it has ended.

    Attributes:
        prompt_tokens: length of the prompt as it was evaluated.
        cached_tokens: tokens of it that needed no evaluation.
        completion_tokens: tokens generated, the one that ended the turn included.
        finish_reason: None until the end, and where the engine failed.
        seconds_to_first_token: from the beginning to the first sampled token.
        decode_seconds: from there to the end.
    """

    prompt_tokens: int
    cached_tokens: int = 0
    completion_tokens: int = 0
    finish_reason: FinishReason | None = None
    seconds_to_first_token: float = 0.0
    decode_seconds: float = 0.0


def check_room(prompt: Sequence[int], context_length: int) -> None:
    """Return when a prompt leaves room for one token at least.

    Raises:
        ContextOverflowError: it does not.
    """
    if len(prompt) >= context_length:
        raise ContextOverflowError(len(prompt), context_length)


class Generation:
    """One run of a request; iterate once to generate the answer.

    Attributes:
        request: what is generated.
        prompt: token ids as they are evaluated; shortened where the oldest make room and the request's leave none.
        stats: what it took.
        cancellation: ends it within one token.
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
            decoder: generates it.
            prefixes: of that decoder.
            sessions: where turns are kept, for requests that are to be remembered; None: nowhere.
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
        # With the oldest tokens making room, an answer might never end.
        room = decoder.context_length - (0 if decoder.context_shift else len(self.prompt))
        self._longest = room if request.max_tokens is None else min(room, request.max_tokens)
        self._shifted = False
        self._scored: list[tuple[int, Scored]] = []
        self._shown = 0

    def __iter__(self) -> Iterator[str]:
        """Yield the answer piece by piece, never half a character and never part of a stop text."""
        request, stats, model = self.request, self.stats, self._decoder.model
        characters = codecs.getincrementaldecoder("utf-8")(errors="replace")
        held = _StopTexts(request.stop)
        started = first = time.perf_counter()
        decoded = 0
        with self._decoder.lock, Sampler(self._decoder, request.sampling) as sampler:
            try:
                self._prefill()
                while stats.finish_reason is None:
                    token = sampler.choose()
                    if stats.completion_tokens == 0:
                        first = time.perf_counter()
                    stats.completion_tokens += 1
                    if model.ends_turn(token):
                        stats.finish_reason = FinishReason.STOP
                        break
                    if request.top_logprobs is not None:
                        self._scored.append((decoded, score(self._decoder, token, request.top_logprobs)))
                    new = characters.decode(model.piece(token, control=token in request.preserved_tokens))
                    decoded += len(new)
                    if sampler.waiting:
                        sampler.observe(new)
                    if text := held.pass_on(new):
                        self._shown += len(text)
                        yield text
                    stats.finish_reason = self._reason(stopped=held.found)
                    if stats.finish_reason is None:
                        self._save()
                        self._append(token)
                self._save()
            except CancelledError:
                stats.finish_reason = FinishReason.CANCELLED
            finally:
                ended = time.perf_counter()
                self._forget_what_moved()
                stats.seconds_to_first_token = first - started
                stats.decode_seconds = ended - first
        if rest := held.rest(characters.decode(b"", final=True)):
            self._shown += len(rest)
            yield rest

    def settle(self) -> None:
        """Wait until the turn is in the session store; a process may be frozen as soon as its answer ended."""
        if self._turn:
            self._turn.settle()

    @property
    def remembered(self) -> bool:
        """Whether there is something to `settle`."""
        return self._turn is not None

    def cancelled_while_waiting(self) -> None:
        """Record that the client left before the run began."""
        self.stats.finish_reason = FinishReason.CANCELLED

    def take_scored(self) -> list[Scored]:
        """The tokens of what was shown since the last call, with their probabilities, if `top_logprobs` asks for it."""
        ready = [scored for start, scored in self._scored if start < self._shown]
        del self._scored[: len(ready)]
        return ready

    def _prefill(self) -> None:
        cached = self._prefixes.load(self.prompt, self.request.scope)
        if self._turn:
            self._turn.load(cached, self.cancellation)
        self.stats.cached_tokens = self._decoder.evaluate(self.prompt, self.cancellation)

    def _append(self, token: int) -> None:
        if self._decoder.context_shift and len(self._decoder.evaluated) >= self._decoder.context_length:
            make_room(self._decoder, fixed_prefix(self._prefixes, self.prompt))
            self._shifted = True
        self._decoder.append(token)

    def _forget_what_moved(self) -> None:
        if self._shifted:
            self._decoder.truncate(fixed_prefix(self._prefixes, self.prompt))

    def _save(self) -> None:
        reason = self.stats.finish_reason
        if self._turn is None or self._shifted or reason is FinishReason.CANCELLED:
            return
        if reason is not None:
            self._turn.save_answer()
        elif self.stats.completion_tokens == 1:
            self._turn.save_prompt()  # beside the answer, which takes longer

    def _reason(self, *, stopped: bool) -> FinishReason | None:
        """Why the answer is to end here, or None."""
        if stopped:
            return FinishReason.STOP
        if self.cancellation.cancelled:
            return FinishReason.CANCELLED
        return FinishReason.LENGTH if self.stats.completion_tokens >= self._longest else None


class _StopTexts:
    """Keeps back text that may turn out to be the beginning of a stop text."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.found = False
        self._texts = texts
        self._held = ""

    def pass_on(self, text: str) -> str:
        """Add text; returns what can be shown."""
        self._held += text
        ends = [at for each in self._texts if (at := self._held.find(each)) >= 0]
        if ends:
            self.found = True
            shown, self._held = self._held[: min(ends)], ""
            return shown
        keep = max((overlap(self._held, each) for each in self._texts), default=0)
        shown, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return shown

    def rest(self, text: str) -> str:
        """What was kept back when the answer ended otherwise."""
        return "" if self.found else self._held + text


def overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that is a beginning of `stop`, but not all of it."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if stop.startswith(text[-size:])), 0)
