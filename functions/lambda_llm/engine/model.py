"""A model and its one context in llama.cpp: text to tokens, tokens to logits."""

import ctypes
import re
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self

import llama_cpp
import numpy as np

from lambda_llm.engine import native
from lambda_llm.engine.errors import EngineError
from lambda_llm.engine.prefix import PrefixCache, common_prefix
from lambda_llm.loading.errors import UnsupportedModelError
from lambda_llm.loading.fit import BATCH_TOKENS, EMBEDDING
from lambda_llm.settings import KVType, Weights

Buffer = bytes | bytearray | memoryview

_KV_TYPES: Final = {KVType.F16: llama_cpp.GGML_TYPE_F16, KVType.Q8_0: llama_cpp.GGML_TYPE_Q8_0}
DECODE_ABORTED: Final = 2
_ALIGNMENT: Final = 64
"""More than ggml asks of a buffer's address (TENSOR_ALIGNMENT in ggml-impl.h)."""

_CONVERSATION: Final = 0
_ASIDE: Final = 1
"""llama.cpp's sequences: the one that is evaluated, and an empty one through which parts of it leave and enter. They
share the cells of one cache, so that handing cells from one to the other copies nothing."""


class Cancellation:
    """Ends one evaluation or generation, from any thread, between two operations of llama.cpp."""

    def __init__(self) -> None:
        self.flag = ctypes.create_string_buffer(2)

    def cancel(self) -> None:
        """Ask to stop; there is no way back."""
        self.flag[0] = b"\x01"

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return bytes(self.flag.raw) != b"\x00\x00"


class CancelledError(Exception):
    """The evaluation was ended by its `Cancellation`."""


