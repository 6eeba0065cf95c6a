"""Errors of the engine."""

from lambda_llm.errors import LambdaLLMError


class EngineError(LambdaLLMError):
    """llama.cpp failed at an operation that should have worked."""


class NonFiniteError(EngineError):
    """The model computes logits that are NaN or infinite."""

    def __init__(self) -> None:
        super().__init__(
            "The model computes numbers that are not finite (NaN or infinity), so its weights are damaged: convert or "
            "download the model again."
        )


class ContextOverflowError(LambdaLLMError):
    """The prompt leaves no room in the context for a single token.

    Attributes:
        prompt_tokens: length of the prompt, in tokens; of its beginning, where that was too long already.
        context_length: in tokens.
    """

    def __init__(self, prompt_tokens: int, context_length: int, *, at_least: bool = False) -> None:
        counted = f"at least {prompt_tokens}" if at_least else str(prompt_tokens)
        super().__init__(
            f"This model's context length is {context_length} tokens, but the prompt has {counted} tokens, which "
            "leaves no room for a response: shorten the prompt."
        )
        self.prompt_tokens = prompt_tokens
        self.context_length = context_length


class InputTooLongError(LambdaLLMError):
    """A text is longer than an encoder's context."""

    def __init__(self, which: str, tokens: int, context_length: int) -> None:
        super().__init__(
            f"This model's context length is {context_length} tokens, but {which} has {tokens} or more: shorten or "
            "split it."
        )


class UnknownTextError(LambdaLLMError):
    """The vocabulary has neither a token nor bytes for a character."""

    def __init__(self, character: str) -> None:
        super().__init__(
            f"This model's vocabulary can't represent {character!r}: leave it out, or serve a model whose tokenizer "
            "has byte tokens."
        )


class NotGenerativeError(LambdaLLMError):
    """The model is an encoder and can't generate text."""

    def __init__(self) -> None:
        super().__init__(
            "This model is an encoder and can't generate text: use /v1/embeddings, /v1/classify or /v1/rerank, or "
            "serve a generative model."
        )


class NotEncoderError(LambdaLLMError):
    """The model is generative and has no embeddings, classes or scores."""

    def __init__(self) -> None:
        super().__init__(
            "This model is generative, not an encoder: serve an embedding model, a classifier or a reranker for this "
            "endpoint."
        )


class TemplateError(LambdaLLMError):
    """The model's chat template rejects these messages, is not valid Jinja, or is missing."""


class ConstraintError(LambdaLLMError):
    """The output of this model can't be constrained by this grammar or schema."""


class SchemaError(LambdaLLMError):
    """A JSON Schema can't be used; the text, part of a sentence, names the problem and its path.

    Attributes:
        number: index of the tool whose parameters it describes, if any.
    """

    number: int | None = None
