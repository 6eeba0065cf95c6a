"""JSON of messages.

Source: https://docs.anthropic.com/en/api/messages
"""

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, StrictBool, StrictStr, model_validator

from lambda_llm.openai_types.chat import TOOLS_MAX
from lambda_llm.openai_types.common import (
    MANY,
    STOP_TEXTS_MAX,
    Input,
    JSONObject,
    MaxTokens,
    Returned,
    Text,
    Whole,
    check_tools,
    refuse,
)


class Block(Returned):
    """A part of a message; this server supports text, tool calls and their results, and thinking."""

    type: Literal["text", "tool_use", "tool_result", "thinking", "redacted_thinking"]
    text: Text | None = None
    id: Text | None = None
    name: Text | None = None
    input: JSONObject | None = None
    tool_use_id: Text | None = None
    content: "Text | Annotated[list[Block], Field(fail_fast=True), BeforeValidator(MANY)] | None" = None
    is_error: StrictBool | None = None
    thinking: Text | None = None

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        needed = {
            "text": ("text",),
            "tool_use": ("id", "name", "input"),
            "tool_result": ("tool_use_id",),
            "thinking": ("thinking",),
            "redacted_thinking": (),
        }[self.type]
        for name in needed:
            if getattr(self, name) is None:
                raise refuse(name, "Field required", code="missing_required_parameter")
        return self

    def written(self) -> str:
        """The text of a text block, or of a tool's result."""
        content = self.text if self.type == "text" else self.content
        return joined(content or "")


def joined(content: str | list[Block]) -> str:
    """The text of blocks, separated by newlines."""
    return content if isinstance(content, str) else "\n".join(block.written() for block in content)


class Message(Returned):
    """One message."""

    role: Literal["user", "assistant", "system"]
    content: Text | Annotated[list[Block], Field(fail_fast=True), BeforeValidator(MANY)]

    @model_validator(mode="after")
    def _fits_its_role(self) -> Self:
        blocks = self.content if isinstance(self.content, list) else []
        for number, block in enumerate(blocks):
            of_user, of_assistant = block.type == "tool_result", block.type in {"tool_use", "thinking"}
            if (of_user and self.role != "user") or (of_assistant and self.role != "assistant"):
                raise refuse(f"content.{number}.type", f"a message of role '{self.role}' must have no '{block.type}'")
        if self.role == "user" and not self.content:
            raise refuse("content", "it is empty")
        return self

    def rendered(self, *, begun: bool = False) -> Iterator[dict[str, Any]]:
        """The message in the form that chat templates expect: results of tools are messages of their own.

        Args:
            begun: an answer of the assistant's is continued: its blocks are one text.
        """
        blocks = [Block(type="text", text=self.content)] if isinstance(self.content, str) else self.content
        for block in blocks:
            if block.type == "tool_result":
                failed = "Error: " if block.is_error else ""
                yield {"role": "tool", "tool_call_id": block.tool_use_id, "content": f"{failed}{block.written()}"}
        texts = [block for block in blocks if block.type == "text"]
        calls = [
            {
                "id": block.id,
                "type": "function",
                "function": {"name": block.name, "arguments": json.dumps(block.input, ensure_ascii=False)},
            }
            for block in blocks
            if block.type == "tool_use"
        ]
        if not texts and not calls and self.role == "user":
            return
        between = "" if begun and self.role == "assistant" and not calls else "\n"
        content = between.join(block.written() for block in texts) if texts or not calls else None
        message: dict[str, Any] = {"role": self.role, "content": content}
        if calls:
            message["tool_calls"] = calls
        if thought := "\n".join(block.thinking or "" for block in blocks if block.type == "thinking"):
            message["reasoning_content"] = thought
        yield message


class Tool(Returned):
    """A function that the model may call; Anthropic's own tools are not supported."""

    type: Literal["custom"] | None = None
    name: Annotated[StrictStr, Field(pattern="^[a-zA-Z0-9_-]{1,128}$")]
    description: Text | None = None
    input_schema: JSONObject
    strict: StrictBool | None = None


class ToolChoice(Returned):
    """What the model must or may call."""

    type: Literal["auto", "any", "tool", "none"]
    name: Text | None = None
    disable_parallel_tool_use: StrictBool | None = None

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        if self.type == "tool" and self.name is None:
            raise refuse("name", "Field required", code="missing_required_parameter")
        return self


class Thinking(Returned):
    """Whether the model reasons before it answers, where its template leaves the choice."""

    type: Literal["enabled", "disabled", "adaptive"]


class OutputFormat(Returned):
    """The schema that the text is constrained by."""

    type: Literal["json_schema"]
    schema_: JSONObject = Field(alias="schema")


class OutputConfig(Returned):
    """Options of the output."""

    format: OutputFormat | None = None
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = Field(
        None, description="for models whose chat template supports it"
    )


class Metadata(Returned):
    """About the request."""

    user_id: Text | None = Field(None, description="the tenant, where LAMBDA_LLM_TENANT is user")


class CountRequest(Input):
    """Body of `POST /v1/messages/count_tokens`, and the part of a request that the prompt is made from."""

    model: StrictStr | None = Field(None, description="may be left out, as one model is served")
    messages: Annotated[list[Message], Field(min_length=1, fail_fast=True), BeforeValidator(MANY)]
    system: Text | Annotated[list[Block], Field(fail_fast=True), BeforeValidator(MANY)] | None = None
    tools: Annotated[list[Tool], Field(max_length=TOOLS_MAX, fail_fast=True)] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = Field(None, description="older place of `output_config.format`")
    metadata: Metadata | None = None
    # Accepted for clients that send them; they concern Anthropic's own service.
    cache_control: Any = None
    context_management: Any = None
    diagnostics: Any = None
    inference_geo: Any = None
    service_tier: Any = None
    speed: Any = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        choice = self.tool_choice
        chosen: Any = {choice.name} if choice and choice.name and choice.type == "tool" else None
        if choice and choice.type == "any":
            chosen = "required"
        check_tools([tool.name for tool in self.tools or ()], "name", chosen)
        return self


class MessagesRequest(CountRequest):
    """Body of `POST /v1/messages`."""

    max_tokens: MaxTokens | None = None
    stop_sequences: Annotated[list[Text], Field(max_length=STOP_TEXTS_MAX, fail_fast=True)] | None = None
    stream: StrictBool | None = False
    temperature: Annotated[float, Field(ge=0, le=2, strict=True)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1, strict=True)] | None = None
    top_k: Annotated[Whole, Field(ge=-1, le=2**31 - 1)] | None = None


class Usage(BaseModel):
    """Token counts; `input_tokens` are those that were not in a cache."""

    input_tokens: int
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int
    output_tokens: int


StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"]


class TextBlock(BaseModel):
    """Generated text."""

    type: Literal["text"] = "text"
    text: str = ""
    citations: None = None


class ThinkingBlock(BaseModel):
    """The model's reasoning; nobody checks the signature."""

    type: Literal["thinking"] = "thinking"
    thinking: str = ""
    signature: str = ""


class ToolUseBlock(BaseModel):
    """A generated tool call."""

    type: Literal["tool_use"] = "tool_use"
    id: str
    name: str
    input: dict[str, Any] = {}


AnswerBlock = TextBlock | ThinkingBlock | ToolUseBlock


class AnswerMessage(BaseModel):
    """Response to a request without `stream`."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[AnswerBlock] = []
    stop_reason: StopReason | None = None
    stop_sequence: str | None = None
    usage: Usage


class TokenCount(BaseModel):
    """Response to `POST /v1/messages/count_tokens`."""

    input_tokens: int