class Model:
    """Weights, vocabulary and one KV cache. One generation at a time: hold `lock` while evaluating.

    Attributes:
        context: length of the context in tokens.
        threads: threads that llama.cpp computes with.
        shifts: whether the oldest tokens make room when the context is full.
        evaluated: the tokens whose keys and values are in the KV cache, in order.
        prefixes: beginnings of prompts that are kept beside the KV cache.
        divisible: whether a part of the cache is of use without the rest; a recurrent model has one state for all.
        vocabulary: llama.cpp's handle of it.
        vocabulary_size: in tokens.
    """

    generates = True
    """Whether it has a next token to give; an encoder answers about whole texts."""

    def __init__(
        self,
        path: str,
        *,
        what: str,
        placement: Weights,
        context: int,
        kv_type: KVType,
        threads: int,
        shifts: bool = False,
        when_read: Callable[[], object] = lambda: None,
    ) -> None:
        """Open a GGUF file.

        Args:
            path: for example `MemoryFile.path`.
            what: the model's address, for errors.
            placement: `copied` (repacked; the file can be closed afterwards) or `mapped` (the file's pages are
                the weights; no repacking).
            context: length of the context in tokens.
            kv_type: type of the KV cache.
            threads: threads to compute with.
            shifts: whether the oldest tokens make room when the context is full.
            when_read: called when the file is no longer needed, before the KV cache takes memory, too.

        Raises:
            UnsupportedModelError: llama.cpp can't run this model.
        """
        native.start()
        self.lock = threading.Lock()
        self.context = context
        self.threads = threads
        self.shifts = shifts
        self.evaluated: list[int] = []
        self._model = self._context = None
        self._nobody = Cancellation()
        # First of all: an earlier model's cancelled generation must not silence what llama.cpp says of this one.
        params = self._params(context, kv_type, threads)
        native.last_errors()
        model_params, keep = _model_params(placement)
        self._model = llama_cpp.llama_model_load_from_file(path.encode(), model_params)
        del keep
        if not self._model:
            raise UnsupportedModelError(
                f"llama.cpp can't run {what} ({native.last_errors() or 'it gives no reason'}): use a model whose "
                "architecture it knows, converted by a current llama.cpp."
            )
        when_read()
        self.vocabulary = llama_cpp.llama_model_get_vocab(self._model)
        self.vocabulary_size = int(llama_cpp.llama_vocab_n_tokens(self.vocabulary))
        self._context = llama_cpp.llama_init_from_model(self._model, params)
        if not self._context:
            reason = native.last_errors() or "it gives no reason"
            self.close()
            raise UnsupportedModelError(
                f"llama.cpp can't make a context of {context:,} tokens for {what} ({reason}): try a shorter "
                "LAMBDA_LLM_CONTEXT or LAMBDA_LLM_KV_TYPE=f16."
            )
        self._memory = llama_cpp.llama_get_memory(self._context)
        if shifts and not llama_cpp.llama_memory_can_shift(self._memory):
            self.close()
            raise UnsupportedModelError(
                f"LAMBDA_LLM_CONTEXT_OVERFLOW=shift can't be used with {what}: llama.cpp can't move what this model "
                "has evaluated to other positions; leave it at error."
            )
        self.divisible = not (
            llama_cpp.llama_model_is_recurrent(self._model) or llama_cpp.llama_model_is_hybrid(self._model)
        )
        self.prefixes = PrefixCache(self)
        self._piece = ctypes.create_string_buffer(512)
        self._one = (llama_cpp.llama_token * 1)()
        self._batch_of_one = llama_cpp.llama_batch_get_one(self._one, 1)

    # -- text and tokens ----------------------------------------------------------------------------

    @property
    def chat_template(self) -> str:
        """The Jinja template inside the GGUF file, or an empty string."""
        template: bytes | None = llama_cpp.llama_model_chat_template(self._model, None)
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
            parse_special: control tokens that are written out count as such.
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
            control: write out control tokens, which otherwise stand for nothing.
        """
        size = llama_cpp.llama_token_to_piece(self.vocabulary, token, self._piece, len(self._piece), 0, control)
        if size < 0:
            self._piece = ctypes.create_string_buffer(-size)
            return self.piece(token, control=control)
        return self._piece.raw[:size]

    def ends(self, token: int) -> bool:
        """Whether the token ends the model's turn."""
        return bool(llama_cpp.llama_vocab_is_eog(self.vocabulary, token))

    # -- evaluation ---------------------------------------------------------------------------------

    def evaluate(self, tokens: Sequence[int], cancellation: Cancellation | None = None) -> int:
        """Make `tokens` the content of the KV cache, computing only what follows the longest common prefix.

        Args:
            tokens: at least one; the logits of the last one are ready afterwards.
            cancellation: ends the evaluation between two operations.

        Returns:
            How many tokens were found in the cache.

        Raises:
            CancelledError: `cancellation` was called; what was computed until then stays in the cache.
            EngineError: llama.cpp failed; the cache is empty.
        """
        kept = self.cut(common_prefix(self.evaluated, tokens[:-1]))
        self._listen_to(cancellation)
        for start in range(kept, len(tokens), BATCH_TOKENS):
            part = tokens[start : start + BATCH_TOKENS]
            array = (llama_cpp.llama_token * len(part))(*part)
            self._decode(llama_cpp.llama_batch_get_one(array, len(part)), part)
        return kept

    def append(self, token: int) -> None:
        """Evaluate one more token; the same errors as `evaluate`, and the same cancellation."""
        self._one[0] = token
        self._decode(self._batch_of_one, (token,))

    def sample(self, sampler: Any) -> int:
        """Choose the next token from the last one's logits with a llama.cpp sampler chain."""
        return int(llama_cpp.llama_sampler_sample(sampler, self._context, -1))

    def logits(self) -> "np.ndarray[Any, np.dtype[np.float32]]":
        """The logits that the next token is chosen from, of shape (vocabulary_size,); valid until it is appended."""
        pointer = llama_cpp.llama_get_logits_ith(self._context, -1)
        return np.ctypeslib.as_array(pointer, (self.vocabulary_size,))

    # -- the KV cache as bytes ----------------------------------------------------------------------

    def cached(self, start: int, end: int) -> bytearray:
        """Keys and values of `evaluated[start:end]`, in llama.cpp's own form.

        Raises:
            EngineError: llama.cpp could not copy them.
        """
        llama_cpp.llama_memory_seq_cp(self._memory, _CONVERSATION, _ASIDE, start, end)
        try:
            size = llama_cpp.llama_state_seq_get_size(self._context, _ASIDE)
            state = bytearray(size)
            into = (ctypes.c_uint8 * size).from_buffer(state)
            if not self._aside_is(start, end) or (
                llama_cpp.llama_state_seq_get_data(self._context, into, size, _ASIDE) != size
            ):
                raise EngineError(f"llama.cpp could not copy tokens {start} to {end} out of its KV cache.")
        finally:
            llama_cpp.llama_memory_seq_rm(self._memory, _ASIDE, -1, -1)
        return state

    def restore(self, tokens: Sequence[int], state: Buffer) -> None:
        """Put what `cached` gave behind the evaluated tokens, as if `tokens` had been evaluated there.

        Args:
            tokens: those whose keys and values `state` holds.
            state: of the same model with the same settings, for the very same tokens before them.

        Raises:
            EngineError: llama.cpp can't use it; what was evaluated before stays.
        """
        start, end = len(self.evaluated), len(self.evaluated) + len(tokens)
        view = np.frombuffer(state, np.uint8)
        source = view.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        try:
            used = llama_cpp.llama_state_seq_set_data(self._context, source, view.size, _ASIDE)
            if used != view.size or not self._aside_is(start, end):
                raise EngineError(
                    f"llama.cpp could not put tokens {start} to {end} into its KV cache: {native.last_errors()}"
                )
            llama_cpp.llama_memory_seq_cp(self._memory, _ASIDE, _CONVERSATION, -1, -1)
        finally:
            llama_cpp.llama_memory_seq_rm(self._memory, _ASIDE, -1, -1)
        self.evaluated.extend(tokens)

    def cut(self, count: int) -> int:
        """Shorten the cache to its first `count` tokens, or to none where the model can't; returns how many."""
        if not llama_cpp.llama_memory_seq_rm(self._memory, _CONVERSATION, count, -1):
            llama_cpp.llama_memory_clear(self._memory, True)  # noqa: FBT003
            count = 0
        del self.evaluated[count:]
        return count

    def drop(self, start: int, count: int) -> None:
        """Take `count` tokens out of the cache and move those behind them forward, without evaluating them again."""
        llama_cpp.llama_memory_seq_rm(self._memory, _CONVERSATION, start, start + count)
        llama_cpp.llama_memory_seq_add(self._memory, _CONVERSATION, start + count, -1, -count)
        del self.evaluated[start : start + count]

    def _aside_is(self, start: int, end: int) -> bool:
        first = llama_cpp.llama_memory_seq_pos_min(self._memory, _ASIDE)
        last = llama_cpp.llama_memory_seq_pos_max(self._memory, _ASIDE)
        return last == end - 1 and (first == start or not self.divisible)

    # -- inside -------------------------------------------------------------------------------------

    def _decode(self, batch: Any, tokens: Sequence[int]) -> None:
        status = llama_cpp.llama_decode(self._context, batch)
        if status == 0:
            self.evaluated.extend(tokens)
            return
        if status == DECODE_ABORTED:
            self.cut(len(self.evaluated))
            raise CancelledError
        self.cut(0)
        raise EngineError(
            f"llama.cpp could not evaluate {len(tokens)} tokens (status {status}): {native.last_errors()}"
        )

    def _listen_to(self, cancellation: Cancellation | None) -> None:
        self._listening = cancellation or self._nobody  # keeps the flag's memory alive
        llama_cpp.llama_set_abort_callback(self._context, *native.never_or_when(self._listening.flag))

    def _control_text(self, token: int) -> str:
        text: bytes | None = llama_cpp.llama_vocab_get_text(self.vocabulary, token) if token >= 0 else None
        return text.decode() if text else ""

    # -- what a token needs -------------------------------------------------------------------------

    def watch(self, on_operation: Callable[[int], object]) -> None:
        """Evaluate one token in a context of its own, whose operations are shown before they are computed.

        Args:
            on_operation: called with the address of each operation's `ggml_tensor`, in order.

        Raises:
            EngineError: llama.cpp could not evaluate the token.
        """

        @llama_cpp.ggml_backend_sched_eval_callback  # type: ignore[untyped-decorator]
        def show(tensor: int, _ask: bool, _data: Any) -> bool:  # noqa: FBT001 - as C calls it
            on_operation(tensor)
            return False  # its result is not wanted

        params = self._params(1, KVType.F16, self.threads)
        params.cb_eval = show
        context = llama_cpp.llama_init_from_model(self._model, params)
        try:
            token = (llama_cpp.llama_token * 1)()
            if not context or llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(token, 1)):
                raise EngineError(f"llama.cpp could not evaluate one token: {native.last_errors()}")
        finally:
            if context:
                llama_cpp.llama_free(context)

    def _params(self, context: int, kv_type: KVType, threads: int) -> Any:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = context
        params.n_batch = params.n_ubatch = min(BATCH_TOKENS, context)
        params.n_seq_max = 2
        params.kv_unified = True  # the two share all cells; each would get half of the context otherwise
        params.n_outputs_max = 2  # only the last token's logits are ever read, but llama.cpp wants a row a sequence
        params.n_threads = params.n_threads_batch = threads
        params.type_k = params.type_v = _KV_TYPES[kv_type]
        params.no_perf = True
        params.abort_callback, params.abort_callback_data = native.never_or_when(self._nobody.flag)
        return params

    # -- the end ------------------------------------------------------------------------------------

    def close(self) -> None:
        """Free everything; closing twice is fine."""
        if self._context:
            llama_cpp.llama_free(self._context)
            self._context = None
        if self._model:
            llama_cpp.llama_model_free(self._model)
            self._model = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _model_params(placement: Weights) -> tuple[Any, Any]:
    """Parameters, and what must live while they are used."""
    params = llama_cpp.llama_model_default_params()
    params.n_gpu_layers = 0
    if placement is Weights.MAPPED:
        params.load_mode = llama_cpp.LLAMA_LOAD_MODE_MMAP
        params.use_extra_bufts = False  # repacking a mapped tensor would make a second copy of it
        return params, None
    params.load_mode = llama_cpp.LLAMA_LOAD_MODE_NONE
    # Where the embedding is the output matrix, too, llama.cpp would keep it as it is and, for the other, repacked.
    plain = _Override(f"^{re.escape(EMBEDDING)}$".encode(), _plain_buffer_type())
    overrides = (_Override * 2)(plain)  # ended by an empty one
    params.tensor_buft_overrides = ctypes.addressof(overrides)
    return params, overrides


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
