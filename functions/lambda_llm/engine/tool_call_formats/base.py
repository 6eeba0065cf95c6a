"""How a model family writes tool calls, and how its output is constrained by them."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lambda_llm.engine.errors import SchemaError
from lambda_llm.engine.gbnf import literal
from lambda_llm.engine.json_schema import Grammar
from lambda_llm.engine.sampling import Constraint

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

    def render(self, calls: Sequence[tuple[str, str]]) -> str:
        """Tool calls in this format.

        Args:
            calls: name and JSON arguments of each.
        """
        each = [f"{self.before}{name}{self.between}{arguments}{self.after}" for name, arguments in calls]
        return self.opening + (self.separator or "").join(each) + self.closing

    def constraint(
        self,
        tools: Mapping[int, Tool],
        *,
        parallel: bool,
        optional: bool,
        thinking: bool,
        alternative: Callable[[Grammar], str] | None = None,
    ) -> Constraint:
        """A constraint by which the output calls these tools.

        Args:
            tools: those that may be called, at least one, by their indices in the request.
            parallel: allow several calls.
            optional: constrain only calls that the model starts itself; otherwise it must call a tool.
            thinking: the prompt ends inside reasoning, which stays unconstrained.
            alternative: adds rules for output that is not a call and returns their expression; with `optional` only.

        Raises:
            SchemaError: the parameters of a tool can't be used; its `number` is the tool's index.
        """
        grammar = Grammar()
        bodies = []
        for number, tool in tools.items():
            try:
                arguments = grammar.json(tool.parameters, strict=tool.strict) if tool.parameters else "object"
            except SchemaError as error:
                error.number = number
                raise
            arguments = "object" if arguments == "value" else arguments
            bodies.append(f"{literal(tool.name + self.between)} {arguments} {literal(self.after)}")
        body = grammar.add(" | ".join(bodies))
        lazy = optional and alternative is None
        first = self.opening + self.before
        calls = f"{literal(first.removeprefix(self.mark).lstrip() if lazy else first)} {body}"
        if parallel and self.separator is not None:
            calls += f" ({literal(self.separator + self.before)} {body})*"
        calls += f" {literal(self.closing)}"
        grammar.define("root", rf"[ \n]{{0,2}} ({calls}{f' | {alternative(grammar)}' if alternative else ''})")
        after = (END_THINK,) if thinking else ()
        if lazy:
            return Constraint(grammar.text(), (*after, self.mark), leading=self.only_leading)
        return Constraint(grammar.text(), after)


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
