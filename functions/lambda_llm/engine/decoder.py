"""A generative model's context: tokens in, logits out, and the KV cache of the evaluated tokens."""

import ctypes
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Final

import llama_cpp
import numpy as np

from lambda_llm.engine import native
from lambda_llm.engine.cancellation import Cancellation, CancelledError
from lambda_llm.engine.context import Context
from lambda_llm.engine.errors import EngineError, NonFiniteError
from lambda_llm.engine.loaded_model import LoadedModel
from lambda_llm.engine.token_trie import TokenTrie, token_trie
from lambda_llm.gguf.errors import UnsupportedModelError
from lambda_llm.gguf.memory_plan import BATCH_TOKENS, GUESSED_MAX, OUTPUTS, SEQUENCES
from lambda_llm.gguf.options import Guess, KVType, ModelOptions

Buffer = bytes | bytearray | memoryview

_CONVERSATION: Final = 0
_ASIDE: Final = 1
"""llama.cpp's sequence ids: the one that is evaluated, and an empty one through which its state is exported and
imported in parts. Both share the cells of one unified cache, so that moving cells between them copies nothing."""
_ASSUMED_COST: Final = 1.8
"""Of a token with a whole guess behind it, in tokens, where it was not measured; see docs/decisions/0050."""


class Decoder(Context):
    """Evaluates one sequence of tokens; hold `lock` while calling any method.

    Attributes:
        context_shift: whether the oldest tokens are dropped when the context is full.
        evaluated: the tokens whose keys and values are in the KV cache, in order.
        guessed: those of a guess, which are in the cache behind them until `confirm` or any other method decides.
        guess_cost: what a token costs with a whole guess behind it, in tokens; None: guesses don't pay, or are off.
    """

    def __init__(self, model: LoadedModel, options: ModelOptions) -> None:
        """Allocate context and KV cache.

        Args:
            model: must stay open for as long as this context.
            options: with context length and threads resolved.

        Raises:
            UnsupportedModelError: llama.cpp can't allocate such a context.
        """
        super().__init__(model, options)
        if not self._memory:
            self.close()
            raise UnsupportedModelError(
                "llama.cpp has no KV cache for this architecture, so it can't generate: use another model, or one "
                "whose header says that it is an encoder."
            )
        self.context_shift = options.context_shift
        if self.context_shift and not llama_cpp.llama_memory_can_shift(self._memory):
            self.close()
            raise UnsupportedModelError(
                "LAMBDA_LLM_CONTEXT_OVERFLOW=shift can't be used with this model: llama.cpp can't shift its KV cache "
                "to other positions; set it to error."
            )
        self.evaluated: list[int] = []
        self.guessed: list[int] = []
        self.guess_cost = _ASSUMED_COST if options.guess is Guess.ON else None
        self._row = -1
        self._one = (llama_cpp.llama_token * 1)()
        self._batch_of_one = llama_cpp.llama_batch_get_one(self._one, 1)

    def evaluate(self, tokens: Sequence[int], cancellation: Cancellation | None = None) -> int:
        """Make `tokens` the content of the KV cache, computing only what follows the longest common prefix.

        Args:
            tokens: at least one; the logits of the last one are available afterwards.
            cancellation: ends the evaluation between two operations.

        Returns:
            How many tokens were already in the cache.

        Raises:
            CancelledError: `cancellation` was called; what was computed until then stays in the cache.
            EngineError: llama.cpp failed; the cache is empty.
        """
        cached = self.truncate(common_prefix(self.evaluated, tokens[:-1]))
        self._cancel_with(cancellation)
        self._extend(tokens[cached:])
        return cached

    def append(self, *tokens: int, guess: Sequence[int] = ()) -> None:
        """Evaluate more tokens, with the cancellation given to `evaluate` last; raises what `evaluate` raises.

        Args:
            tokens: that were chosen; with a guess at least one.
            guess: what may follow, evaluated in the same batch; `guess_room` says how many. The logits are those behind
                `tokens`, and `confirm` goes on to those behind a guessed one.
        """
        self.drop_guess()
        if guess:
            self._extend_with(tokens, guess)
        elif len(tokens) == 1:
            self._one[0] = tokens[0]
            self._decode(self._batch_of_one, tokens)
        else:
            self._extend(tokens)

    def guess_room(self, count: int) -> int:
        """How many guessed tokens `append` takes behind `count` others; none where they could not be cut again."""
        if not self.model.divisible or self._has_holes() or count + GUESSED_MAX > BATCH_TOKENS:
            return 0
        return max(0, min(GUESSED_MAX, self.context_length - len(self.evaluated) - count))

    def confirm(self, tokens: Sequence[int]) -> int:
        """Go on by tokens that were chosen, as far as they were guessed: the logits are those behind the last of them.

        The rest of the guess stays as long as it may be right, and is cut otherwise.

        Returns:
            How many of `tokens` are evaluated; `append` the others.
        """
        count = common_prefix(self.guessed, tokens)
        self.evaluated += self.guessed[:count]
        del self.guessed[:count]
        self._row += count
        if count < len(tokens):
            self.drop_guess()
        return count

    def drop_guess(self) -> None:
        """Cut what is left of a guess; the logits stay.

        Raises:
            EngineError: llama.cpp could not; the cache is empty.
        """
        if not self.guessed:
            return
        # Not `truncate`: what the last evaluated token sees is there, even if guesses took cells behind the window.
        if not llama_cpp.llama_memory_seq_rm(self._memory, _CONVERSATION, len(self.evaluated), -1):
            self.truncate(0)
            raise EngineError("llama.cpp could not cut guessed tokens from its KV cache: set LAMBDA_LLM_GUESS=off.")
        self.guessed.clear()

    @cached_property
    def trie(self) -> TokenTrie:
        """The model's vocabulary for constraints; made when it is first needed, which the warm-up sees to."""
        return token_trie(self.model)

    def sample(self, sampler: Any) -> int:
        """Sample the next token from the current logits with a llama.cpp sampler chain; raises what `logits` raises."""
        self.logits()
        return int(llama_cpp.llama_sampler_sample(sampler, self._context, self._row))

    def logits(self) -> "np.ndarray[Any, np.dtype[np.float32]]":
        """The logits of the next token, of shape (vocabulary_size,); a view, valid until the next evaluation.

        Raises:
            NonFiniteError: the model computed NaN or infinity, which llama.cpp's samplers end the process for.
        """
        pointer = llama_cpp.llama_get_logits_ith(self._context, self._row)
        logits = np.ctypeslib.as_array(pointer, (self.model.vocabulary_size,))
        if not np.isfinite(logits.max()):  # NaN wins every comparison
            raise NonFiniteError
        return logits

    # -- the KV cache -------------------------------------------------------------------------------

    def read_state(self, start: int, end: int) -> bytearray:
        """A copy of the keys and values of `evaluated[start:end]`, in llama.cpp's state format.

        With a sliding window it is several states, one after the other: llama.cpp leaves out of a state what its last
        token doesn't see, but later tokens may follow an earlier one.

        Raises:
            EngineError: llama.cpp could not copy them.
        """
        self.drop_guess()
        state = bytearray()
        for first, last in self._pieces(start, end):
            state += self._read_piece(first, last)
        return state

    def append_state(self, tokens: Sequence[int], state: Buffer) -> None:
        """Append the result of `read_state` to the KV cache, as if `tokens` had been evaluated.

        Args:
            tokens: those whose keys and values `state` contains.
            state: from the same model with the same options, computed after exactly the tokens in `evaluated`.

        Raises:
            EngineError: llama.cpp rejected it; the cache is unchanged.
        """
        self.drop_guess()
        start, end = len(self.evaluated), len(self.evaluated) + len(tokens)
        view = np.frombuffer(state, np.uint8)
        done = 0
        try:
            for first, last in self._pieces(start, end):
                done += self._append_piece(view[done:], first, last)
        except EngineError:
            self.truncate(start)
            raise
        if done != view.size:
            self.truncate(start)
            raise EngineError(f"llama.cpp could not put tokens {start} to {end} into its KV cache: something is left.")
        self.evaluated.extend(tokens)

    def truncate(self, count: int) -> int:
        """Truncate the cache to its first `count` tokens, or to none where the model can't; returns how many remain."""
        if not llama_cpp.llama_memory_seq_rm(self._memory, _CONVERSATION, count, -1) or (count and self._has_holes()):
            llama_cpp.llama_memory_clear(self._memory, True)  # noqa: FBT003
            count = 0
        del self.evaluated[count:]
        self.guessed.clear()
        return count

    def remove(self, start: int, count: int) -> None:
        """Remove `count` tokens from the cache and shift those behind them forward, without evaluating them again."""
        self.drop_guess()
        llama_cpp.llama_memory_seq_rm(self._memory, _CONVERSATION, start, start + count)
        llama_cpp.llama_memory_seq_add(self._memory, _CONVERSATION, start + count, -1, -count)
        del self.evaluated[start : start + count]

    def _has_holes(self) -> bool:
        """Whether tokens behind the sliding window are gone: llama.cpp uses their cells again where it needs some."""
        first = llama_cpp.llama_memory_seq_pos_min(self._memory, _CONVERSATION)
        return self.model.divisible and bool(first != 0)

    def _pieces(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Parts of tokens `start` to `end`, in each of which the last token sees all others."""
        size = self.model.window if self.model.divisible and self.model.window else end
        while start < end:
            stop = min((start // size + 1) * size, end)
            yield start, stop
            start = stop

    def _read_piece(self, start: int, end: int) -> bytearray:
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

    def _append_piece(self, state: "np.ndarray[Any, np.dtype[np.uint8]]", start: int, end: int) -> int:
        """Append the first piece in `state`; returns its size."""
        source = state.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        try:
            used = llama_cpp.llama_state_seq_set_data(self._context, source, state.size, _ASIDE)
            if not used or not self._aside_is(start, end):
                raise EngineError(
                    f"llama.cpp could not put tokens {start} to {end} into its KV cache: {native.last_errors()}"
                )
            llama_cpp.llama_memory_seq_cp(self._memory, _ASIDE, _CONVERSATION, -1, -1)
        finally:
            llama_cpp.llama_memory_seq_rm(self._memory, _ASIDE, -1, -1)
        return int(used)

    def _aside_is(self, start: int, end: int) -> bool:
        first = llama_cpp.llama_memory_seq_pos_min(self._memory, _ASIDE)
        last = llama_cpp.llama_memory_seq_pos_max(self._memory, _ASIDE)
        return last == end - 1 and (first == start or not self.model.divisible)

    def _extend(self, tokens: Sequence[int]) -> None:
        for start in range(0, len(tokens), BATCH_TOKENS):
            part = tokens[start : start + BATCH_TOKENS]
            array = (llama_cpp.llama_token * len(part))(*part)
            self._decode(llama_cpp.llama_batch_get_one(array, len(part)), part)

    def _extend_with(self, tokens: Sequence[int], guess: Sequence[int]) -> None:
        count, rows = len(tokens) + len(guess), 1 + len(guess)
        batch = llama_cpp.llama_batch(
            n_tokens=count,
            token=(llama_cpp.llama_token * count)(*tokens, *guess),
            logits=(ctypes.c_int8 * count)(*[0] * (count - rows), *[1] * rows),
        )
        self._decode(batch, tokens)
        self.guessed += guess
        self._row = -rows

    def _decode(self, batch: Any, tokens: Sequence[int]) -> None:
        self._row = -1
        try:
            self._evaluate_batch(batch, len(tokens))
        except CancelledError:
            self.truncate(len(self.evaluated))
            raise
        except EngineError:
            self.truncate(0)
            raise
        self.evaluated.extend(tokens)

    def _parameters(self, context_length: int, kv_type: KVType) -> Any:
        parameters = super()._parameters(context_length, kv_type)
        parameters.n_seq_max = SEQUENCES
        # Otherwise layers with a sliding window would forget what is behind it, and nothing could go back.
        parameters.swa_full = True
        parameters.kv_unified = True  # both sequences share all cells; otherwise each gets half of the context
        parameters.n_outputs_max = OUTPUTS
        return parameters


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """Length of the longest common prefix of two sequences, in tokens."""
    return next(
        (index for index, (one, other) in enumerate(zip(first, second, strict=False)) if one != other),
        min(len(first), len(second)),
    )
