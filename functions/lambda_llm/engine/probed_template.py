"""A chat template, and the form in which it keeps everything that a conversation says.

Templates don't agree on what they take: a system message, one in the middle, two turns of one role, content as parts,
tools, arguments as text. Some raise an exception, others leave out what they don't expect. So each form is tried with
texts that must all come back, the template's own before its substitutes.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from lambda_llm.engine import tool_call_formats
from lambda_llm.engine.bounded_jinja import BoundedTemplate, ExhaustedError
from lambda_llm.engine.cancellation import Cancellation
from lambda_llm.engine.errors import TemplateError
from lambda_llm.engine.tool_call_formats.base import instructions
from lambda_llm.engine.turns import Message, folded, in_parts, merged, with_instructions

logger = logging.getLogger(__name__)

_REMEDY: Final = "fix tokenizer.chat_template in the GGUF file, or use another model."


class _CallShape(NamedTuple):
    """The form in which a template expects tool calls.

    Attributes:
        as_text: the arguments are a JSON string, not an object.
        empty: the content of a message that has none.
    """

    as_text: bool
    empty: str | None


@dataclass(frozen=True)
class _Form:
    """What a template takes; the defaults are what every template does.

    Attributes:
        variables: names of those that it needs defined, of `_variables`.
        typed: roles whose content is a list of parts, not a string.
        system: a system message at the beginning.
        more_systems: any number of them, anywhere.
        merged: roles of which it takes no two messages in a row.
        tools: definitions of tools, and calls in a format that can be read.
        shape: of messages with tool calls; None: the calls become text.
        results: messages of role `tool`; otherwise they become the user's text.
        content_with_calls: a message may have both.
        parallel: a message may have several calls.
    """

    variables: tuple[str, ...] = ()
    typed: frozenset[str] = frozenset()
    system: bool = False
    more_systems: bool = False
    merged: frozenset[str] = frozenset({"user", "assistant"})
    tools: bool = False
    shape: _CallShape | None = None
    results: bool = False
    content_with_calls: bool = False
    parallel: bool = False


_VARIABLES: Final = ((), ("tools",), ("functions", "datetime"))
"""Templates for tools only may need an empty list of them, not None; firefunction's needs a JSON text, and the date."""


def _said(role: str, letter: str, count: int) -> list[Message]:
    """Messages of two short lines, which occur in no template."""
    return [{"role": role, "content": f"Q{letter}{number}\nV{letter}{number}"} for number in range(count)]


_USERS: Final = _said("user", "u", 3)
_ASSISTANTS: Final = _said("assistant", "a", 2)
_SYSTEMS: Final = _said("system", "s", 4)
_TALK: Final = [_USERS[0], _ASSISTANTS[0], _USERS[1], _ASSISTANTS[1], _USERS[2]]
_CALLS: Final = [
    {
        "id": f"callprob{number}",
        "type": "function",
        "function": {"name": f"probe_function{number}", "arguments": json.dumps({f"qv_key{number}": f"Qvc{number}"})},
    }
    for number in range(2)
]
_RESULTS: Final[list[Message]] = [
    {"role": "tool", "tool_call_id": f"callprob{number}", "content": f"Qvr{number}"} for number in (0, 1)
]
_TOOL: Final = {
    "type": "function",
    "function": {
        "name": "probe_function0",
        "description": "Qvd0",
        "parameters": {"type": "object", "properties": {"qv_key0": {"type": "string"}}},
    },
}


