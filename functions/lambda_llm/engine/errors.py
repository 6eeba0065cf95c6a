"""Why a request can't be answered by this engine."""

from lambda_llm.errors import LambdaLLMError


class EngineError(LambdaLLMError):
    """llama.cpp failed at something that should have worked."""


class ContextOverflowError(LambdaLLMError):
    """The prompt, with room for an answer, does not fit into the context.

    Attributes:
        prompt_tokens: length of the prompt.
        context_length: in tokens.
    """

    def __init__(self, prompt_tokens: int, context_length: int) -> None:
        super().__init__(
            f"This model's context length is {context_length} tokens, but the messages come to {prompt_tokens} tokens "
            "and leave no room for an answer: shorten the messages."
        )
        self.prompt_tokens = prompt_tokens
        self.context_length = context_length


class InputTooLongError(LambdaLLMError):
    """A text is longer than an encoder's context."""

    def __init__(self, index: int, tokens: int, context_length: int) -> None:
        super().__init__(
            f"This model reads {context_length} tokens at a time, but text {index} comes to {tokens}: shorten or split "
            "it."
        )


class NotGenerativeError(LambdaLLMError):
    """The model is an encoder and generates no text."""

    def __init__(self) -> None:
        super().__init__(
            "This model is an encoder and generates no text: use /v1/embeddings, /v1/classify or /v1/rerank, or serve "
            "a model that chats."
        )


class NotEncoderError(LambdaLLMError):
    """The model generates text and makes no vectors, classes or scores."""

    def __init__(self) -> None:
        super().__init__(
            "This model generates text and is no encoder: serve an embedding model, a classifier or a reranker for "
            "this endpoint."
        )


class TemplateError(LambdaLLMError):
    """The model's chat template refuses these messages, or the model has none."""


class ConstraintError(LambdaLLMError):
    """Answers of this model can't be constrained by this schema."""


class SchemaError(LambdaLLMError):
    """A JSON Schema can't be used; the text, a part of a sentence, says what is wrong and where.

    Attributes:
        number: of the tool whose parameters it describes, if any.
    """

    number: int | None = None
