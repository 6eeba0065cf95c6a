"""What an output must look like: a grammar in llguidance's Lark, with JSON Schemas in it.

Source: https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from lambda_llm.engine.schemas import Enforceable

SPACE: Final = "SPACE: /[ \\n]{1,2}/"
"""A rule for the white space that may follow a marker."""


@dataclass(frozen=True)
class Constraint:
    """A grammar that the output is constrained by.

    Attributes:
        grammar: in llguidance's Lark, with the rule `start`.
        wider: a grammar that matches whatever `grammar` does, for when that one exceeds its limits; None: there is no
            such grammar, because the output is to be strict.
        after: markers that must have been generated, in this order, before it applies; none: from the first token on.
        leading: only white space may come before the last marker; otherwise the grammar never applies.
        compiled: the grammar's matcher for one vocabulary; see `matcher.compiled`.
    """

    grammar: str
    wider: str | None = None
    after: tuple[str, ...] = ()
    leading: bool = False
    compiled: Any = field(default=None, compare=False, repr=False)


def text(value: str) -> str:
    """A text, as a literal in Lark."""
    return json.dumps(value)


def marked(value: str, tokens: Mapping[str, int]) -> str:
    """A text in Lark, in which markers that are tokens of their own are these tokens.

    Args:
        value: may be empty.
        tokens: the markers' ids, by their texts.
    """
    parts = re.split(f"({'|'.join(map(re.escape, tokens))})", value) if tokens else [value]
    return " ".join(f"<[{tokens[part]}]>" if part in tokens else text(part) for part in parts if part)


def schema_constraint(schema: Enforceable, wider: Enforceable, after: tuple[str, ...] = ()) -> Constraint:
    """A constraint to JSON under a schema.

    Args:
        schema: of the JSON.
        wider: what to fall back to; the same: nothing.
        after: markers that must have been generated before.
    """

    def grammar(each: Enforceable) -> str:
        return f"start: {'SPACE? ' if after else ''}value\n{SPACE}\nvalue: %json {each.grammar()}\n"

    return Constraint(grammar(schema), None if wider == schema else grammar(wider), after)
