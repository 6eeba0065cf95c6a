"""The forms in which families of models write calls of tools.

Each is what the family's own chat template writes, so that a model reads back what it wrote. Sources: the templates of
meta-llama/Llama-3.2-3B-Instruct, Qwen/Qwen3-0.6B and deepseek-ai/DeepSeek-R1-Distill-Llama-8B.
"""

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

_NAME: Final = r'([^"\\\s`<]+)'


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
class Dialect:
    """How calls are written: `opening`, then for each `before` name `between` arguments `behind`, then `closing`.

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
        """Hold an answer to calls of these tools.

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


HERMES: Final = Dialect(
    opening="",
    before='<tool_call>\n{"name": "',
    between='", "arguments": ',
    behind="}\n</tool_call>",
    separator="\n",
    closing="",
    mark="<tool_call>",
    leads=False,
    head=re.compile(rf'\s*<tool_call>\s*\{{\s*"name"\s*:\s*"{_NAME}"\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\S)'),
    tail=re.compile(r"\s*\}\s*</tool_call>"),
    end="</tool_call>",
    again="<tool_call>",
    control=("<tool_call>", "</tool_call>"),
)
"""Qwen, Hermes, Granite and others; also spoken with models whose templates know no calls."""

LLAMA: Final = Dialect(
    opening="",
    before='{"name": "',
    between='", "parameters": ',
    behind="}",
    separator=None,
    closing="",
    mark='{"name": "',
    leads=True,
    head=re.compile(
        r'\s*(?:<\|python_tag\|>)?\s*\{\s*(?:"type"\s*:\s*"function"\s*,\s*)?'
        rf'"name"\s*:\s*"{_NAME}"\s*,\s*"(?:parameters|arguments)"\s*:\s*(?=\S)'
    ),
    tail=re.compile(r"\s*\}\s*"),
    end="<|eom_id|>",
    again=";",
    control=("<|python_tag|>",),
)
"""Llama 3.1, 3.2 and 3.3."""

DEEPSEEK: Final = Dialect(
    opening="<｜tool▁calls▁begin｜>",
    before="<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
    between="\n```json\n",
    behind="\n```<｜tool▁call▁end｜>",
    separator="\n",
    closing="<｜tool▁calls▁end｜>",
    mark="<｜tool▁calls▁begin｜>",
    leads=False,
    head=re.compile(
        r"\s*(?:<｜tool▁calls▁begin｜>)?\s*<｜tool▁call▁begin｜>\s*(?:function)?\s*<｜tool▁sep｜>\s*"
        rf"{_NAME}\s*```(?:json)?\n\s*(?=\S)"
    ),
    tail=re.compile(r"\s*```\s*<｜tool▁call▁end｜>"),
    end="<｜tool▁call▁end｜>",
    again="<｜tool▁call▁begin｜>",
    control=(
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁call▁begin｜>",
        "<｜tool▁sep｜>",
        "<｜tool▁call▁end｜>",
        "<｜tool▁calls▁end｜>",
    ),
)
"""DeepSeek R1 and its distills."""


def dialect_of(template: str) -> Dialect | None:
    """The dialect that a chat template writes, or None where it is another one or none at all."""
    if DEEPSEEK.mark in template and "```json" in template:
        return DEEPSEEK
    if HERMES.mark in template and '"arguments' in template.replace("\\", ""):
        return HERMES
    return LLAMA if '"parameters": ' in template and "<|start_header_id|>" in template else None


def described(tools: Sequence[Mapping[str, Any]], dialect: Dialect) -> str:
    """What to tell a model whose template has no place for tools.

    Args:
        tools: in OpenAI's form.
        dialect: in which it is to call them.
    """
    signatures = "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in tools)
    form = dialect.written([("the function's name", '{"parameter": "value"}')])
    return (
        f"You can call these functions, of which each line describes one:\n{signatures}\n\n"
        f"When a function helps, answer with nothing but a call in this form, one for each call:\n{form}"
    )
