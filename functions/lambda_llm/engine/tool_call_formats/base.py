"""How a model family writes tool calls, and how its output is constrained by them."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from lambda_llm.engine.constraints import SPACE, Constraint, marked
from lambda_llm.engine.errors import SchemaError
from lambda_llm.engine.schemas import Enforceable, enforceable, reading_deadline, widest

THINK, END_THINK = "<think>", "</think>"
"""The markers around a model's reasoning."""

NAME: Final = r'([^"\\\s`<]+)'


@dataclass(frozen=True)
class Tool:
    """A function that the model may call.

    Attributes:
        name: of the function.
        parameters: JSON Schema of its arguments, an object.
        strict: refuse a schema that can't be enforced completely.
    """

    name: str
    parameters: Mapping[str, Any]
    strict: bool = False


class AnySchema(NamedTuple):
    """A JSON Schema in two degrees.

    Attributes:
        exact: as far as it can be enforced.
        wider: what to fall back to; the same where it is strict.
    """

    exact: Enforceable
    wider: Enforceable

    @classmethod
    def of(cls, schema: Any, *, strict: bool, deadline: float | None = None) -> "AnySchema":
        """Both degrees of a schema; see `enforceable` for the arguments.

        Raises:
            SchemaError: see `enforceable`.
        """
        exact = enforceable(schema, strict=strict, deadline=deadline)
        return cls(exact, exact if strict else widest(schema))


@dataclass(frozen=True)
class ToolCallFormat:
    """How calls are written: as the family's own chat template renders them, so that both agree.

    The form is `opening`, then for each call `before` name `between` arguments `after`, then `closing`.

    Attributes:
        opening: before the first call.
        before: before a call's name.
        between: between its name and the JSON of its arguments.
        after: after the arguments.
        separator: between two calls; None where there can be only one.
        closing: after the last call.
        mark: marker of the first call: a prefix of `opening` and `before` together.
        only_leading: calls are calls only at the beginning of the output, because the marker alone is ambiguous.
        head: matches a call up to its arguments, in the variants that models write; its group is the name.
        tail: matches from the end of the arguments to the end of the call.
        end: ends a call that `head` does not match.
        next_call: begins a further call.
        control: texts that may be control tokens; such tokens are then part of the generated text.
        arguments_key: key of the arguments, where a call is nothing but a JSON object; empty: it is not.
    """

    opening: str
    before: str
    between: str
    after: str
    separator: str | None
    closing: str
    mark: str
    only_leading: bool
    head: re.Pattern[str]
    tail: re.Pattern[str]
    end: str
    next_call: str
    control: tuple[str, ...]
    arguments_key: str = ""

    def render(self, calls: Sequence[tuple[str, str]]) -> str:
        """Tool calls in this format.

        Args:
            calls: name and JSON arguments of each.
        """
        each = [f"{self.before}{name}{self.between}{arguments}{self.after}" for name, arguments in calls]
        # Several calls that the format has no place for are still read as several.
        separator = f"{self.next_call} " if self.separator is None else self.separator
        return self.opening + separator.join(each) + self.closing

    def constraint(
        self,
        tools: Mapping[int, Tool],
        *,
        parallel: bool,
        optional: bool,
        thinking: bool,
        markers: Mapping[str, int],
        alternative: AnySchema | None = None,
    ) -> Constraint:
        """A constraint by which the output calls these tools.

        Args:
            tools: those that may be called, at least one, by their indices in the request.
            parallel: allow several calls.
            optional: constrain only calls that the model starts itself; otherwise it must call a tool.
            thinking: the prompt ends inside reasoning, which stays unconstrained.
            markers: those of `control` that are tokens of their own, with their ids.
            alternative: schema of output that is not a call; with `optional` only.

        Raises:
            SchemaError: the parameters of a strict tool can't be enforced; its `number` is the tool's index.
        """
        after = (END_THINK,) if thinking else ()
        lazy = optional and alternative is None
        if lazy:
            after = (*after, self.mark)
        space = bool(after) and not (lazy and self.only_leading)  # such a marker ends within the name's quotes
        write = _Writer(self, parallel=parallel, lazy=lazy, space=space, markers=markers)
        deadline = reading_deadline()
        schemas = {number: _arguments(number, tool, deadline) for number, tool in tools.items()}
        names = [tool.name for tool in tools.values()]
        exact = write.grammar(names, [each.exact for each in schemas.values()], alternative and alternative.exact)
        wider = write.grammar(names, [each.wider for each in schemas.values()], alternative and alternative.wider)
        return Constraint(exact, wider if wider != exact else None, after, leading=lazy and self.only_leading)


