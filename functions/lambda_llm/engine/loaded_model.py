"""A model in llama.cpp: weights and vocabulary, without a context."""

import ctypes
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from types import TracebackType
from typing import Any, Final, Self

import llama_cpp

from lambda_llm.engine import native
from lambda_llm.engine.errors import ContextOverflowError, EngineError, UnknownTextError
from lambda_llm.gguf.errors import UnsupportedModelError
from lambda_llm.gguf.header import decoded
from lambda_llm.gguf.memory_plan import EMBEDDING
from lambda_llm.gguf.options import Weights

_ALIGNMENT: Final = 64
"""Bytes; more than ggml requires of a buffer's address (TENSOR_ALIGNMENT in ggml-impl.h)."""
_BYTES_PER_TOKEN: Final = 8
"""Of most texts a token has fewer bytes: if the first so many bytes have too many tokens, the rest need not be read."""
_CUT_TOKENS: Final = 64
"""By how many tokens a text that was cut anywhere may be longer than the same part of the whole."""
_CONTROL: Final = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN
_SPECIAL: Final = _CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED
_VALUE_BYTES: Final = 1024
"""Values of the header that are longer are left out of `metadata`."""
_CHARACTER_BYTES: Final = 4
"""Longest character in UTF-8."""
_PIECE_BYTES: Final = 128
"""Nearly every token is shorter; a longer one costs a second call."""