class ProbedTemplate:
    """A compiled template with its form.

    Attributes:
        source: Jinja.
        tool_call_format: how the model writes tool calls.
        keeps_turns: whether several turns of user and assistant are all rendered.
    """

    def __init__(self, source: str, bos: str, eos: str) -> None:
        """Compile and probe a template.

        Args:
            source: Jinja.
            bos: text of the beginning-of-sequence token.
            eos: text of the end-of-sequence token.

        Raises:
            TemplateError: it is not valid Jinja, or takes too long or too much memory for a single message. One that
                refuses it, or leaves it out, only fails when it is used.
        """
        self.source = source
        self._template = BoundedTemplate(source)
        self._bos, self._eos = bos, eos
        self._form = _Form()
        self._problem = self._turns_problem = ""
        known = tool_call_formats.format_of(source)
        self.tool_call_format = known or tool_call_formats.DEFAULT
        self.keeps_turns = False
        if not self._probe_user():
            return
        try:
            self._probe_turns()
            if known:
                self._probe_tools()
        except ExhaustedError as error:
            logger.warning("What the chat template does with some conversations is unknown: %s", error)
        if not (self._form.shape or self._form.tools):
            self.tool_call_format = tool_call_formats.DEFAULT

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] = (),
        variables: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> str:
        """The text of a conversation, followed by the header of the model's turn; see `ChatTemplate.prompt`."""
        problem = self._problem or (self._turns_problem if _has_answers(messages) else "")
        if problem:
            raise TemplateError(problem)
        return self._rendered(messages, tools, variables or {}, cancellation)

    def _rendered(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]],
        variables: Mapping[str, Any],
        cancellation: Cancellation | None = None,
    ) -> str:
        form = self._form
        # As Transformers does it: `tools` is always defined, and None when there are none.
        fields: dict[str, Any] = {"tools": None, "functions": None}
        fields |= {name: each for name, each in _variables().items() if name in form.variables}
        fields |= variables
        if tools and form.tools:
            fields["tools"] = list(tools)
        fields["messages"] = self._adapted(messages, () if form.tools else tools)
        fields |= {"function_call": None, "tool_choice": None, "add_generation_prompt": True}
        fields |= {"bos_token": self._bos, "eos_token": self._eos}
        fields |= {"raise_exception": _refuse, "strftime_now": Jinja2ChatFormatter.strftime_now}
        return self._template.render(fields, cancellation)

    # -- what the template takes --------------------------------------------------------------------

    def _probe_user(self) -> bool:
        """Find the form of the simplest conversation; False: there is none."""
        forms = [
            {"variables": variables, "typed": typed}
            for variables in _VARIABLES
            for typed in (frozenset[str](), frozenset({"user"}))
        ]
        if self._adopt([_USERS[:1]], *forms):
            return True
        # What it refuses it tells in its own words, and it may not refuse every conversation.
        self._form = _Form(system=True, more_systems=True, merged=frozenset())
        if self._renders(_USERS[:1]):
            self._problem = f"The model's chat template leaves out what the user says: {_REMEDY}"
        return False

    def _probe_turns(self) -> None:
        typed = self._form.typed
        self.keeps_turns = self._adopt([_TALK], {}, {"typed": typed | {"assistant"}})
        if not self.keeps_turns and self._renders(_TALK):
            self._turns_problem = (
                "The model's chat template leaves out parts of a conversation of several turns: send only messages of "
                f"the user, or {_REMEDY}"
            )
        typed = self._form.typed
        talks = [_USERS[:1], _TALK] if self.keeps_turns else [_USERS[:1]]
        begun = [[_SYSTEMS[0], *talk] for talk in talks]
        if self._adopt(begun, {"system": True}, {"system": True, "typed": typed | {"system"}}):
            answered = [*_SYSTEMS[:2], _USERS[0], _ASSISTANTS[0], _SYSTEMS[2], _USERS[1], _SYSTEMS[3]]
            self._adopt([answered], {"more_systems": True})
        for role, twice in (
            ("user", [*_USERS[:2], _ASSISTANTS[0], _USERS[2]]),
            ("assistant", [_USERS[0], *_ASSISTANTS, _USERS[1]]),
        ):
            self._adopt([twice], {"merged": self._form.merged - {role}})

    def _probe_tools(self) -> None:
        self._adopt([_USERS[:1], [_SYSTEMS[0], _USERS[0]]], {"tools": True})
        typed = self._form.typed
        shapes = [_CallShape(as_text, empty) for as_text in (False, True) for empty in (None, "")]
        forms = [
            {"shape": shape, "results": results, "typed": typed | parts}
            for results, parts in ((True, frozenset[str]()), (True, {"tool"}), (False, frozenset[str]()))
            for shape in shapes
        ]
        if self._adopt(_called(), *forms):
            self._adopt(_called(content="Qva1"), {"content_with_calls": True})
            self._adopt(_called(count=2), {"parallel": True})

    def _adopt(self, conversations: Sequence[Sequence[Message]], *changes: Mapping[str, Any]) -> bool:
        """Change the form to the first in which these conversations lose nothing; False: there is none."""
        before = self._form
        for change in changes:
            try:
                self._form = replace(before, **change)
                given = ((), (_TOOL,)) if self._form.tools else ((),)
                if all(self._keeps(each, tools) for each in conversations for tools in given):
                    return True
            except BaseException:
                self._form = before
                raise
        self._form = before
        return False

    def _keeps(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()) -> bool:
        """Whether every text is there in what is rendered, and in order; templates may gather system messages."""
        text = self._tried(messages, tools)
        if text is None or not all(each in text for each in _texts(messages, tools)):
            return False
        at = 0
        for each in _spoken(messages):
            at = text.find(each, at) + len(each)
            if at < len(each):
                return False
        return True

    def _renders(self, messages: Sequence[Message]) -> bool:
        return self._tried(messages) is not None

    def _tried(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()) -> str | None:
        """What is rendered; None: the template refuses it."""
        try:
            return self._rendered(messages, tools, {})
        except ExhaustedError:
            raise
        except TemplateError:
            return None

    # -- messages in that form ----------------------------------------------------------------------

    def _adapted(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]) -> list[Message]:
        """Messages as the template takes them; `tools` are described in the system message."""
        form = self._form
        adapted = [{**each, "role": "system"} if each["role"] == "developer" else dict(each) for each in messages]
        if tools:
            adapted = with_instructions(adapted, instructions(tools, self.tool_call_format))
        adapted = list(self._with_calls(adapted))
        if not form.more_systems:
            adapted = folded(adapted, first=form.system)
        adapted = merged(adapted, form.merged)
        return [in_parts(each) if each["role"] in form.typed else each for each in adapted]

    def _with_calls(self, messages: Sequence[Message]) -> Iterator[Message]:
        """Messages with calls and results in the template's form, or as text."""
        names: dict[str, str] = {}
        results: list[str] = []
        for message in messages:
            for call in message.get("tool_calls") or ():
                names[call["id"]] = call["function"]["name"]
            if message["role"] == "tool" and not self._form.results:
                results.append(f"<tool_response>\n{message['content']}\n</tool_response>")
                continue
            if results:
                yield {"role": "user", "content": "\n".join(results)}
                results = []
            if message["role"] == "tool":
                yield {"name": names.get(message["tool_call_id"], ""), **message}
            elif message.get("tool_calls"):
                yield self._calling(message)
            else:
                yield message
        if results:
            yield {"role": "user", "content": "\n".join(results)}

    def _calling(self, message: Message) -> Message:
        form = self._form
        calls, content = message["tool_calls"], message["content"]
        if form.shape is None or (content and not form.content_with_calls) or (len(calls) > 1 and not form.parallel):
            functions = [call["function"] for call in calls]
            text = self.tool_call_format.render([(each["name"], each["arguments"]) for each in functions])
            others = {name: value for name, value in message.items() if name != "tool_calls"}
            return {**others, "content": "\n".join(filter(None, (content, text)))}
        as_text = form.shape.as_text
        calls = [
            {**call, "function": {**function, "arguments": arguments if as_text else _parsed(arguments)}}
            for call, function, arguments in ((each, each["function"], each["function"]["arguments"]) for each in calls)
        ]
        return {**message, "content": content or form.shape.empty, "tool_calls": calls}


