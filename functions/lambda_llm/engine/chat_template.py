"""Messages to prompt, with the model's own chat template."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from lambda_llm.engine import tool_call_formats
from lambda_llm.engine.bounded_jinja import BoundedTemplate, ExhaustedError
from lambda_llm.engine.cancellation import Cancellation
from lambda_llm.engine.control_tokens import ControlTokens
from lambda_llm.engine.errors import TemplateError
from lambda_llm.engine.loaded_model import LoadedModel
from lambda_llm.engine.tool_call_formats.base import END_THINK, THINK, instructions

RESERVED: Final = frozenset(
    {"messages", "tools", "functions", "function_call", "tool_choice", "add_generation_prompt"}
    | {"bos_token", "eos_token", "raise_exception", "strftime_now", "self"}
)
"""Template variables that clients may not set."""

_CALL: Final[dict[str, Any]] = {"name": "probe_function", "arguments": {"probe_argument": "probe value"}}
_TOOL: Final = {
    "type": "function",
    "function": {"name": _CALL["name"], "description": "", "parameters": {"type": "object", "properties": {}}},
}
_USER: Final = {"role": "user", "content": "probe"}


@dataclass(frozen=True)
class Prompt:
    """A rendered conversation.

    Attributes:
        text: the rendered template.
        tokens: its token ids.
        thinking: whether it ends inside reasoning that the template has opened.
    """

    text: str
    tokens: list[int]
    thinking: bool


class _CallShape(NamedTuple):
    """The form in which a template expects tool calls: Hugging Face's templates don't agree on one.

    Attributes:
        as_text: the arguments are a JSON string, not an object.
        empty: the content of a message that has none.
    """

    as_text: bool
    empty: str | None


class ChatTemplate:
    """Renders conversations with the model's template, in Jinja's sandbox.

    Attributes:
        tool_call_format: how the model writes tool calls.
        thinks: whether the model reasons before it answers.
        markers: ids of the markers of tool calls and reasoning that are tokens of their own, by their texts.
        preserved_tokens: those ids; such control tokens are part of the generated text.
        reasoning_variables: template variables that control how much the model reasons.
    """

    def __init__(self, model: LoadedModel) -> None:
        """Compile the model's template, and probe what it supports.

        Raises:
            TemplateError: the template is not valid Jinja, or takes too long or too much memory. A model without one
                only fails when it is used.
        """
        self._model = model
        source = model.chat_template
        self._template = BoundedTemplate(source) if source else None
        known = tool_call_formats.format_of(source)
        self._shape = self._call_shape() if known else None
        self._takes_tools = known is not None and _CALL["name"] in self._tried([_USER], [_TOOL])
        self._takes_results = self._shape is not None and "probe result" in self._tried(
            [_USER, _called(self._shape), {"role": "tool", "name": _CALL["name"], "content": "probe result"}]
        )
        self.tool_call_format = known if known and (self._shape or self._takes_tools) else tool_call_formats.DEFAULT
        self.thinks = THINK in source or END_THINK in source
        self.reasoning_variables = frozenset(name for name in ("enable_thinking", "reasoning_effort") if name in source)
        # Without a template there are no conversations; and not every vocabulary can tokenize any text.
        markers = [*self.tool_call_format.control, *((THINK, END_THINK) if self.thinks else ())] if source else []
        tokens = {marker: model.tokenize(marker, add_special=False) for marker in markers}
        self.markers = {marker: each[0] for marker, each in tokens.items() if len(each) == 1}
        self.preserved_tokens = frozenset(self.markers.values())
        self._control_tokens = ControlTokens(model, source, markers)

    def tokens(self, messages: Sequence[Mapping[str, Any]]) -> list[int]:
        """Render messages, followed by the header of the model's turn, to token ids; see `prompt`."""
        return self.prompt(messages).tokens

    def prompt(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] = (),
        variables: Mapping[str, Any] | None = None,
        *,
        continues: bool = True,
        parse_control: bool = False,
        at_most: int | None = None,
        cancellation: Cancellation | None = None,
    ) -> Prompt:
        """Render and tokenize a conversation, followed by the header of the model's turn.

        Args:
            messages: OpenAI's `{"role": …, "content": …}`, also with tool calls and their results.
            tools: in OpenAI's format; where the template does not support tools, they go into the system message.
            variables: for the template, for example `enable_thinking`; none of `RESERVED`.
            continues: whether a last message of the assistant is the beginning of the model's turn.
            parse_control: parse the text of control tokens in messages into these tokens, instead of as plain text.
            at_most: number of tokens; bounds the time.
            cancellation: ends the rendering.

        Raises:
            TemplateError: the template rejects the messages, or there is none.
            ContextOverflowError: there are more than `at_most` tokens.
            CancelledError: `cancellation` was called.
        """
        marks = None
        if not parse_control:
            messages, tools, marks = self._control_tokens.marked(messages, tools)
        begun = messages[-1] if continues and len(messages) > 1 and _can_be_continued(messages[-1]) else None
        text = self.render(messages[:-1] if begun else messages, tools, variables, cancellation)
        thinking = text.rstrip().endswith(THINK)
        if begun:
            text += _beginning(begun, thinking=thinking)
            thinking = False
        tokens = self._control_tokens.tokens(text, marks, at_most)
        return Prompt(marks.removed(text) if marks else text, tokens, thinking=thinking)

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] = (),
        variables: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> str:
        """The text of `prompt`."""
        adapted = list(self._adapted(messages))
        if tools and not self._takes_tools:
            adapted, tools = _with_instructions(adapted, instructions(tools, self.tool_call_format)), ()
        return self._rendered(adapted, tools, variables or {}, cancellation)

    def _rendered(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]],
        variables: Mapping[str, Any],
        cancellation: Cancellation | None = None,
    ) -> str:
        if self._template is None:
            raise TemplateError("This model has no chat template: use a chat or instruct model.")
        # As Transformers does it: `tools` is always defined, and None when there are none.
        fields: dict[str, Any] = {"messages": messages, "tools": list(tools) or None, **variables}
        fields |= {"functions": None, "function_call": None, "tool_choice": None, "add_generation_prompt": True}
        fields |= {"bos_token": self._model.bos, "eos_token": self._model.eos}
        fields |= {"raise_exception": _refuse, "strftime_now": Jinja2ChatFormatter.strftime_now}
        return self._template.render(fields, cancellation)

    # -- what the template supports -----------------------------------------------------------------

    def _tried(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> str:
        try:
            return self._rendered(messages, tools, {})
        except ExhaustedError:
            raise
        except TemplateError:
            return ""

    def _call_shape(self) -> _CallShape | None:
        """The first form whose rendered call has the name and its arguments as JSON; None: no form does."""
        forms = [_CallShape(as_text, empty) for as_text in (False, True) for empty in (None, "")]
        for form in forms:
            text = self._tried([_USER, _called(form)])
            if str(_CALL["name"]) in text and '"probe_argument":' in text:
                return form
        return None

    def _adapted(self, messages: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """Messages in the form that the template expects."""
        names: dict[str, str] = {}
        results: list[str] = []
        for message in messages:
            for call in message.get("tool_calls") or ():
                names[call["id"]] = call["function"]["name"]
            if message["role"] == "tool" and not self._takes_results:
                results.append(f"<tool_response>\n{message['content']}\n</tool_response>")
                continue
            if results:
                yield {"role": "user", "content": "\n".join(results)}
                results = []
            if message["role"] == "tool":
                yield {"name": names.get(message["tool_call_id"], ""), **message}
            elif message.get("tool_calls"):
                yield self._with_calls(message)
            else:
                yield dict(message)
        if results:
            yield {"role": "user", "content": "\n".join(results)}

    def _with_calls(self, message: Mapping[str, Any]) -> dict[str, Any]:
        functions = [call["function"] for call in message["tool_calls"]]
        if self._shape is None:
            text = self.tool_call_format.render([(each["name"], each["arguments"]) for each in functions])
            others = {name: value for name, value in message.items() if name != "tool_calls"}
            return {**others, "content": "\n".join(filter(None, (message["content"], text)))}
        as_text = self._shape.as_text
        calls = [
            {**call, "function": {**each, "arguments": each["arguments"] if as_text else _parsed(each["arguments"])}}
            for call, each in zip(message["tool_calls"], functions, strict=True)
        ]
        return {**message, "content": message["content"] or self._shape.empty, "tool_calls": calls}


def _can_be_continued(message: Mapping[str, Any]) -> bool:
    return message["role"] == "assistant" and not message.get("tool_calls")


def _beginning(message: Mapping[str, Any], *, thinking: bool) -> str:
    """What the model has said already of a turn whose header has been written.

    Args:
        message: of the assistant.
        thinking: whether the header opens reasoning, which is closed before content.
    """
    thought, content = message.get("reasoning_content") or "", message["content"] or ""
    if thinking:
        return f"{thought}\n{END_THINK}\n\n{content}"
    return f"{THINK}\n{thought}\n{END_THINK}\n\n{content}" if thought else content


def _refuse(reason: str) -> None:
    """What templates call `raise_exception`."""
    raise ValueError(reason)


def _called(form: _CallShape) -> dict[str, Any]:
    """An assistant message with a tool call, for probing."""
    arguments = json.dumps(_CALL["arguments"]) if form.as_text else _CALL["arguments"]
    call = {"id": "call_probe", "type": "function", "function": {**_CALL, "arguments": arguments}}
    return {"role": "assistant", "content": form.empty, "tool_calls": [call]}


def _parsed(arguments: str) -> Any:
    """A call's arguments, parsed; unchanged where the model wrote invalid JSON."""
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def _with_instructions(messages: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """The conversation with `text` appended to its system message."""
    if messages[0]["role"] == "system":
        return [{**messages[0], "content": f"{messages[0]['content']}\n\n{text}"}, *messages[1:]]
    return [{"role": "system", "content": text}, *messages]