class LoadedModel:
    """Weights and vocabulary, which contexts (`Decoder`, `Encoder`) use. Safe to use from several threads.

    Attributes:
        handle: llama.cpp's `llama_model *`.
        vocabulary: llama.cpp's `llama_vocab *`.
        vocabulary_size: in tokens.
        window: tokens that layers with a sliding window see; 0: there is no such layer.
        divisible: whether its KV cache can be truncated and split; a recurrent model has one state for all tokens.
    """

    def __init__(self, path: str, placement: Weights, when_read: Callable[[], object] = lambda: None) -> None:
        """Open a GGUF file.

        Args:
            path: for example `MemoryFile.path`.
            placement: `copied` (repacked; the file can be closed afterwards) or `mapped` (the file's pages are
                the weights; no repacking).
            when_read: called once the file is no longer needed.

        Raises:
            UnsupportedModelError: llama.cpp can't run this model.
        """
        native.start()
        try:
            self.handle, reason = native.surviving(lambda: _opened(path, placement))
        except native.AssertionFailedError as error:
            self.handle, reason = None, str(error)
        if not self.handle:
            raise _unsupported(reason or "it gives no reason")
        self.vocabulary = llama_cpp.llama_model_get_vocab(self.handle)
        self.vocabulary_size = int(llama_cpp.llama_vocab_n_tokens(self.vocabulary))
        if problem := self._wrong_special_tokens():
            self.close()
            raise _unsupported(problem)
        when_read()
        self.window = int(llama_cpp.llama_model_n_swa(self.handle))
        self.divisible = not (
            llama_cpp.llama_model_is_recurrent(self.handle) or llama_cpp.llama_model_is_hybrid(self.handle)
        )

    @property
    def chat_template(self) -> str:
        """The default Jinja template in the GGUF file, or an empty string."""
        return self._template(None)

    @property
    def tool_template(self) -> str:
        """The Jinja template for conversations with tools, `tool_use`, or an empty string."""
        return self._template(b"tool_use")

    @property
    def architecture(self) -> str:
        """For example `llama`."""
        return self._described()[0]

    @property
    def quantization(self) -> str:
        """For example `Q4_K - Medium`."""
        return self._described()[-1]

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return int(llama_cpp.llama_model_n_params(self.handle))

    @property
    def weight_bytes(self) -> int:
        """Size of the weights in bytes."""
        return int(llama_cpp.llama_model_size(self.handle))

    def metadata(self) -> dict[str, str]:
        """The header's keys and values as llama.cpp writes them, without arrays and long texts."""
        buffer = ctypes.create_string_buffer(_VALUE_BYTES)
        found: dict[str, str] = {}
        for index in range(llama_cpp.llama_model_meta_count(self.handle)):
            size = llama_cpp.llama_model_meta_key_by_index(self.handle, index, buffer, _VALUE_BYTES)
            key = buffer.value.decode(errors="replace")
            value = llama_cpp.llama_model_meta_val_str_by_index(self.handle, index, buffer, _VALUE_BYTES)
            if max(size, value) < _VALUE_BYTES and not buffer.value.startswith(b"["):
                found[key] = buffer.value.decode(errors="replace")
        return found

    @property
    def bos(self) -> str:
        """Text of the beginning-of-sequence token, or an empty string."""
        return self._control_text(llama_cpp.llama_vocab_bos(self.vocabulary))

    @property
    def eos(self) -> str:
        """Text of the end-of-sequence token, or an empty string."""
        return self._control_text(llama_cpp.llama_vocab_eos(self.vocabulary))

    def tokenize(
        self, text: str, *, add_special: bool, parse_special: bool = True, at_most: int | None = None
    ) -> list[int]:
        """Turn text into token ids.

        Args:
            text: any text.
            add_special: add BOS (and EOS) where the model's header says so.
            parse_special: parse the text of control tokens into these tokens, instead of treating it as plain text.
            at_most: number of tokens; bounds the time, which llama.cpp needs in proportion to the square of the length
                of some texts.

        Raises:
            ContextOverflowError: there are more than `at_most` tokens.
            UnknownTextError: the vocabulary has neither a token nor bytes for a character.
            EngineError: llama.cpp failed.
        """
        if self._characters is not None and text:  # before the text comes a space
            for character in (" ", *text):
                if character not in self._characters:
                    raise UnknownTextError(character)
        data = text.encode()
        if at_most is not None:
            part = at_most * _BYTES_PER_TOKEN
            while part < len(data):
                head = data[:part].decode(errors="ignore").encode()  # without half a character at its end
                count = len(self._tokenize(head, add_special=add_special, parse_special=parse_special))
                if count > at_most + _CUT_TOKENS:
                    raise ContextOverflowError(count, at_most, at_least=True)
                part *= 2
        tokens = self._tokenize(data, add_special=add_special, parse_special=parse_special)
        if at_most is not None and len(tokens) > at_most:
            raise ContextOverflowError(len(tokens), at_most)
        return tokens

    def prompt_tokens(self, text: str, *, at_most: int | None = None) -> list[int]:
        """The token ids of a prompt: with one BOS where the header asks for it, and never an EOS behind it.

        Args:
            text: any text; may begin with the text of BOS.
            at_most: see `tokenize`.

        Raises:
            ContextOverflowError, EngineError: as `tokenize`.
        """
        tokens = self.tokenize(text, add_special=False, at_most=at_most)
        begins = int(llama_cpp.llama_vocab_bos(self.vocabulary))
        if llama_cpp.llama_vocab_get_add_bos(self.vocabulary) and begins >= 0 and tokens[:1] != [begins]:
            tokens.insert(0, begins)
        return tokens

    def special_texts(self) -> Iterator[tuple[str, bool]]:
        """Texts of the tokens that are no ordinary text, each with whether it is user-defined instead of a control."""
        for token in range(self.vocabulary_size):
            kind = llama_cpp.llama_vocab_get_attr(self.vocabulary, token)
            if kind & _SPECIAL and (text := self._control_text(token)):
                yield text, not kind & _CONTROL

    def _tokenize(self, data: bytes, *, add_special: bool, parse_special: bool) -> list[int]:
        size = len(data) + 2  # every token but BOS and EOS takes at least a byte
        tokens = (llama_cpp.llama_token * size)()
        count = llama_cpp.llama_tokenize(self.vocabulary, data, len(data), tokens, size, add_special, parse_special)
        if count < 0:
            raise EngineError(f"llama.cpp needs {-count} tokens for {len(data)} bytes of text.")
        return tokens[:count]

    def piece(self, token: int, *, control: bool = False) -> bytes:
        """The bytes of a token: possibly part of a character.

        Args:
            token: its id.
            control: return the text of control tokens, which otherwise are empty.
        """
        # A buffer for each call: the decode thread and the event loop call this at the same time.
        buffer = ctypes.create_string_buffer(_PIECE_BYTES)
        size = llama_cpp.llama_token_to_piece(self.vocabulary, token, buffer, _PIECE_BYTES, 0, control)
        if size < 0:
            buffer = ctypes.create_string_buffer(-size)
            size = llama_cpp.llama_token_to_piece(self.vocabulary, token, buffer, -size, 0, control)
        return buffer.raw[:size]

    def ends_turn(self, token: int) -> bool:
        """Whether the token ends the model's turn: EOS, EOT and the like."""
        return bool(llama_cpp.llama_vocab_is_eog(self.vocabulary, token))

    def close(self) -> None:
        """Free the weights; close every context first. Closing twice is fine."""
        if self.handle:
            llama_cpp.llama_model_free(self.handle)
            self.handle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _described(self) -> list[str]:
        buffer = ctypes.create_string_buffer(_VALUE_BYTES)
        llama_cpp.llama_model_desc(self.handle, buffer, _VALUE_BYTES)
        return buffer.value.decode(errors="replace").split(maxsplit=2) or [""]

    def _template(self, name: bytes | None) -> str:
        template: bytes | None = llama_cpp.llama_model_chat_template(self.handle, name)
        return decoded(template) if template else ""

    def _control_text(self, token: int) -> str:
        text: bytes | None = llama_cpp.llama_vocab_get_text(self.vocabulary, token) if token >= 0 else None
        return decoded(text) if text else ""

    def _wrong_special_tokens(self) -> str:
        """What llama.cpp asserts each time that it tokenizes a text with BOS, EOS and separator; empty: all is well."""
        vocabulary = self.vocabulary
        is_bert = llama_cpp.llama_vocab_type(vocabulary) == llama_cpp.LLAMA_VOCAB_TYPE_WPM
        for name, added, token in (
            ("BOS", is_bert or llama_cpp.llama_vocab_get_add_bos(vocabulary), llama_cpp.llama_vocab_bos(vocabulary)),
            (
                "EOS",
                not is_bert and llama_cpp.llama_vocab_get_add_eos(vocabulary),
                llama_cpp.llama_vocab_eos(vocabulary),
            ),
            ("a separator", is_bert, llama_cpp.llama_vocab_sep(vocabulary)),
        ):
            if added and token < 0:
                return f"its tokenizer adds {name} and names none"
        if llama_cpp.llama_model_has_encoder(self.handle) and llama_cpp.llama_model_has_decoder(self.handle):
            return "encoder-decoder models are not supported"
        return ""

    @cached_property
    def _characters(self) -> frozenset[str] | None:
        """The characters that have tokens, for SentencePiece without a token for each byte; None: any text will do.

        llama.cpp throws a C++ exception at any other character, which ends the process.
        """
        if llama_cpp.llama_vocab_type(self.vocabulary) != llama_cpp.LLAMA_VOCAB_TYPE_SPM:
            return None
        bytes_left = {b"<0x%02X>" % byte for byte in range(256)}
        characters = set()
        for token in range(self.vocabulary_size):
            text: bytes = llama_cpp.llama_vocab_get_text(self.vocabulary, token)
            bytes_left.discard(text)
            if not bytes_left:
                return None
            if len(text) <= _CHARACTER_BYTES and len(character := text.decode(errors="replace")) == 1:
                characters.add(" " if character == "▁" else character)
        return frozenset(characters)


