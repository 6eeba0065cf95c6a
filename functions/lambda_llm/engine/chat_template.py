"""Messages to prompt: the chat template that the model brings along."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import jinja2
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from lambda_llm.engine import tool_call_formats
from lambda_llm.engine.errors import TemplateError
from lambda_llm.engine.loaded_model import LoadedModel
from lambda_llm.engine.tool_call_formats.base import END_THINK, THINK, described

RESERVED: Final = frozenset(
    {"messages", "tools", "functions", "function_call", "tool_choice", "add_generation_prompt"}
    | {"bos_token", "eos_token", "raise_exception", "strftime_now", "self"}
)
"""Variables of a template that can't be chosen by whoever asks."""

_CALL: Final[dict[str, Any]] = {"name": "probe_function", "arguments": {"probe_argument": "probe value"}}
_TOOL: Final = {
    "type": "function",
    "function": {"name": _CALL["name"], "description": "", "parameters": {"type": "object", "properties": {}}},
}
_USER: Final = {"role": "user", "content": "probe"}


@dataclass(frozen=True)
class Prompt:
    """A conversation as the model reads it.

    Attributes:
        text: rendered.
        tokens: its token ids.
        thinking: it ends in thoughts that the template has opened.
    """

    text: str
    tokens: list[int]
    thinking: bool


class _CallShape(NamedTuple):
    """The shape in which a template expects calls: HF's templates agree on no one."""

    as_text: bool
    empty: str | None


class ChatTemplate:
    """Renders conversations as the model was trained to read them, in Jinja's sandbox.

    Attributes:
        tool_call_format: how the model writes calls.
        thinks: whether it thinks before it answers.
        preserved_tokens: control tokens that are part of an answer's text: of calls and thoughts.
        reasoning_variables: variables by which it can be set how much the model thinks.
    """

    def __init__(self, model: LoadedModel) -> None:
        """Compile the model's template, and try out what it can do.

        Raises:
            TemplateError: the template is no valid Jinja. A model without one is fine until it is used.
        """
        self._model = model
        self._formatter = None
        source = model.chat_template
        if source:
            try:
                self._formatter = Jinja2ChatFormatter(template=source, eos_token=model.eos, bos_token=model.bos)
            except jinja2.TemplateError as error:
                raise TemplateError(
                    f"The model's chat template is no valid Jinja ({error}): fix the GGUF file."
                ) from error
        known = tool_call_formats.format_of(source)
        self._shape = self._call_shape() if known else None
        self._takes_tools = known is not None and _CALL["name"] in self._tried([_USER], [_TOOL])
        self._takes_results = self._shape is not None and "probe result" in self._tried(
            [_USER, _called(self._shape), {"role": "tool", "name": _CALL["name"], "content": "probe result"}]
        )
        self.tool_call_format = known if known and (self._shape or self._takes_tools) else tool_call_formats.DEFAULT
        self.thinks = THINK in source or END_THINK in source
        self.reasoning_variables = frozenset(name for name in ("enable_thinking", "reasoning_effort") if name in source)
        # Without a template there is no conversation; and not every vocabulary can spell any text.
        marks = [*self.tool_call_format.control, *((THINK, END_THINK) if self.thinks else ())] if source else []
        tokens = [model.tokenize(mark, add_special=False) for mark in marks]
        self.preserved_tokens = frozenset(each[0] for each in tokens if len(each) == 1)

    def tokens(self, messages: Sequence[Mapping[str, Any]]) -> list[int]:
        """Render messages, with the beginning of the model's turn behind them, to token ids; see `prompt`."""
        return self.prompt(messages).tokens

    def prompt(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] = (),
        variables: Mapping[str, Any] | None = None,
    ) -> Prompt:
        """Render a conversation, with the beginning of the model's turn behind it.

        Args:
            messages: OpenAI's `{"role": …, "content": …}`, also with calls of tools and their results.
            tools: in OpenAI's form; a template that has no place for them finds them in the system message.
            variables: for the template, for example `enable_thinking`; none of `RESERVED`.

        Raises:
            TemplateError: the template refuses the messages, or there is none.
        """
        text = self.render(messages, tools, variables)
        # Many templates write BOS themselves; two of them would confuse the model.
        bos = self._model.bos
        tokens = self._model.tokenize(text, add_special=not (bos and text.startswith(bos)))
        return Prompt(text, tokens, thinking=text.rstrip().endswith(THINK))

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] = (),
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The text of `prompt`."""
        adapted = list(self._adapted(messages))
        if tools and not self._takes_tools:
            adapted, tools = _told(adapted, described(tools, self.tool_call_format)), ()
        return self._rendered(adapted, tools, variables or {})

    def _rendered(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], variables: Mapping[str, Any]
    ) -> str:
        if self._formatter is None:
            raise TemplateError("This model has no chat template: use a chat or instruct model.")
        try:
            # The same variables as Transformers gives: `tools` is there, and None when there are none.
            given: Any = {"messages": messages, "tools": list(tools) or None, **variables}
            return str(self._formatter(**given).prompt)
        except Exception as error:  # a template can fail in any way that Python can
            raise TemplateError(
                f"The model's chat template refuses these messages: {error or type(error).__name__}"
            ) from error

    # -- what the template can do -------------------------------------------------------------------

    def _tried(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> str:
        try:
            return self._rendered(messages, tools, {})
        except TemplateError:
            return ""

    def _call_shape(self) -> _CallShape | None:
        """The first form in which a call comes out as it should."""
        forms = [_CallShape(as_text, empty) for as_text in (False, True) for empty in (None, "")]
        for form in forms:
            text = self._tried([_USER, _called(form)])
            if str(_CALL["name"]) in text and '"probe_argument":' in text:
                return form
        return None

    def _adapted(self, messages: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """Messages in the form that the template reads."""
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
            written = self.tool_call_format.written([(each["name"], each["arguments"]) for each in functions])
            others = {name: value for name, value in message.items() if name != "tool_calls"}
            return {**others, "content": "\n".join(filter(None, (message["content"], written)))}
        as_text = self._shape.as_text
        calls = [
            {**call, "function": {**each, "arguments": each["arguments"] if as_text else _read(each["arguments"])}}
            for call, each in zip(message["tool_calls"], functions, strict=True)
        ]
        return {**message, "content": message["content"] or self._shape.empty, "tool_calls": calls}


def _called(form: _CallShape) -> dict[str, Any]:
    """A turn of the model that calls."""
    arguments = json.dumps(_CALL["arguments"]) if form.as_text else _CALL["arguments"]
    call = {"id": "call_probe", "type": "function", "function": {**_CALL, "arguments": arguments}}
    return {"role": "assistant", "content": form.empty, "tool_calls": [call]}


def _read(arguments: str) -> Any:
    """What the JSON of a call's arguments says; a model may have written none."""
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def _told(messages: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """The conversation with `text` at the end of its system message."""
    if messages[0]["role"] == "system":
        return [{**messages[0], "content": f"{messages[0]['content']}\n\n{text}"}, *messages[1:]]
    return [{"role": "system", "content": text}, *messages]
