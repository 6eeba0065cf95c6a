"""JSON of responses, as far as a stateless server supports it.

Source: https://platform.openai.com/docs/api-reference/responses
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, StrictBool, model_validator

from lambda_llm.openai_types.chat import TOOLS_MAX, Effort, Name
from lambda_llm.openai_types.common import (
    MANY,
    AcceptedInput,
    Input,
    JSONObject,
    MaxTokens,
    Returned,
    SamplingInput,
    Text,
    Unsupported,
    Verbosity,
    check_stream_options,
    check_tools,
    refuse,
)


class InputPart(Returned):
    """One part of an item; this server supports text only."""

    type: Literal["input_text", "output_text", "text", "reasoning_text", "summary_text"]
    text: Text


InputParts = Annotated[list[InputPart], Field(fail_fast=True), BeforeValidator(MANY)]
Texts = Annotated[list[Text], Field(fail_fast=True), BeforeValidator(MANY)]


class Item(Returned):
    """A message, a tool call, its result, or reasoning; items of earlier responses are accepted unchanged."""

    type: Literal["message", "function_call", "function_call_output", "reasoning"] = "message"
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: Text | InputParts | None = None
    call_id: Text | None = None
    name: Text | None = None
    arguments: Text | None = None
    output: Text | InputParts | None = None
    summary: InputParts | None = None

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        needed = {
            "message": ("role", "content"),
            "function_call": ("call_id", "name", "arguments"),
            "function_call_output": ("call_id", "output"),
            "reasoning": (),
        }[self.type]
        for name in needed:
            if getattr(self, name) is None:
                raise refuse(name, "Field required", code="missing_required_parameter")
        return self


class FunctionTool(Input):
    """A function that the model may call."""

    type: Literal["function"]
    name: Name
    description: Text | None = None
    parameters: JSONObject | None = Field(None, description="JSON Schema of the arguments")
    strict: StrictBool | None = Field(None, description="refuse `parameters` that can't be enforced completely")


class NamedTool(Input):
    """A reference to a function in `tools`."""

    type: Literal["function"]
    name: Name


class ToolChoice(Input):
    """What the model must or may call: one function, or a subset of the tools."""

    type: Literal["function", "allowed_tools"]
    name: Name | None = None
    mode: Literal["auto", "required"] | None = None
    tools: Annotated[list[NamedTool], Field(min_length=1, max_length=TOOLS_MAX, fail_fast=True)] | None = None

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        needed, others = (("name",), ("mode", "tools")) if self.type == "function" else (("mode", "tools"), ("name",))
        for name in needed:
            if getattr(self, name) is None:
                raise refuse(name, "Field required", code="missing_required_parameter")
        for name in others:
            if getattr(self, name) is not None:
                raise refuse(name, f"the type '{self.type}' must have none")
        return self

    def chosen(self) -> set[str]:
        """Names of the functions that may be called."""
        return {self.name} if self.name else {tool.name for tool in self.tools or ()}


class Format(Input):
    """The format that the text is constrained by."""

    type: Literal["text", "json_object", "json_schema"]
    name: Text | None = None
    description: Text | None = None
    schema_: JSONObject | None = Field(None, alias="schema")
    strict: StrictBool | None = None

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        if self.type == "json_schema" and self.schema_ is None:
            raise refuse("schema", "Field required", code="missing_required_parameter")
        if self.type == "text" and self.schema_ is not None:
            raise refuse("schema", "it belongs to the type 'json_schema', and the type is 'text'")
        return self


class TextConfig(Input):
    """Options of the text output."""

    format: Format | None = None
    verbosity: Verbosity | None = Field(None, description="accepted for clients that send it; changes nothing")


class ReasoningConfig(Input):
    """Options of the reasoning."""

    effort: Effort | None = None
    summary: Text | None = Field(None, description="reasoning is returned as it is, never summarized")
    generate_summary: Text | None = Field(None, description="older name of `summary`")


class ResponseStreamOptions(Input):
    """Options of a stream."""

    include_obfuscation: Literal[False] | None = Field(None, description="not supported; only false is accepted")


class ResponseRequest(SamplingInput, AcceptedInput):
    """Body of `POST /v1/responses`. Nothing is stored: each request has the whole conversation."""

    input: Text | Annotated[list[Item], Field(min_length=1, fail_fast=True), BeforeValidator(MANY)]
    instructions: Text | None = None
    max_output_tokens: MaxTokens | None = None
    text: TextConfig | None = None
    reasoning: ReasoningConfig | None = None
    tools: Annotated[list[FunctionTool], Field(max_length=TOOLS_MAX, fail_fast=True)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    parallel_tool_calls: StrictBool | None = None
    stream_options: ResponseStreamOptions | None = None
    background: Literal[False] | None = None
    truncation: Literal["auto", "disabled"] | None = Field(None, description="as LAMBDA_LLM_CONTEXT_OVERFLOW says")
    include: Texts | None = Field(None, description="what there is to include is always included")
    top_logprobs: Literal[0] | None = None
    access_programs: Unsupported = None
    background_options: Unsupported = None
    context_management: Unsupported = None
    conversation: Unsupported = None
    image: Unsupported = None
    max_tool_calls: Unsupported = None
    moderation: Unsupported = None
    previous_response_id: Unsupported = None
    prompt: Unsupported = None
    prompt_cache_options: Unsupported = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        check_stream_options(self.stream_options, stream=self.stream)
        choice = self.tool_choice.chosen() if isinstance(self.tool_choice, ToolChoice) else self.tool_choice
        check_tools([tool.name for tool in self.tools or ()], "name", choice)
        return self


Status = Literal["in_progress", "completed", "incomplete", "failed"]


class OutputText(BaseModel):
    """A part of a message's content."""

    type: Literal["output_text"] = "output_text"
    text: str = ""
    annotations: list[Any] = []
    logprobs: list[Any] = []