def _variables() -> dict[str, Any]:
    return {"tools": [], "functions": "[]", "datetime": Jinja2ChatFormatter.strftime_now("%b %d %Y")}


def _has_answers(messages: Sequence[Mapping[str, Any]]) -> bool:
    return any(message["role"] == "assistant" for message in messages)


def _called(content: str | None = None, count: int = 1) -> list[list[Message]]:
    """Conversations with calls and their results: one that ends there, and one that goes on."""
    calling = {"role": "assistant", "content": content, "tool_calls": _CALLS[:count]}
    called: list[Message] = [_USERS[0], calling, *_RESULTS[:count]]
    return [called, [*called, _ASSISTANTS[0], _USERS[1]]]


def _spoken(messages: Sequence[Message]) -> Iterator[str]:
    """What must be there in this order: contents, and the names of called functions."""
    for message in messages:
        if message["role"] != "system":
            yield from (message["content"] or "").splitlines()
        for call in message.get("tool_calls") or ():
            yield call["function"]["name"]


def _texts(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What else must be there: arguments as JSON, and what a tool is called by."""
    for message in messages:
        if message["role"] == "system":
            yield from message["content"].splitlines()
        for call in message.get("tool_calls") or ():
            ((key, value),) = json.loads(call["function"]["arguments"]).items()
            yield from (f'"{key}":', value)
    for tool in tools:
        yield from (tool["function"]["name"], *tool["function"]["parameters"]["properties"])


def _parsed(arguments: str) -> Any:
    """A call's arguments, parsed; unchanged where they are invalid JSON, or nested without an end."""
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments


def _refuse(reason: str) -> None:
    """What templates call `raise_exception`."""
    raise ValueError(reason)
