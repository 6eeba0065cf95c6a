"""Follows an output through a constraint's grammar, by llguidance, over a model's own tokens."""

from dataclasses import replace
from typing import Any, Final

import llguidance
import llguidance.numpy
import numpy as np

from lambda_llm.engine.constraints import Constraint
from lambda_llm.engine.errors import ConstraintError, EngineError
from lambda_llm.engine.schemas import LIMITS, one_line
from lambda_llm.engine.token_trie import TokenTrie

DIGITS_MAX: Final = 20
"""Digits in a row of a number: an integer of 64 bits has 19. A model may go on with them for ever."""


def compiled(constraint: Constraint, trie: TokenTrie) -> Constraint:
    """The constraint with its grammar compiled, or with the wider one where it is over the limits.

    Raises:
        ConstraintError: llguidance can't compile it, or nothing matches it.
    """
    made = _compile(constraint.grammar, trie)
    if made.is_error():
        if constraint.wider is None:
            reason = one_line(made.get_error())
            raise _dead_end(reason) or ConstraintError(f"llguidance can't compile it ({reason}): simplify it.")
        return compiled(replace(constraint, grammar=constraint.wider, wider=None), trie)
    return replace(constraint, compiled=made)


def _compile(grammar: str, trie: TokenTrie) -> llguidance.LLMatcher:
    """A grammar as a matcher, which is in an error state where it is over the limits or nothing begins it."""
    made = llguidance.LLMatcher(trie.tokenizer, grammar, log_level=0, limits=LIMITS)
    first = made.deep_copy()
    first.compute_bitmask()
    return first if first.is_error() else made


def _dead_end(reason: str) -> ConstraintError | None:
    """The error for a place where llguidance finds no token that may come next."""
    if "NoExtension" not in reason:
        return None
    return ConstraintError("This model's vocabulary has no token that matches the schema: simplify it.")


class Matcher:
    """Follows an output through a constraint's grammar."""

    def __init__(self, constraint: Constraint, trie: TokenTrie) -> None:
        """Begin at the grammar's start.

        Args:
            constraint: compiled or not.
            trie: the model's vocabulary.

        Raises:
            ConstraintError: see `compiled`.
        """
        ready = constraint if constraint.compiled is not None else compiled(constraint, trie)
        self._matcher: llguidance.LLMatcher = ready.compiled.deep_copy()
        self._wider = ready.wider
        self._trie = trie
        self._consumed: list[int] = []
        self._mask = llguidance.numpy.allocate_token_bitmask(1, trie.tokenizer.vocab_size)
        self._digits = 0

    def allowed(self) -> "np.ndarray[Any, np.dtype[np.intp]]":
        """Ids of the tokens that may come next, in ascending order; empty at an end that no token writes.

        Raises:
            ConstraintError: no token of this vocabulary matches the grammar.
            EngineError: the grammar is over its limits, and there is no wider one.
        """
        llguidance.numpy.fill_next_token_bitmask(self._matcher, self._mask)
        if self._matcher.is_error():
            self._widen()
            return self.allowed()
        size = self._trie.size
        allowed = np.unpackbits(self._mask.view(np.uint8)[0], bitorder="little", count=size).view(np.bool_)
        if self._digits >= DIGITS_MAX and not (allowed & self._trie.quotes).any():  # in a number, not in a string
            shorter = allowed & ~self._trie.digits
            allowed = shorter if shorter.any() else allowed
        return np.flatnonzero(allowed)

    def consume(self, token: int) -> None:
        """Go on by one token, which must be one of those allowed.

        Raises:
            EngineError: as above.
        """
        self._matcher.consume_token(token)
        self._consumed.append(token)
        piece = self._trie.tokenizer.decode_bytes([token])
        rest = len(piece.rstrip(b"0123456789"))
        self._digits = len(piece) - rest + (0 if rest else self._digits)
        if self._matcher.is_error():
            self._widen()

    def follow(self, text: str) -> bool:
        """Go on by a text; returns whether it matches."""
        tokens = self._trie.tokenizer.tokenize_str(text)
        self._consumed += tokens
        return bool(self._matcher.try_consume_tokens(tokens) == len(tokens))

    def forced(self) -> list[int]:
        """The tokens that must come next, which are consumed: up to the next choice, or the end of the turn."""
        tokens = [] if self._matcher.is_error() else self._matcher.compute_ff_tokens()
        tokens = [] if self._matcher.is_error() else tokens
        for token in tokens:
            self.consume(token)
        if not tokens and self._matcher.is_stopped() and not self._matcher.is_error():
            tokens = [end for end in self._trie.tokenizer.eos_tokens[:1] if end < self._trie.size]
        return tokens

    def _widen(self) -> None:
        """Go on with the wider grammar, from the same place.

        Raises:
            ConstraintError, EngineError: there is none, or it doesn't match either.
        """
        reason = one_line(self._matcher.get_error())
        if self._wider is not None:
            self._matcher, self._wider = _compile(self._wider, self._trie), None
            if self._matcher.consume_tokens(self._consumed):
                return
        raise _dead_end(reason) or EngineError(
            f"llguidance can't follow the grammar any further ({reason}): simplify the schema."
        )
