"""An encoder's context: whole texts in, one vector of numbers for each out."""

from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from functools import cached_property
from typing import Any, Final

import llama_cpp
import numpy as np

from lambda_llm.engine.cancellation import Cancellation
from lambda_llm.engine.context import Context
from lambda_llm.engine.control_tokens import ControlTokens
from lambda_llm.engine.errors import ContextOverflowError, EngineError, InputTooLongError, NonFiniteError
from lambda_llm.engine.loaded_model import LoadedModel
from lambda_llm.gguf.header import decoded
from lambda_llm.gguf.options import KVType, ModelOptions

_TOGETHER: Final = 32
"""Texts in one batch at most; their tokens together fit into the context, too."""

Rows = np.ndarray[tuple[int, int], np.dtype[np.float32]]


class Pooling(IntEnum):
    """How the token embeddings of a text become one vector. Source: `llama_pooling_type` in llama.h."""

    NONE = 0
    MEAN = 1
    CLS = 2
    LAST = 3
    RANK = 4


class Encoder(Context):
    """The context of an embedding model, a classifier or a reranker.

    Attributes:
        pooling: from the GGUF header.
        outputs: length of a text's vector: the embedding's dimensions, or the number of classes or scores.
        labels: of the classes; empty where the file has none.
    """

    def __init__(self, model: LoadedModel, options: ModelOptions) -> None:
        """Allocate the context; arguments and errors are `Context`'s."""
        super().__init__(model, options)
        self.pooling = Pooling(llama_cpp.llama_pooling_type(self._context))
        classes = int(llama_cpp.llama_model_n_cls_out(model.handle))
        self.outputs = classes if self.pooling is Pooling.RANK else int(llama_cpp.llama_model_n_embd_out(model.handle))
        named = [llama_cpp.llama_model_cls_label(model.handle, index) for index in range(classes)]
        self.labels = tuple(decoded(label) for label in named if label)

    def encode(self, texts: Sequence[Sequence[int]], cancellation: Cancellation | None = None) -> Rows:
        """Evaluate texts in batches; hold `lock`.

        Args:
            texts: token ids of each.
            cancellation: ends the evaluation between two operations.

        Returns:
            Shape (texts, outputs), raw: embeddings are not normalized, and no softmax was applied to scores.

        Raises:
            InputTooLongError: a text is longer than the context.
            CancelledError: `cancellation` was called.
            EngineError: llama.cpp failed, or the model has no pooling.
            NonFiniteError: the model computed NaN or infinity.
        """
        if self.pooling is Pooling.NONE:
            raise EngineError("The model's header names no pooling, so its token embeddings can't become one vector.")
        for index, text in enumerate(texts):
            if len(text) > self.context_length:
                raise InputTooLongError(f"text {index}", len(text), self.context_length)
        rows = np.zeros((len(texts), self.outputs), dtype=np.float32)
        self._cancel_with(cancellation)
        for first, group in _groups(texts, self.context_length):
            self._evaluate(group)
            for sequence in range(len(group)):
                vector = llama_cpp.llama_get_embeddings_seq(self._context, sequence)
                rows[first + sequence] = np.ctypeslib.as_array(vector, (self.outputs,))
        if not np.isfinite(rows).all():
            raise NonFiniteError
        return rows

    def tokens(self, text: str, which: str) -> list[int]:
        """The token ids of a text, with the model's separators around it.

        Args:
            text: any text.
            which: it is, for the error.

        Raises:
            InputTooLongError: it is longer than the context.
        """
        try:
            return self.model.tokenize(text, add_special=True, parse_special=False, at_most=self.context_length)
        except ContextOverflowError as error:
            raise InputTooLongError(which, error.prompt_tokens, self.context_length) from error

    def pairing(self, query: str) -> Callable[[str, str], list[int]]:
        """A function from a document (and which one it is) to the token ids of the query and it, with separators.

        BERT expects `[CLS] first [SEP] second [SEP]`, XLM-RoBERTa `<s> first </s></s> second </s>`; a model whose
        file has a template named `rerank` (Qwen3's reranker) expects that.

        Raises:
            InputTooLongError: the query is longer than the context; the function raises it for the document.
        """
        first = self.tokens(query, "the query")
        if self._template:
            return self._by_template(query)
        begins, ends, separates = (
            bool(flag(self.model.vocabulary))
            for flag in (
                llama_cpp.llama_vocab_get_add_bos,
                llama_cpp.llama_vocab_get_add_eos,
                llama_cpp.llama_vocab_get_add_sep,
            )
        )
        if ends and separates:
            first.append(int(llama_cpp.llama_vocab_sep(self.model.vocabulary)))
        return lambda document, which: [*first, *self.tokens(document, which)[begins:]]

    @cached_property
    def _template(self) -> str:
        """Of a query and a document, or an empty string."""
        template: bytes | None = llama_cpp.llama_model_chat_template(self.model.handle, b"rerank")
        return decoded(template) if template else ""

    @cached_property
    def _control(self) -> ControlTokens:
        """Made once: it reads the whole vocabulary."""
        return ControlTokens(self.model, self._template, ())

    def _by_template(self, query: str) -> Callable[[str, str], list[int]]:
        control = self._control
        before, _, behind = self._template.partition("{document}")

        def tokens(document: str, which: str) -> list[int]:
            self.tokens(document, which)
            (one, other), marks = control.marked_texts(query, document)
            text = f"{before.replace('{query}', one)}{other}{behind.replace('{query}', one)}"
            return control.tokens(text, marks, at_most=None)

        return tokens

    def _parameters(self, context_length: int, kv_type: KVType) -> Any:
        parameters = super()._parameters(context_length, kv_type)
        parameters.n_batch = parameters.n_ubatch = context_length  # attention is not causal: a text is one batch
        parameters.n_seq_max = min(_TOGETHER, context_length)
        parameters.n_outputs_max = context_length
        parameters.embeddings = True
        return parameters

    def _evaluate(self, group: Sequence[Sequence[int]]) -> None:
        if self._memory:
            llama_cpp.llama_memory_clear(self._memory, False)  # noqa: FBT003
        batch = llama_cpp.llama_batch_init(sum(map(len, group)), 0, 1)
        try:
            for sequence, text in enumerate(group):
                for position, token in enumerate(text):
                    at = batch.n_tokens
                    batch.token[at], batch.pos[at] = token, position
                    batch.n_seq_id[at], batch.seq_id[at][0] = 1, sequence
                    batch.logits[at] = True
                    batch.n_tokens += 1
            self._evaluate_batch(batch, batch.n_tokens)
        finally:
            llama_cpp.llama_batch_free(batch)


def _groups(texts: Sequence[Sequence[int]], context: int) -> Iterator[tuple[int, Sequence[Sequence[int]]]]:
    """Consecutive texts that fit into one batch, each with the index of its first."""
    first = tokens = 0
    for index, text in enumerate(texts):
        if index > first and (tokens + len(text) > context or index - first == _TOGETHER):
            yield first, texts[first:index]
            first, tokens = index, 0
        tokens += len(text)
    if first < len(texts):
        yield first, texts[first:]
