"""Streaming parser of a model's output: reasoning, content and tool calls."""

import json
from collections.abc import Callable, Collection
from typing import Any, Final, NamedTuple

from lambda_llm.engine.generate import overlap
from lambda_llm.engine.tool_call_formats.base import END_THINK, THINK, ToolCallFormat

_HEAD_MAX: Final = 400
"""Characters after which a possible call in a format that is `only_leading` is treated as content."""
_TAIL_MAX: Final = 64
"""Characters after which the end of a call is no longer waited for."""
_JSON: Final = json.JSONDecoder(strict=False)


class Content(NamedTuple):
    """A piece of the content."""

    text: str


class Reasoning(NamedTuple):
    """A piece of the reasoning."""

    text: str


class CallStart(NamedTuple):
    """A call of the function `name` begins; `number` is its index in the output, from 0."""

    number: int
    name: str


class CallArguments(NamedTuple):
    """A piece of the arguments' JSON of call `number`."""

    number: int
    text: str


Part = Content | Reasoning | CallStart | CallArguments


class OutputParser:
    """Parses the output of one generation; text that may be the beginning of a marker is buffered until it is clear.

    Attributes:
        calls: number of complete calls.
        spans: where each part that was returned last is in the output, as start and end in characters.
    """

    def __init__(
        self,
        *,
        form: ToolCallFormat | None = None,
        tools: Collection[str] = (),
        thinks: bool = False,
        thinking: bool = False,
    ) -> None:
        """Set the initial state.

        Args:
            form: format of tool calls; None when there are no tools.
            tools: names that may be called.
            thinks: the output may begin with reasoning.
            thinking: the prompt ends inside reasoning.
        """
        self.calls = 0
        self.spans: list[tuple[int, int]] = []
        self._read_until = self._skipped = 0
        self._form = form
        self._tools = tools
        self._buffer = ""
        self._parts: list[Part] = []
        self._begun = False
        self._trim = thinking
        self._depth = 0
        self._quoted = self._escaped = False
        self._state: Callable[[bool], bool] = self._content
        if thinking:
            self._state = self._reasoning
        elif thinks:
            self._state = self._opening

    @property
    def thinking(self) -> bool:
        """Whether the parser is inside reasoning."""
        return self._state == self._reasoning

    def feed(self, text: str) -> list[Part]:
        """Parse more text; returns the parts that are clear by now."""
        self._buffer += text
        return self._read(final=False)

    def finish(self) -> list[Part]:
        """Parse the end of the output; returns what was still buffered."""
        return self._read(final=True)

    def _read(self, *, final: bool) -> list[Part]:
        self._parts, self.spans = [], []
        more = True
        while more:
            length, count = len(self._buffer), len(self._parts)
            self._skipped = 0
            more = self._state(final)
            end = self._read_until + length - len(self._buffer)
            for part in self._parts[count:]:
                start = self._read_until + self._skipped
                self.spans.append((start, start + len(part.text)) if isinstance(part, Content) else (start, end))
            self._read_until = end
        return self._parts

    # Each state consumes the buffer and returns whether the next state should run at once.

    def _opening(self, final: bool) -> bool:  # noqa: FBT001 - a state
        text = self._buffer.lstrip()
        if text.startswith(THINK):
            self._buffer, self._trim, self._state = text.removeprefix(THINK), True, self._reasoning
            return True
        if THINK.startswith(text) and not final:
            return False
        self._state = self._content
        return True

    def _reasoning(self, final: bool) -> bool:  # noqa: FBT001 - as above
        text, found = self._until(END_THINK, final=final)
        if text:
            self._parts.append(Reasoning(text))
        if found:
            self._buffer = self._buffer.removeprefix(END_THINK)
            self._trim, self._state = True, self._content
        return found

    def _content(self, final: bool) -> bool:  # noqa: FBT001 - as above
        form = self._form
        if form is None or self._begun:
            text, found = self._trimmed(self._buffer), False
            self._buffer = ""
        elif form.only_leading:
            text = self._buffer.lstrip()
            if any(text.startswith(each) or each.startswith(text) for each in ("{", *form.control)):
                found = bool(text)
                self._state = self._head if found else self._state
                return found
            self._begun = True
            return True
        else:
            text, found = self._until(form.mark, final=final)
        if text:
            self._parts.append(Content(text))
        if found:
            self._state = self._head
        return found

    def _head(self, final: bool) -> bool:  # noqa: FBT001 - as above
        form = self._form
        assert form is not None  # noqa: S101 - only reached with one
        match = form.head.match(self._buffer)
        if match and (not form.only_leading or match[1] in self._tools):
            self._parts.append(CallStart(self.calls, match[1]))
            self._buffer = self._buffer[match.end() :]
            self._state = self._arguments
            return True
        end = self._buffer.find(form.end)
        given_up = form.only_leading and (match is not None or len(self._buffer) > _HEAD_MAX)
        if end < 0 and not final and not given_up:
            return False
        size = end + len(form.end) if end >= 0 else len(self._buffer)
        block, self._buffer = self._buffer[:size], self._buffer[size:]
        call = None if given_up else self._whole_call(block)
        if call:
            self._parts += [CallStart(self.calls, call[0]), CallArguments(self.calls, call[1])]
            self.calls += 1
            self._state = self._between
        else:
            self._parts.append(Content(block))
            self._begun = form.only_leading
            self._state = self._content
        return bool(self._buffer)

    def _whole_call(self, block: str) -> tuple[str, str] | None:
        """Name and arguments of a call whose JSON has its keys in another order."""
        try:
            call, _ = _JSON.raw_decode(block[block.index("{") :])
        except ValueError:
            return None
        name = call.get("name") if isinstance(call, dict) else None
        if not isinstance(name, str) or (self._form and self._form.only_leading and name not in self._tools):
            return None
        return name, _as_json(call.get("arguments", call.get("parameters", {})))

    def _arguments(self, final: bool) -> bool:  # noqa: FBT001 - as above
        if not self._buffer.startswith("{") and not self._depth:
            return self._non_object_arguments(final=final)
        for at, letter in enumerate(self._buffer):
            if self._escaped:
                self._escaped = False
            elif self._quoted:
                self._escaped = letter == "\\"
                self._quoted = letter != '"'
            elif letter == '"':
                self._quoted = True
            elif letter in "{[":
                self._depth += 1
            elif letter in "}]":
                self._depth -= 1
                if not self._depth:
                    self._take_arguments(at + 1)
                    self._state = self._tail
                    return True
        self._take_arguments(len(self._buffer))
        return False

    def _non_object_arguments(self, *, final: bool) -> bool:
        """Arguments that are not an object: some models write its JSON as a string."""
        try:
            value, size = _JSON.raw_decode(self._buffer)
        except ValueError:
            if not final:
                return False
            value, size = {}, len(self._buffer)
        self._parts.append(CallArguments(self.calls, _as_json(value)))
        self._buffer = self._buffer[size:]
        self._state = self._tail
        return True

    def _tail(self, final: bool) -> bool:  # noqa: FBT001 - as above
        assert self._form is not None  # noqa: S101 - as above
        match = self._form.tail.match(self._buffer)
        if match is None and not final and len(self._buffer) <= _TAIL_MAX:
            return False
        self._buffer = self._buffer[match.end() :] if match else ""
        self.calls += 1
        self._state = self._between
        return True

    def _between(self, final: bool) -> bool:  # noqa: FBT001 - as above
        assert self._form is not None  # noqa: S101 - as above
        text = self._buffer.lstrip()
        if self._form.closing and text.startswith(self._form.closing):
            self._buffer = text.removeprefix(self._form.closing)
            return True
        if text.startswith(self._form.next_call):
            self._buffer, self._state = text.removeprefix(";"), self._head
            return True
        if not final and any(each.startswith(text) for each in (self._form.closing, self._form.next_call)):
            return False
        self._trim, self._begun, self._state = True, self._form.only_leading, self._content
        return bool(text)

    def _until(self, mark: str, *, final: bool) -> tuple[str, bool]:
        """Consume the text before a marker, as far as it is clear, without white space next to the marker."""
        at = self._buffer.find(mark)
        if at < 0 and final:
            at = len(self._buffer)
            text = self._buffer
        elif at < 0:
            clear = self._buffer[: len(self._buffer) - overlap(self._buffer, mark)]
            text = clear.rstrip()
            at = len(text)
        else:
            text = self._buffer[:at].rstrip()
        found = self._buffer.startswith(mark, at)
        self._buffer = self._buffer[at:]
        return self._trimmed(text), found

    def _trimmed(self, text: str) -> str:
        """The text without white space that follows a marker."""
        if self._trim:
            trimmed = text.lstrip()
            self._skipped = len(text) - len(trimmed)
            text, self._trim = trimmed, not trimmed
        return text

    def _take_arguments(self, size: int) -> None:
        if size:
            self._parts.append(CallArguments(self.calls, self._buffer[:size]))
            self._buffer = self._buffer[size:]


def _as_json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
