"""What decoders and encoders share: a `llama_context` of a loaded model."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

import llama_cpp

from lambda_llm.engine import native
from lambda_llm.engine.cancellation import Cancellation, CancelledError
from lambda_llm.engine.errors import EngineError
from lambda_llm.engine.loaded_model import LoadedModel
from lambda_llm.gguf.errors import UnsupportedModelError
from lambda_llm.gguf.memory_plan import BATCH_TOKENS
from lambda_llm.gguf.options import KVType, ModelOptions

_KV_TYPES: Final = {KVType.F16: llama_cpp.GGML_TYPE_F16, KVType.Q8_0: llama_cpp.GGML_TYPE_Q8_0}
_ABORTED: Final = 2
"""What `llama_decode` returns when its abort callback asked for it."""


class Context:
    """A llama.cpp context. One evaluation at a time: hold `lock`.

    Attributes:
        model: weights and vocabulary.
        context_length: in tokens.
        threads: number of threads that llama.cpp computes with.
        lock: for callers to hold during an evaluation.
    """

    def __init__(self, model: LoadedModel, options: ModelOptions) -> None:
        """Allocate the context.

        Args:
            model: must stay open for as long as this context.
            options: with context length and threads resolved.

        Raises:
            UnsupportedModelError: llama.cpp can't allocate such a context.
        """
        if options.context_length is None or options.threads is None:
            raise ValueError("context_length and threads must be resolved before a context is made")
        self.model = model
        self.lock = threading.Lock()
        self.context_length = options.context_length
        self.threads = options.threads
        self._never = Cancellation()
        self._cancellation = self._never
        parameters = self._parameters(options.context_length, options.kv_type)
        try:
            self._context, reason = native.surviving(lambda: _allocated(model, parameters))
        except native.AssertionFailedError as error:
            self._context, reason = None, str(error)
        if not self._context:
            raise UnsupportedModelError(
                f"llama.cpp can't allocate a context of {options.context_length:,} tokens "
                f"({reason or 'it gives no reason'}): try a shorter LAMBDA_LLM_CONTEXT or LAMBDA_LLM_KV_TYPE=f16."
            )
        self._memory = llama_cpp.llama_get_memory(self._context)

    def observe(self, on_operation: Callable[[int], object]) -> None:
        """Evaluate one token in a temporary context and report each operation before it is computed.

        Args:
            on_operation: called with the address of each operation's `ggml_tensor`, in graph order.

        Raises:
            EngineError: llama.cpp could not evaluate the token.
        """

        @llama_cpp.ggml_backend_sched_eval_callback  # type: ignore[untyped-decorator]
        def report(tensor: int, _ask: bool, _data: Any) -> bool:  # noqa: FBT001 - the C signature
            on_operation(tensor)
            return False  # no second call with the result

        parameters = self._parameters(1, KVType.F16)
        parameters.cb_eval = report
        context = llama_cpp.llama_init_from_model(self.model.handle, parameters)
        try:
            token = (llama_cpp.llama_token * 1)()
            if not context or llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(token, 1)):
                raise EngineError(f"llama.cpp could not evaluate one token: {native.last_errors()}")
        finally:
            if context:
                llama_cpp.llama_free(context)

    def close(self) -> None:
        """Free the context; closing twice is fine."""
        if self._context:
            llama_cpp.llama_free(self._context)
            self._context = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _parameters(self, context_length: int, kv_type: KVType) -> Any:
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = context_length
        parameters.n_batch = parameters.n_ubatch = min(BATCH_TOKENS, context_length)
        parameters.n_threads = parameters.n_threads_batch = self.threads
        parameters.type_k = parameters.type_v = _KV_TYPES[kv_type]
        parameters.no_perf = True
        parameters.abort_callback, parameters.abort_callback_data = native.abort_callback(self._never)
        return parameters

    def _cancel_with(self, cancellation: Cancellation | None) -> None:
        """Set the cancellation that ends further evaluations; None: nothing ends them."""
        self._cancellation = cancellation or self._never  # keeps the flag's memory alive
        llama_cpp.llama_set_abort_callback(self._context, *native.abort_callback(self._cancellation))

    def _evaluate_batch(self, batch: Any, count: int) -> None:
        """Evaluate a batch of `count` tokens.

        Raises:
            CancelledError: the cancellation set by `_cancel_with` was called.
            EngineError: llama.cpp failed.
        """
        with native.cancellable(self._cancellation):
            status = llama_cpp.llama_decode(self._context, batch)
        if status == _ABORTED:
            raise CancelledError
        if status != 0:
            raise EngineError(f"llama.cpp could not evaluate {count} tokens (status {status}): {native.last_errors()}")


def _allocated(model: LoadedModel, parameters: Any) -> tuple[Any, str]:
    """llama.cpp's context, or None and its errors."""
    native.last_errors()
    context = llama_cpp.llama_init_from_model(model.handle, parameters)
    return context, native.last_errors()