def _opened(path: str, placement: Weights) -> tuple[Any, str]:
    """llama.cpp's handle, or None and its errors."""
    native.last_errors()
    parameters, keep = _model_parameters(placement)
    handle = llama_cpp.llama_model_load_from_file(path.encode(), parameters)
    del keep
    return handle, native.last_errors()


def _unsupported(reason: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"llama.cpp can't run the model ({reason}): use one whose architecture it supports, converted by a current "
        "llama.cpp."
    )


def _model_parameters(placement: Weights) -> tuple[Any, Any]:
    """Parameters, and the object that must stay referenced while they are used."""
    parameters = llama_cpp.llama_model_default_params()
    parameters.n_gpu_layers = 0
    if placement is Weights.MAPPED:
        parameters.load_mode = llama_cpp.LLAMA_LOAD_MODE_MMAP
        parameters.use_extra_bufts = False  # repacking a mapped tensor would make a second copy of it
        return parameters, None
    parameters.load_mode = llama_cpp.LLAMA_LOAD_MODE_NONE
    # Where the embedding is tied to the output matrix, llama.cpp would keep two copies: a plain and a repacked one.
    plain = _Override(f"^{re.escape(EMBEDDING)}$".encode(), _plain_buffer_type())
    overrides = (_Override * 2)(plain)  # terminated by an empty one
    parameters.tensor_buft_overrides = ctypes.addressof(overrides)
    return parameters, overrides


class _Override(ctypes.Structure):
    """`llama_model_tensor_buft_override` in llama.h."""

    _fields_ = (("pattern", ctypes.c_char_p), ("buffer_type", ctypes.c_void_p))


def _plain_buffer_type() -> int:
    """A buffer type whose tensors are never repacked: that of any buffer made from a pointer.

    ggml's default type won't do: where an override names it, llama.cpp picks a faster, repacking one instead.
    """
    ggml = native.library()
    memory = ctypes.create_string_buffer(2 * _ALIGNMENT)
    address = -(-ctypes.addressof(memory) // _ALIGNMENT) * _ALIGNMENT
    buffer = ggml.ggml_backend_cpu_buffer_from_ptr(address, _ALIGNMENT)
    try:
        return int(ggml.ggml_backend_buffer_get_type(buffer))
    finally:
        ggml.ggml_backend_buffer_free(buffer)
