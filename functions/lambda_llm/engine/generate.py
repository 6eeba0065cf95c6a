"""The decode loop: tokens in, text out, one piece at a time."""

import codecs
import time
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from lambda_llm.engine.errors import ContextOverflowError, NotGenerativeError
from lambda_llm.engine.model import Cancellation, CancelledError, Model
from lambda_llm.engine.overflow import kept_beginning, make_room, shortened
from lambda_llm.engine.prefix import Scope
from lambda_llm.engine.sampling import Sampler, Sampling, Scored, score
from lambda_llm.engine.session_store import SessionStore


class FinishReason(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"


def check_room(prompt: Sequence[int], context: int) -> None:
    """Return when a prompt leaves room for one token at least.

    Raises:
        ContextOverflowError: it does not.
    """
    if len(prompt) >= context:
        raise ContextOverflowError(len(prompt), context)


@dataclass
class Generation:
    """One answer; iterate once to generate it. Counts are final when the iteration has ended.

    Attributes:
        model: generates.
        prompt: token ids; shortened where the model's oldest tokens make room and these leave none.
        sampling: how to choose.
        max_tokens: the longest answer; None: as long as the context allows.
        stop: texts before which the answer ends.
        cancellation: ends the generation within one token.
        top_logprobs: how many of the likeliest tokens to tell with each token; None: tell no probabilities at all.
        written_out: control tokens that are part of the answer's text, as some models' marks of tool calls are.
        scope: who may find what this evaluates.
        sessions: where earlier turns are looked for, and this one is left; None: nowhere.
        cached_tokens: tokens of the prompt that needed no evaluation.
        completion_tokens: tokens generated, the one that ended the turn included.
        finish_reason: None until the end.
        seconds_to_first_token: from the beginning of the iteration to the first sampled token.
        decode_seconds: from there to the end.
    """

    model: Model
    prompt: Sequence[int]
    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int | None = None
    stop: Sequence[str] = ()
    cancellation: Cancellation = field(default_factory=Cancellation)
    top_logprobs: int | None = None
    written_out: Container[int] = ()
    scope: Scope = field(default_factory=Scope)
    sessions: SessionStore | None = None
    cached_tokens: int = 0
    completion_tokens: int = 0
    finish_reason: FinishReason | None = None
    seconds_to_first_token: float = 0.0
    decode_seconds: float = 0.0

    def __post_init__(self) -> None:
        """Check before anything is computed.

        Raises:
            NotGenerativeError: the model is an encoder.
            ContextOverflowError: the prompt leaves no room for one token.
        """
        if not self.model.generates:
            raise NotGenerativeError
        if self.model.shifts and len(self.prompt) >= self.model.context:
            self.prompt = shortened(self.model, self.prompt)
        check_room(self.prompt, self.model.context)
        # With the oldest making room, an answer might never end.
        room = self.model.context - (0 if self.model.shifts else len(self.prompt))
        self._shifted = False
        self._turn = self.sessions.turn(self.prompt, self.scope) if self.sessions else None
        self._scored: list[tuple[int, Scored]] = []
        self._shown = 0
        self._most = min(room, self.max_tokens) if self.max_tokens is not None else room

    def __iter__(self) -> Iterator[str]:
        """Yield the answer piece by piece, never half a character and never part of a stop text."""
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        held = _StopTexts(self.stop)
        started = first = time.perf_counter()
        decoded = 0
        with self.model.lock, Sampler(self.model, self.sampling) as sampler:
            try:
                self._prefill()
                while self.finish_reason is None:
                    token = sampler.choose()
                    if self.completion_tokens == 0:
                        first = time.perf_counter()
                    self.completion_tokens += 1
                    if self.model.ends(token):
                        self.finish_reason = FinishReason.STOP
                        break
                    if self.top_logprobs is not None:
                        self._scored.append((decoded, score(self.model, token, self.top_logprobs)))
                    new = decoder.decode(self.model.piece(token, control=token in self.written_out))
                    decoded += len(new)
                    if sampler.waiting:
                        sampler.saw(new)
                    if text := held.pass_on(new):
                        self._shown += len(text)
                        yield text
                    self.finish_reason = self._reason(stopped=held.found)
                    if self.finish_reason is None:
                        self._save()
                        self._append(token)
                self._save()
            except CancelledError:
                self.finish_reason = FinishReason.CANCELLED
            finally:
                ended = time.perf_counter()
                self._forget_what_moved()
                self.seconds_to_first_token = first - started
                self.decode_seconds = ended - first
        if rest := held.rest(decoder.decode(b"", final=True)):
            self._shown += len(rest)
            yield rest

    def settle(self) -> None:
        """Wait until the conversation is in the session store; a process may be frozen as soon as its answer ended."""
        if self._turn:
            self._turn.settle()

    def _prefill(self) -> None:
        known = self.model.prefixes.recall(self.prompt, self.scope)
        if self._turn:
            self._turn.recall(known, self.cancellation)
        self.cached_tokens = self.model.evaluate(self.prompt, self.cancellation)

    def _append(self, token: int) -> None:
        if self.model.shifts and len(self.model.evaluated) >= self.model.context:
            make_room(self.model, kept_beginning(self.model, self.prompt))
            self._shifted = True
        self.model.append(token)

    def _forget_what_moved(self) -> None:
        if self._shifted:
            self.model.cut(kept_beginning(self.model, self.prompt))

    def _save(self) -> None:
        if self._turn is None or self._shifted or self.finish_reason is FinishReason.CANCELLED:
            return
        if self.finish_reason is not None:
            self._turn.save_answer()
        elif self.completion_tokens == 1:
            self._turn.save_prompt()  # beside the answer, which takes longer

    def _reason(self, *, stopped: bool) -> FinishReason | None:
        """Why the answer is to end here, or None."""
        if stopped:
            return FinishReason.STOP
        if self.cancellation.cancelled:
            return FinishReason.CANCELLED
        return FinishReason.LENGTH if self.completion_tokens >= self._most else None

    def take_scored(self) -> list[Scored]:
        """The tokens of what was shown since the last call, with their probabilities; `top_logprobs` asks for them."""
        ready = [scored for start, scored in self._scored if start < self._shown]
        del self._scored[: len(ready)]
        return ready


class _StopTexts:
    """Holds back text that may turn out to be the beginning of a stop text."""

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
        """What was held back when the answer ended otherwise."""
        return "" if self.found else self._held + text


def overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that is a beginning of `stop`, but not all of it."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if stop.startswith(text[-size:])), 0)
