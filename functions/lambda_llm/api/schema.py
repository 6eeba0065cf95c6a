"""The JSON that goes in and out, named as OpenAI names it.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictStr
from pydantic_core import PydanticCustomError

STOP_TEXTS_MAX = 4
SEED_MIN, SEED_MAX = -(2**63), 2**63 - 1


def _whole_characters(text: str) -> str:
    """JSON's escapes can write half a surrogate pair, which is no character and has no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PydanticCustomError("string_unicode", "Input should hold whole characters, not half a pair") from None
    return text


Text = Annotated[StrictStr, AfterValidator(_whole_characters)]


class Input(BaseModel):
    """A part of a request: what is not known is refused by name, never ignored."""

    model_config = ConfigDict(extra="forbid")

    known: ClassVar[set[str]] = set()
    """Every field that a request may have, in any endpoint's and at any depth."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        Input.known |= cls.model_fields.keys()


class TextPart(Input):
    """One part of a message; this server reads text only."""

    type: Literal["text"]
    text: Text


class Message(Input):
    """One turn. `developer` is OpenAI's newer name for `system`."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | Annotated[list[TextPart], Field(min_length=1)]
    name: StrictStr | None = None

    def rendered(self) -> dict[str, str]:
        """The form that chat templates read."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class StreamOptions(Input):
    """What a stream holds besides text."""

    include_usage: StrictBool = False


class ChatCompletionRequest(Input):
    """Body of `POST /v1/chat/completions`."""

    model: StrictStr
    messages: Annotated[list[Message], Field(min_length=1)]
    stream: StrictBool | None = False
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2, strict=True)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1, strict=True)] | None = None
    seed: Annotated[int, Field(ge=SEED_MIN, le=SEED_MAX, strict=True)] | None = None
    stop: (
        Annotated[StrictStr, Field(min_length=1)]
        | Annotated[list[Annotated[StrictStr, Field(min_length=1)]], Field(max_length=STOP_TEXTS_MAX)]
        | None
    ) = None
    max_tokens: Annotated[int, Field(ge=1, strict=True)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, strict=True)] | None = None
    n: Literal[1] | None = None
    user: StrictStr | None = Field(None, description="accepted for clients that always send it; not used")


class PromptTokensDetails(BaseModel):
    """Of the prompt's tokens."""

    cached_tokens: int


class Usage(BaseModel):
    """Tokens of one request."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails


class AnswerMessage(BaseModel):
    """The model's turn."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class Choice(BaseModel):
    """One answer."""

    index: int = 0
    message: AnswerMessage
    logprobs: None = None
    finish_reason: Literal["stop", "length"]


class ChatCompletion(BaseModel):
    """Answer to a request that is not streamed."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage


class Delta(BaseModel):
    """What a chunk adds; absent fields are left out of the JSON."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(BaseModel):
    """One chunk of one answer."""

    index: int = 0
    delta: Delta
    finish_reason: Literal["stop", "length"] | None = None


class ChatCompletionChunk(BaseModel):
    """One event of a streamed answer."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None


class ModelCard(BaseModel):
    """One entry of `GET /v1/models`."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "lambda-llm"


class ModelList(BaseModel):
    """Answer to `GET /v1/models`."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class Memory(BaseModel):
    """Bytes: what was planned, and what the process occupies now."""

    model_file: int
    weights: int
    kv_cache: int
    compute_buffers: int
    prefixes: int
    resident: int


class Sessions(BaseModel):
    """The session store since the start; see `lambda_llm.engine.session_store.Counts`."""

    hits: int
    misses: int
    restored_tokens: int
    saved_entries: int
    saved_bytes: int
    damaged: int
    failures: int


class Requests(BaseModel):
    """Generations since the start."""

    active: int = 0
    completed: int = 0
    cancelled: int = 0
    failed: int = 0
    generated_tokens: int = 0


class Health(BaseModel):
    """Answer to `GET /health`; there is no answer before the model is ready."""

    status: Literal["ok"] = "ok"
    model: str
    context: int
    threads: int
    placement: Literal["copied", "mapped"]
    backend: str
    memory: Memory
    requests: Requests
    sessions: Sessions | None
