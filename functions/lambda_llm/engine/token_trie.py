"""A model's vocabulary, as constraints need it.

Source: https://github.com/guidance-ai/llguidance/blob/main/python/llguidance/llamacpp.py
"""

import ctypes
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import llama_cpp
import llguidance
import numpy as np

from lambda_llm.engine import native
from lambda_llm.engine.loaded_model import LoadedModel

_BYTES: Final = 256
_SPECIAL: Final = b"\xff"
"""Begins the bytes of a token that no text of a grammar matches."""
_NO_TEXT: Final = (
    llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN | llama_cpp.LLAMA_TOKEN_ATTR_UNUSED
)


class TokenTrie(NamedTuple):
    """A model's vocabulary for constraints.

    Attributes:
        tokenizer: llguidance's own form of it.
        size: in tokens, of the model.
        digits: whether a token begins with a digit, of shape (size,).
        quotes: whether a token begins with a quotation mark, of shape (size,).
    """

    tokenizer: llguidance.LLTokenizer
    size: int
    digits: "np.ndarray[Any, np.dtype[np.bool_]]"
    quotes: "np.ndarray[Any, np.dtype[np.bool_]]"


def token_trie(model: LoadedModel) -> TokenTrie:
    """Read a model's vocabulary; takes half a second for 128,000 tokens.

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
    digits = np.array([piece[:1].isdigit() for piece in pieces], np.bool_)
    quotes = np.array([piece[:1] == b'"' for piece in pieces], np.bool_)
    tokenizer = _tokenizer(model, pieces, ends, writes_all=bytes_ >= _BYTES)
    return TokenTrie(tokenizer, model.vocabulary_size, digits, quotes)


def _tokenizer(model: LoadedModel, pieces: list[bytes], ends: list[int], *, writes_all: bool) -> llguidance.LLTokenizer:
    """A vocabulary as llguidance's tokenizer.

    Args:
        model: whose vocabulary it is.
        pieces: the bytes of each token.
        ends: tokens that end a turn.
        writes_all: whether there is a token for every byte.
    """
    if not ends:
        ends.append(len(pieces))
        pieces.append(_SPECIAL + b"end")
    # A SentencePiece vocabulary without all bytes can't write every text: llama.cpp throws, and the process would end.
    if llama_cpp.llama_vocab_type(model.vocabulary) != llama_cpp.LLAMA_VOCAB_TYPE_SPM or writes_all:
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
