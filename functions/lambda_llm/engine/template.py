"""Messages to prompt: the chat template that the model brings along."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import jinja2
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from lambda_llm.engine.dialect import END_THINK, HERMES, THINK, described, dialect_of
from lambda_llm.engine.errors import NotGenerativeError, TemplateError
from lambda_llm.engine.model import Model

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


class _CallForm(NamedTuple):
    """How a template wants to be told of calls: HF's templates agree on no one form."""

    as_text: bool
    empty: str | None


class ChatTemplate:
    """Renders conversations as the model was trained to read them, in Jinja's sandbox.

    Attributes:
        dialect: how the model writes calls.
        thinks: whether it thinks before it answers.
        marks: control tokens that are part of an answer's text: of calls and thoughts.
        knows: variables of the template, as far as they matter to the API.
    """

    def __init__(self, model: Model) -> None:
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
        known = dialect_of(source)
        self._form = self._call_form() if known else None
        self._takes_tools = known is not None and _CALL["name"] in self._tried([_USER], [_TOOL])
        self._takes_results = self._form is not None and "probe result" in self._tried(
            [_USER, _called(self._form), {"role": "tool", "name": _CALL["name"], "content": "probe result"}]
        )
        self.dialect = known if known and (self._form or self._takes_tools) else HERMES
        self.thinks = THINK in source or END_THINK in source
        self.knows = frozenset(name for name in ("enable_thinking", "reasoning_effort") if name in source)
        marks = [*self.dialect.control, *((THINK, END_THINK) if self.thinks else ())]
        tokens = [model.tokenize(mark, add_special=False) for mark in marks]
        self.marks = frozenset(each[0] for each in tokens if len(each) == 1)

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
            adapted, tools = _told(adapted, described(tools, self.dialect)), ()
        return self._rendered(adapted, tools, variables or {})

    def _rendered(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], variables: Mapping[str, Any]
    ) -> str:
        if not self._model.generates:
            raise NotGenerativeError
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

    def _call_form(self) -> _CallForm | None:
        """The first form in which a call comes out as it should."""
        forms = [_CallForm(as_text, empty) for as_text in (False, True) for empty in (None, "")]
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
        if self._form is None:
            written = self.dialect.written([(each["name"], each["arguments"]) for each in functions])
            others = {name: value for name, value in message.items() if name != "tool_calls"}
            return {**others, "content": "\n".join(filter(None, (message["content"], written)))}
        as_text = self._form.as_text
        calls = [
            {**call, "function": {**each, "arguments": each["arguments"] if as_text else _read(each["arguments"])}}
            for call, each in zip(message["tool_calls"], functions, strict=True)
        ]
        return {**message, "content": message["content"] or self._form.empty, "tool_calls": calls}


def _called(form: _CallForm) -> dict[str, Any]:
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
