"""Sampling: how the next token is chosen."""

import ctypes
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import llama_cpp
import numpy as np

from lambda_llm.engine.constraints import Constraint
from lambda_llm.engine.decoder import Decoder
from lambda_llm.engine.errors import ConstraintError
from lambda_llm.engine.matcher import Matcher

_OWN_SEED: Final = 0xFFFFFFFF
"""LLAMA_DEFAULT_SEED: with this value llama.cpp draws a random seed."""
_CANDIDATE: Final = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
"""llama.cpp's `llama_token_data`."""
_TAIL: Final = 64
"""Characters that are searched for a marker: more than any marker has."""
GREEDY_BELOW: Final = 1e-6
"""Temperatures below it are greedy: divided by them, logits would not be finite any more."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        temperature: 0 (below 1e-6) is greedy; higher is more varied.
        top_p: only the most likely tokens whose probabilities sum up to this are considered; 0 is greedy.
        top_k: only this many of the most likely tokens are considered; 0: all.
        min_p: only tokens with at least this fraction of the highest probability are considered.
        seed: makes the choice reproducible; None draws one from the system's entropy.
        logit_bias: added to the logits, by token id.
        presence_penalty: subtracted from the logit of each token that was generated before.
        frequency_penalty: subtracted once for each time that the token was generated before.
        repeat_penalty: divides the (positive) logit of each token that was generated before.
        constraint: what the output must look like.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repeat_penalty: float = 1.0
    constraint: Constraint | None = None


class Scored(NamedTuple):
    """A token with its log probability, from the raw logits, before any sampler.

    Attributes:
        token: its id.
        logprob: natural logarithm of its probability.
        top: the most likely tokens at its position with their log probabilities, the most likely first.
        at: where its text begins in the generated text, in characters.
    """

    token: int
    logprob: float
    top: Sequence[tuple[int, float]]
    at: int = 0


def score(decoder: Decoder, token: int, top: int, at: int = 0) -> Scored:
    """Log probabilities, from the current logits, of `token` and of the `top` most likely tokens.

    Args:
        decoder: which computed the logits.
        token: that was chosen.
        top: how many others to report.
        at: where its text begins in the generated text, in characters.
    """
    logits = decoder.logits().astype(np.float64)
    logits -= logits.max()
    logits -= np.log(np.exp(logits).sum())
    candidates = np.argpartition(logits, -top)[-top:] if top else np.empty(0, np.int64)
    ordered = candidates[np.argsort(-logits[candidates], kind="stable")]
    return Scored(token, float(logits[token]), [(int(each), float(logits[each])) for each in ordered], at)


class Sampler:
    """Samples the tokens of one generation; close it afterwards.

    It is one llama.cpp sampler chain. Without a constraint the chain works on the logits in place, without a Python
    object per token; with one it is given the tokens that the grammar allows, and no others.
    """

    def __init__(self, decoder: Decoder, sampling: Sampling) -> None:
        """Build the chain.

        Args:
            decoder: whose logits are sampled.
            sampling: how tokens are chosen.

        Raises:
            ConstraintError: llguidance can't compile the grammar.
        """
        self._decoder = decoder
        self._matcher: Matcher | None = None
        self._waiting: list[str] = []
        self._tail = ""
        self._chain = _chain(decoder, sampling)
        if sampling.constraint:
            self._constraint = sampling.constraint
            self._waiting = list(sampling.constraint.after)
            self._candidates = np.zeros(decoder.model.vocabulary_size, _CANDIDATE)
            try:
                self._start_matcher_when_due()
            except ConstraintError:
                self.close()
                raise

    @property
    def waiting(self) -> bool:
        """Whether the constraint does not apply yet: then pass the generated text to `observe`."""
        return bool(self._waiting)

    def choose(self) -> int | None:
        """Sample the next token from the decoder's current logits.

        Returns:
            The token; None where the output is complete and the vocabulary has no token that ends it.

        Raises:
            NonFiniteError: the logits are not finite.
            ConstraintError: no token of this vocabulary matches the grammar.
            EngineError: the grammar is over its limits.
        """
        if self._matcher is None:
            return self._decoder.sample(self._chain)
        logits = self._decoder.logits()
        allowed = self._matcher.allowed()
        if not allowed.size:
            return None
        candidates = self._candidates[: allowed.size]
        candidates["id"], candidates["logit"] = allowed, logits[allowed]
        token = self._pick(_array(candidates))
        llama_cpp.llama_sampler_accept(self._chain, token)
        self._matcher.consume(token)
        return token

    def forced(self) -> list[int]:
        """The tokens that must come next, whatever the logits; none without a constraint.

        Raises:
            EngineError: the grammar is over its limits.
        """
        tokens = self._matcher.forced() if self._matcher else []
        for token in tokens:
            llama_cpp.llama_sampler_accept(self._chain, token)
        return tokens

    def observe(self, text: str) -> None:
        """Look for the next marker in the generated text, while `waiting`.

        Raises:
            ConstraintError: llguidance can't compile the grammar.
        """
        self._tail = (self._tail + text)[-_TAIL:]
        marker = self._waiting[0]
        if self._constraint.leading and len(self._waiting) == 1:
            begun = self._tail.lstrip()
            if marker.startswith(begun) and begun != marker:
                return
            if not begun.startswith(marker):
                self._waiting.clear()  # the output does not begin with the marker: the grammar never applies
                return
        _, found, behind = self._tail.partition(marker)
        if not found:
            return
        del self._waiting[0]
        self._tail = ""
        if self._waiting:
            self.observe(behind)
            return
        self._start_matcher_when_due()
        if self._matcher and not self._matcher.follow(behind):
            self._matcher = None  # the token with the end of the marker goes on in another way

    def close(self) -> None:
        """Free the chain; closing twice is fine."""
        if self._chain:
            llama_cpp.llama_sampler_free(self._chain)
        self._chain = self._matcher = None

    def _start_matcher_when_due(self) -> None:
        if not self._waiting:
            self._matcher = Matcher(self._constraint, self._decoder.trie)

    def _pick(self, array: Any) -> int:
        llama_cpp.llama_sampler_apply(self._chain, ctypes.byref(array))
        return int(array.data[array.selected].id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _array(candidates: np.ndarray) -> Any:
    data = candidates.ctypes.data_as(llama_cpp.llama_token_data_p)
    return llama_cpp.llama_token_data_array(data=data, size=len(candidates), selected=-1, sorted=False)


def _chain(decoder: Decoder, sampling: Sampling) -> Any:
    """A chain in the order that llama.cpp recommends: logit modifiers, then filters, then the sampler that chooses."""
    vocabulary_size = decoder.model.vocabulary_size
    chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())

    def add(sampler: Any) -> None:
        llama_cpp.llama_sampler_chain_add(chain, sampler)

    if sampling.logit_bias:
        biases = [llama_cpp.llama_logit_bias(token, bias) for token, bias in sampling.logit_bias.items()]
        array = (llama_cpp.llama_logit_bias * len(biases))(*biases)
        add(llama_cpp.llama_sampler_init_logit_bias(vocabulary_size, len(biases), array))
    if (sampling.repeat_penalty, sampling.frequency_penalty, sampling.presence_penalty) != (1, 0, 0):
        add(
            llama_cpp.llama_sampler_init_penalties(
                vocabulary_size,
                decoder.context_length,  # count all generated tokens, as OpenAI does, not llama.cpp's last 64
                sampling.repeat_penalty,
                sampling.frequency_penalty,
                sampling.presence_penalty,
            )
        )
    if sampling.temperature < GREEDY_BELOW or sampling.top_p == 0:
        add(llama_cpp.llama_sampler_init_greedy())
        return chain
    if sampling.top_k:
        add(llama_cpp.llama_sampler_init_top_k(sampling.top_k))
    if sampling.top_p < 1:
        add(llama_cpp.llama_sampler_init_top_p(sampling.top_p, 1))
    if sampling.min_p:
        add(llama_cpp.llama_sampler_init_min_p(sampling.min_p, 1))
    seed = sampling.seed if sampling.seed is not None else secrets.randbits(32)
    add(llama_cpp.llama_sampler_init_temp(sampling.temperature))
    add(llama_cpp.llama_sampler_init_dist(seed % _OWN_SEED))
    return chain
