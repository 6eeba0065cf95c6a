"""Follows an output through a constraint's grammar, by llguidance, over a model's own tokens.

Source: https://github.com/guidance-ai/llguidance/blob/main/python/llguidance/llamacpp.py
"""

import ctypes
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import llama_cpp
import llguidance
import llguidance.numpy
import numpy as np

from lambda_llm.engine import native
from lambda_llm.engine.constraints import Constraint
from lambda_llm.engine.errors import ConstraintError, EngineError
from lambda_llm.engine.loaded_model import LoadedModel
from lambda_llm.engine.schemas import LIMITS, one_line

_BYTES: Final = 256
_SPECIAL: Final = b"\xff"
"""Begins the bytes of a token that no text of a grammar matches."""
_NO_TEXT: Final = (
    llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN | llama_cpp.LLAMA_TOKEN_ATTR_UNUSED
)


def token_trie(model: LoadedModel) -> llguidance.LLTokenizer:
    """A model's vocabulary for llguidance; takes half a second for 128,000 tokens.

    Where the vocabulary has no token that ends a turn, the id behind the last one stands for it.

    Args:
        model: must stay open for as long as the result is used.
    """
    pieces, ends, bytes_ = [], [], 0
    for token in range(model.vocabulary_size):
        piece = model.piece(token, control=True)
        attributes = llama_cpp.llama_vocab_get_attr(model.vocabulary, token)
        marker = attributes & llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED and piece[:1] == b"<" and piece[-1:] == b">"
        pieces.append(_SPECIAL + piece if attributes & _NO_TEXT or marker else piece)
        bytes_ += bool(attributes & llama_cpp.LLAMA_TOKEN_ATTR_BYTE)
        if model.ends_turn(token):
            ends.append(token)
    if not ends:
        ends.append(len(pieces))
        pieces.append(_SPECIAL + b"end")
    # A SentencePiece vocabulary without all bytes can't write every text: llama.cpp throws, and the process would end.
    if llama_cpp.llama_vocab_type(model.vocabulary) != llama_cpp.LLAMA_VOCAB_TYPE_SPM or bytes_ >= _BYTES:
        # As llguidance's own helper does, which knows neither several ends of a turn nor unused tokens.
        tokenize = ctypes.cast(native.library().llama_tokenize, ctypes.c_void_p).value
        with suppress(ValueError):  # llama.cpp writes a space before each text, and llguidance finds no way around it
            made: llguidance.LLTokenizer = llguidance.LLTokenizer.from_llamacpp(  # type: ignore[attr-defined]
                tokens=pieces, vocab_ptr=model.vocabulary, tokenize_fptr=tokenize, eos_token=ends
            )
            return made
    return llguidance.LLTokenizer(_Greedy(pieces, ends[0]), eos_token=ends)


class _Greedy(llguidance.TokenizerWrapper):
    """Writes texts with the longest token at each place, and leaves out what no token writes."""

    def __init__(self, pieces: Sequence[bytes], end: int) -> None:
        # What LLTokenizer reads; the base class would want another tokenizer to take it from.
        self.eos_token_id = end
        self.bos_token_id = None
        self.tokens = pieces
        self.special_token_ids = [token for token, piece in enumerate(pieces) if piece.startswith(_SPECIAL)]
        self.is_tokenizer_wrapper = True
        self._ids = {piece: token for token, piece in enumerate(pieces) if piece}
        self._longest = max(map(len, self._ids), default=0)

    def __call__(self, value: str | bytes) -> list[int]:
        data = value.encode() if isinstance(value, str) else value
        tokens, at = [], 0
        while at < len(data):
            size = next((size for size in range(self._longest, 0, -1) if data[at : at + size] in self._ids), 0)
            if size:
                tokens.append(self._ids[data[at : at + size]])
            at += max(size, 1)
        return tokens


def compiled(constraint: Constraint, trie: llguidance.LLTokenizer) -> Constraint:
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


def _compile(grammar: str, trie: llguidance.LLTokenizer) -> llguidance.LLMatcher:
    """A grammar as a matcher, which is in an error state where it is over the limits or nothing begins it."""
    made = llguidance.LLMatcher(trie, grammar, log_level=0, limits=LIMITS)
    if not made.is_error():
        made.deep_copy().compute_bitmask()
    return made


def _dead_end(reason: str) -> ConstraintError | None:
    """The error for a place where llguidance finds no token that may come next."""
    if "NoExtension" not in reason:
        return None
    return ConstraintError("This model's vocabulary has no token that matches the schema: simplify it.")


class Matcher:
    """Follows an output through a constraint's grammar."""

    def __init__(self, constraint: Constraint, trie: llguidance.LLTokenizer, vocabulary_size: int) -> None:
        """Begin at the grammar's start.

        Args:
            constraint: compiled or not.
            trie: see `token_trie`.
            vocabulary_size: of the model, in tokens.

        Raises:
            ConstraintError: see `compiled`.
        """
        ready = constraint if constraint.compiled is not None else compiled(constraint, trie)
        self._matcher: llguidance.LLMatcher = ready.compiled.deep_copy()
        self._wider = ready.wider
        self._trie = trie
        self._size = vocabulary_size
        self._consumed: list[int] = []
        self._mask = llguidance.numpy.allocate_token_bitmask(1, trie.vocab_size)

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
        bits = np.unpackbits(self._mask.view(np.uint8)[0], bitorder="little", count=self._size)
        return np.flatnonzero(bits)

    def consume(self, token: int) -> None:
        """Go on by one token, which must be one of those allowed.

        Raises:
            EngineError: as above.
        """
        self._matcher.consume_token(token)
        self._consumed.append(token)
        if self._matcher.is_error():
            self._widen()

    def follow(self, text: str) -> bool:
        """Go on by a text; returns whether it matches."""
        tokens = self._trie.tokenize_str(text)
        self._consumed += tokens
        return bool(self._matcher.try_consume_tokens(tokens) == len(tokens))

    def forced(self) -> list[int]:
        """The tokens that must come next, which are consumed: up to the next choice, or the end of the turn."""
        tokens = [] if self._matcher.is_error() else self._matcher.compute_ff_tokens()
        tokens = [] if self._matcher.is_error() else tokens
        for token in tokens:
            self.consume(token)
        if not tokens and self._matcher.is_stopped() and not self._matcher.is_error():
            tokens = [end for end in self._trie.eos_tokens[:1] if end < self._size]
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
