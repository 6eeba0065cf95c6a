"""A model in llama.cpp: weights and vocabulary, without a context to evaluate in."""

import ctypes
import re
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

import llama_cpp

from lambda_llm.engine import native
from lambda_llm.engine.errors import EngineError
from lambda_llm.gguf.errors import UnsupportedModelError
from lambda_llm.gguf.memory_plan import EMBEDDING
from lambda_llm.gguf.options import Weights

_ALIGNMENT: Final = 64
"""More than ggml asks of a buffer's address (TENSOR_ALIGNMENT in ggml-impl.h)."""


class LoadedModel:
    """Weights and vocabulary; contexts (`Decoder`, `Encoder`) are made over them.

    Attributes:
        handle: llama.cpp's `llama_model *`.
        vocabulary: llama.cpp's `llama_vocab *`.
        vocabulary_size: in tokens.
        divisible: whether a part of its KV cache is of use without the rest; a recurrent model has one state for all.
    """

    def __init__(self, path: str, placement: Weights, when_read: Callable[[], object] = lambda: None) -> None:
        """Open a GGUF file.

        Args:
            path: for example `MemoryFile.path`.
            placement: `copied` (repacked; the file can be closed afterwards) or `mapped` (the file's pages are
                the weights; no repacking).
            when_read: called when the file is no longer needed.

        Raises:
            UnsupportedModelError: llama.cpp can't run this model.
        """
        native.start()
        native.last_errors()
        parameters, keep = _model_parameters(placement)
        self.handle = llama_cpp.llama_model_load_from_file(path.encode(), parameters)
        del keep
        if not self.handle:
            raise UnsupportedModelError(
                f"llama.cpp can't run the model ({native.last_errors() or 'it gives no reason'}): use one whose "
                "architecture it knows, converted by a current llama.cpp."
            )
        when_read()
        self.vocabulary = llama_cpp.llama_model_get_vocab(self.handle)
        self.vocabulary_size = int(llama_cpp.llama_vocab_n_tokens(self.vocabulary))
        self.divisible = not (
            llama_cpp.llama_model_is_recurrent(self.handle) or llama_cpp.llama_model_is_hybrid(self.handle)
        )
        self._piece = ctypes.create_string_buffer(512)

    @property
    def chat_template(self) -> str:
        """The Jinja template inside the GGUF file, or an empty string."""
        template: bytes | None = llama_cpp.llama_model_chat_template(self.handle, None)
        return template.decode() if template else ""

    @property
    def bos(self) -> str:
        """Text of the token that begins a sequence, or an empty string."""
        return self._control_text(llama_cpp.llama_vocab_bos(self.vocabulary))

    @property
    def eos(self) -> str:
        """Text of the token that ends a sequence, or an empty string."""
        return self._control_text(llama_cpp.llama_vocab_eos(self.vocabulary))

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool = True) -> list[int]:
        """Turn text into token ids.

        Args:
            text: any text.
            add_special: put BOS (and EOS) around it where the model's header says so.
            parse_special: control tokens that are spelled out count as such.
        """
        data = text.encode()
        size = len(data) + 2  # no token is shorter than a byte, but for BOS and EOS
        tokens = (llama_cpp.llama_token * size)()
        count = llama_cpp.llama_tokenize(self.vocabulary, data, len(data), tokens, size, add_special, parse_special)
        if count < 0:
            raise EngineError(f"llama.cpp needs {-count} tokens for {len(data)} bytes of text.")
        return tokens[:count]

    def piece(self, token: int, *, control: bool = False) -> bytes:
        """The bytes that a token stands for: possibly part of a character.

        Args:
            token: its id.
            control: spell out control tokens, which otherwise stand for nothing.
        """
        size = llama_cpp.llama_token_to_piece(self.vocabulary, token, self._piece, len(self._piece), 0, control)
        if size < 0:
            self._piece = ctypes.create_string_buffer(-size)
            return self.piece(token, control=control)
        return self._piece.raw[:size]

    def ends_turn(self, token: int) -> bool:
        """Whether the token ends the model's turn."""
        return bool(llama_cpp.llama_vocab_is_eog(self.vocabulary, token))

    def close(self) -> None:
        """Free the weights, after every context over them; closing twice is fine."""
        if self.handle:
            llama_cpp.llama_model_free(self.handle)
            self.handle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _control_text(self, token: int) -> str:
        text: bytes | None = llama_cpp.llama_vocab_get_text(self.vocabulary, token) if token >= 0 else None
        return text.decode() if text else ""


def _model_parameters(placement: Weights) -> tuple[Any, Any]:
    """Parameters, and what must live while they are used."""
    parameters = llama_cpp.llama_model_default_params()
    parameters.n_gpu_layers = 0
    if placement is Weights.MAPPED:
        parameters.load_mode = llama_cpp.LLAMA_LOAD_MODE_MMAP
        parameters.use_extra_bufts = False  # repacking a mapped tensor would make a second copy of it
        return parameters, None
    parameters.load_mode = llama_cpp.LLAMA_LOAD_MODE_NONE
    # Where the embedding is the output matrix, too, llama.cpp would keep it as it is and, for the other, repacked.
    plain = _Override(f"^{re.escape(EMBEDDING)}$".encode(), _plain_buffer_type())
    overrides = (_Override * 2)(plain)  # ended by an empty one
    parameters.tensor_buft_overrides = ctypes.addressof(overrides)
    return parameters, overrides


class _Override(ctypes.Structure):
    """`llama_model_tensor_buft_override` in llama.h."""

    _fields_ = (("pattern", ctypes.c_char_p), ("buffer_type", ctypes.c_void_p))


def _plain_buffer_type() -> int:
    """Type of buffers whose tensors stay as they are: of any buffer that is made from a pointer.

    It is not ggml's default type, in whose place, when an override names it, llama.cpp looks for a faster one.
    """
    ggml = native.library()
    memory = ctypes.create_string_buffer(2 * _ALIGNMENT)
    address = -(-ctypes.addressof(memory) // _ALIGNMENT) * _ALIGNMENT
    buffer = ggml.ggml_backend_cpu_buffer_from_ptr(address, _ALIGNMENT)
    try:
        return int(ggml.ggml_backend_buffer_get_type(buffer))
    finally:
        ggml.ggml_backend_buffer_free(buffer)