class ReasoningText(BaseModel):
    """A part of the reasoning."""

    type: Literal["reasoning_text"] = "reasoning_text"
    text: str = ""


class MessageItem(BaseModel):
    """A generated message."""

    id: str
    type: Literal["message"] = "message"
    status: Status = "in_progress"
    role: Literal["assistant"] = "assistant"
    content: list[OutputText] = []


class ReasoningItem(BaseModel):
    """The model's reasoning."""

    id: str
    type: Literal["reasoning"] = "reasoning"
    status: Status = "in_progress"
    summary: list[Any] = []
    content: list[ReasoningText] = []


class CallItem(BaseModel):
    """A generated tool call."""

    id: str
    type: Literal["function_call"] = "function_call"
    status: Status = "in_progress"
    call_id: str
    name: str
    arguments: str = ""


OutputItem = MessageItem | ReasoningItem | CallItem


class InputTokensDetails(BaseModel):
    """Token counts of the input."""

    cache_write_tokens: int = 0
    cached_tokens: int


class OutputTokensDetails(BaseModel):
    """Token counts of the output."""

    reasoning_tokens: int


class ResponseUsage(BaseModel):
    """Token counts of one response."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class IncompleteDetails(BaseModel):
    """Why a response is incomplete."""

    reason: Literal["max_output_tokens"] = "max_output_tokens"


class ResponseError(BaseModel):
    """Why a response failed."""

    code: str
    message: str


class ResponseObject(BaseModel):
    """Response to `POST /v1/responses`; it repeats the fields of the request."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: Status = "in_progress"
    background: Literal[False] = False
    error: ResponseError | None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, Any] = {}
    model: str
    output: list[OutputItem] = []
    parallel_tool_calls: bool
    previous_response_id: None = None
    reasoning: dict[str, Any]
    store: Literal[False] = False
    temperature: float
    text: dict[str, Any]
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]]
    top_p: float
    truncation: Literal["auto", "disabled"] = "disabled"
    usage: ResponseUsage | None = None
    user: str | None


class InputTokens(BaseModel):
    """Response to `POST /v1/responses/input_tokens` and `/v1/chat/completions/input_tokens`."""

    object: Literal["response.input_tokens"] = "response.input_tokens"
    input_tokens: int
