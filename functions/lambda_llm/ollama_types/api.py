"""JSON of Ollama's API, as far as it concerns a model that is served already.

Source: https://github.com/ollama/ollama/blob/main/docs/api.md
"""

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, StrictBool, StrictStr

from lambda_llm.openai_types.chat import TOOLS_MAX
from lambda_llm.openai_types.common import (
    MANY,
    SEED_MAX,
    SEED_MIN,
    STOP_TEXTS_MAX,
    JSONObject,
    Returned,
    Text,
    Whole,
)

_TAG = ":latest"


class Options(Returned):
    """How tokens are chosen; Ollama ignores the options of a model that it does not know, and so does this server."""

    temperature: Annotated[float, Field(ge=0, le=100, strict=True)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1, strict=True)] | None = None
    top_k: Annotated[Whole, Field(ge=-1, le=2**31 - 1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1, strict=True)] | None = None
    repeat_penalty: Annotated[float, Field(ge=0.01, le=10, strict=True)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2, strict=True)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2, strict=True)] | None = None
    seed: Annotated[Whole, Field(ge=SEED_MIN, le=SEED_MAX)] | None = None
    num_predict: Annotated[Whole, Field(ge=-2)] | None = Field(None, description="-1 and -2: as many as fit")
    stop: Text | Annotated[list[Text], Field(max_length=STOP_TEXTS_MAX, fail_fast=True)] | None = None

    def stops(self) -> list[str]:
        """The stop sequences, of which `stop` may be a single one."""
        return [each for each in ([self.stop] if isinstance(self.stop, str) else self.stop or []) if each]


class ModelInput(Returned):
    """Fields of every request."""

    model: StrictStr | None = None
    name: StrictStr | None = Field(None, description="older name of `model`")
    keep_alive: Any = Field(None, description="accepted; the model stays loaded")

    def asked_for(self) -> str | None:
        """The model's name, without Ollama's default tag."""
        name = self.model if self.model is not None else self.name
        return name.removesuffix(_TAG) if name else None


class AnswerInput(ModelInput):
    """Fields of requests that generate."""

    stream: StrictBool | None = True
    format: Literal["", "json"] | JSONObject | None = None
    options: Options | None = None
    think: StrictBool | Literal["low", "medium", "high", "max"] | None = None


class CalledFunction(Returned):
    """The function of a tool call; the arguments are an object."""

    name: Text
    arguments: JSONObject = Field(default_factory=dict)


class ToolCall(Returned):
    """A tool call in an assistant message."""

    id: Text | None = None
    function: CalledFunction


class Message(Returned):
    """One message."""

    role: Literal["system", "user", "assistant", "tool"]
    content: Text | None = ""
    thinking: Text | None = None
    tool_calls: Annotated[list[ToolCall], Field(fail_fast=True), BeforeValidator(MANY)] | None = None
    tool_name: Text | None = None
    tool_call_id: Text | None = None
    images: Annotated[list[Any], Field(max_length=0)] | None = None


class Function(Returned):
    """A function that the model may call."""

    name: Annotated[StrictStr, Field(pattern="^[a-zA-Z0-9_-]{1,64}$")]
    description: Text | None = None
    parameters: JSONObject | None = None


class Tool(Returned):
    """A tool; functions are the only kind."""

    type: Literal["function"] = "function"
    function: Function


class ChatRequest(AnswerInput):
    """Body of `POST /api/chat`."""

    messages: Annotated[list[Message], Field(fail_fast=True), BeforeValidator(MANY)] = Field(default_factory=list)
    tools: Annotated[list[Tool], Field(max_length=TOOLS_MAX, fail_fast=True)] | None = None

    def rendered(self) -> Iterator[dict[str, Any]]:
        """The messages in the form that chat templates expect: results get the ids of the calls that they answer."""
        waiting: list[tuple[str, str]] = []
        for number, message in enumerate(self.messages):
            if message.role == "tool":
                yield {
                    "role": "tool",
                    "tool_call_id": message.tool_call_id or _answered(waiting, message.tool_name),
                    "content": message.content or "",
                }
                continue
            rendered: dict[str, Any] = {"role": message.role, "content": message.content or ""}
            if message.role == "assistant" and message.tool_calls:
                calls = [(call.id or f"call_{number}_{at}", call) for at, call in enumerate(message.tool_calls)]
                waiting += [(identity, call.function.name) for identity, call in calls]
                rendered["tool_calls"] = [
                    {
                        "id": identity,
                        "type": "function",
                        "function": {
                            "name": call.function.name,
                            "arguments": json.dumps(call.function.arguments, ensure_ascii=False),
                        },
                    }
                    for identity, call in calls
                ]
                rendered["content"] = message.content or None
            if message.role == "assistant" and message.thinking:
                rendered["reasoning_content"] = message.thinking
            yield rendered


def _answered(waiting: list[tuple[str, str]], name: str | None) -> str:
    """The id of the first call without a result, of a function if it is named; removed from those that wait."""
    found = next((each for each in waiting if name is None or each[1] == name), None)
    if found is None:
        return ""
    waiting.remove(found)
    return found[0]


class GenerateRequest(AnswerInput):
    """Body of `POST /api/generate`."""

    prompt: Text = ""
    system: Text | None = None
    raw: StrictBool | None = None
    suffix: Annotated[Text, Field(max_length=0)] | None = None
    template: Annotated[Text, Field(max_length=0)] | None = None
    context: Any = Field(None, description="accepted; the prompt is evaluated without it")
    images: Annotated[list[Any], Field(max_length=0)] | None = None


class EmbedRequest(ModelInput):
    """Body of `POST /api/embed`, and with `prompt` of its older form `POST /api/embeddings`."""

    input: Text | Annotated[list[Text], Field(fail_fast=True)] | None = None
    prompt: Text | None = None
    truncate: StrictBool | None = None
    dimensions: Annotated[Whole, Field(ge=1)] | None = None
    options: Any = None

    def texts(self) -> Sequence[str]:
        """The texts to embed."""
        given = self.prompt if self.input is None else self.input
        return [given] if isinstance(given, str) else given or []


class Details(BaseModel):
    """What a model is."""

    parent_model: str = ""
    format: Literal["gguf"] = "gguf"
    family: str
    families: list[str]
    parameter_size: str
    quantization_level: str


class ModelEntry(BaseModel):
    """One entry of `GET /api/tags` and `GET /api/ps`."""

    name: str
    model: str
    modified_at: str
    size: int
    digest: str = ""
    details: Details


class ModelEntries(BaseModel):
    """Response to `GET /api/tags` and `GET /api/ps`."""

    models: list[ModelEntry]


class Shown(BaseModel):
    """Response to `POST /api/show`."""

    modelfile: str = ""
    parameters: str = ""
    template: str
    details: Details
    model_info: dict[str, Any]
    capabilities: list[str]
    modified_at: str


class Version(BaseModel):
    """Response to `GET /api/version`."""

    version: str


class ErrorResponse(BaseModel):
    """The body of every error response."""

    error: str