def _arguments(number: int, tool: Tool, deadline: float) -> AnySchema:
    try:
        degrees = AnySchema.of(tool.parameters, strict=tool.strict, deadline=deadline)
    except SchemaError as error:
        error.number = number
        raise
    # Arguments are an object, where the schema doesn't say otherwise.
    return AnySchema(*(each if each.schema else Enforceable({"type": "object"}, each.widened) for each in degrees))


class _Writer:
    """Writes grammars of calls."""

    def __init__(
        self, form: ToolCallFormat, *, parallel: bool, lazy: bool, space: bool, markers: Mapping[str, int]
    ) -> None:
        self._form = form
        self._several = parallel and form.separator is not None
        self._lazy = lazy
        self._space = space
        self._markers = markers

    def grammar(self, names: Sequence[str], schemas: Sequence[Enforceable], alternative: Enforceable | None) -> str:
        """A grammar of calls.

        Args:
            names: of the functions.
            schemas: of their arguments.
            alternative: schema of output that is not a call.
        """
        form = self._form
        rules = [f"arguments{number}: %json {schema.grammar()}" for number, schema in enumerate(schemas)]
        if alternative is not None and form.arguments_key:
            # Both begin with a brace, and llguidance must know the whole of each to tell them apart.
            rules = [
                f"call{number}: %json {_whole_call(name, form.arguments_key, schema).grammar()}"
                for number, (name, schema) in enumerate(zip(names, schemas, strict=True))
            ]
            calls = " | ".join(f"call{number}" for number in range(len(names)))
        else:
            rules.append(self._body(names))
            calls = self._calls()
        if alternative is not None:
            rules.append(f"alternative: %json {alternative.grammar()}")
            calls = f"({calls} | alternative)"
        start = f"start: {'SPACE? ' if self._space else ''}{calls}"
        return "\n".join([start, SPACE, *rules, ""])

    def _calls(self) -> str:
        form = self._form
        first = form.opening + form.before
        calls = f"{self._text(first.removeprefix(form.mark).lstrip() if self._lazy else first)} call"
        if self._several:
            calls += f" ({self._text((form.separator or '') + form.before)} call)*"
        return f"{calls} {self._text(form.closing)}"

    def _body(self, names: Sequence[str]) -> str:
        form = self._form
        bodies = (
            f"{self._text(name + form.between)} arguments{number} {self._text(form.after)}"
            for number, name in enumerate(names)
        )
        return f"call: {' | '.join(bodies)}"

    def _text(self, value: str) -> str:
        return marked(value, self._markers)


def _whole_call(name: str, key: str, schema: Enforceable) -> Enforceable:
    """The schema of a call that is nothing but a JSON object."""
    inner = dict(schema.schema)
    definitions = inner.pop("$defs", None)
    whole = {
        "type": "object",
        "properties": {"name": {"const": name}, key: inner},
        "required": ["name", key],
        "additionalProperties": False,
    }
    return Enforceable(whole | ({"$defs": definitions} if definitions else {}))


def instructions(tools: Sequence[Mapping[str, Any]], form: ToolCallFormat) -> str:
    """Instructions for a model whose template does not support tools.

    Args:
        tools: in OpenAI's format.
        form: the format of the calls.
    """
    signatures = "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in tools)
    example = form.render([("the function's name", '{"parameter": "value"}')])
    return (
        f"You can call these functions, of which each line describes one:\n{signatures}\n\n"
        f"When a function helps, answer with nothing but a call in this form, one for each call:\n{example}"
    )
