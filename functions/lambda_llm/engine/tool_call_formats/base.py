"""How a family of models writes calls of tools, and how its answers are constrained to them."""

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
"""What models that think put around it."""

NAME: Final = r'([^"\\\s`<]+)'


@dataclass(frozen=True)
class Tool:
    """A function that the model may call.

    Attributes:
        name: of the function.
        parameters: JSON Schema of its arguments, an object.
        strict: calls must be valid under the schema.
    """

    name: str
    parameters: Mapping[str, Any]
    strict: bool = False


@dataclass(frozen=True)
class ToolCallFormat:
    """How calls are written, as the family's own chat template does, so that a model reads back what it wrote.

    The form is `opening`, then for each `before` name `between` arguments `behind`, then `closing`.

    Attributes:
        opening: before the first call.
        before: before a call's name.
        between: between its name and the JSON of its arguments.
        behind: behind them.
        separator: between two calls; None where there can be only one.
        closing: behind the last one.
        mark: the text by which the first call is recognised; it begins `opening` and `before`.
        leads: whether calls begin the answer, and are no calls elsewhere: the mark alone would not tell.
        head: reads up to the arguments, as models vary it; its group is the name.
        tail: reads from the arguments to the end of the call.
        end: what ends a call that `head` does not know.
        again: what begins a further call.
        control: texts that may be control tokens, which are part of the answer then.
    """

    opening: str
    before: str
    between: str
    behind: str
    separator: str | None
    closing: str
    mark: str
    leads: bool
    head: re.Pattern[str]
    tail: re.Pattern[str]
    end: str
    again: str
    control: tuple[str, ...]

    def written(self, calls: Sequence[tuple[str, str]]) -> str:
        """Calls, each a name and the JSON of its arguments, as the model would write them."""
        each = [f"{self.before}{name}{self.between}{arguments}{self.behind}" for name, arguments in calls]
        return self.opening + (self.separator or "").join(each) + self.closing

    def constraint(
        self,
        tools: Mapping[int, Tool],
        *,
        parallel: bool,
        at_will: bool,
        thinking: bool,
        instead: Callable[[Grammar], str] | None = None,
    ) -> Constraint:
        """Constrain an answer to calls of these tools.

        Args:
            tools: those that may be called, at least one, by their numbers in the request.
            parallel: several calls are fine.
            at_will: only when the model begins a call by itself; otherwise it must call from the beginning.
            thinking: the answer begins with thoughts that are open already, and which stay free.
            instead: adds rules for what the answer must be where it is no call; with `at_will` only.

        Raises:
            SchemaError: the parameters of a tool can't be used; its `number` says of which.
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
            bodies.append(f"{literal(tool.name + self.between)} {arguments} {literal(self.behind)}")
        body = grammar.add(" | ".join(bodies))
        lazy = at_will and instead is None
        first = self.opening + self.before
        calls = f"{literal(first.removeprefix(self.mark).lstrip() if lazy else first)} {body}"
        if parallel and self.separator is not None:
            calls += f" ({literal(self.separator + self.before)} {body})*"
        calls += f" {literal(self.closing)}"
        grammar.define("root", rf"[ \n]{{0,2}} ({calls}{f' | {instead(grammar)}' if instead else ''})")
        after = (END_THINK,) if thinking else ()
        if lazy:
            return Constraint(grammar.text(), (*after, self.mark), leading=self.leads)
        return Constraint(grammar.text(), after)


def described(tools: Sequence[Mapping[str, Any]], form: ToolCallFormat) -> str:
    """The instructions for a model whose template has no place for tools.

    Args:
        tools: in OpenAI's form.
        form: in which it is to call them.
    """
    signatures = "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in tools)
    example = form.written([("the function's name", '{"parameter": "value"}')])
    return (
        f"You can call these functions, of which each line describes one:\n{signatures}\n\n"
        f"When a function helps, answer with nothing but a call in this form, one for each call:\n{example}"
    )
