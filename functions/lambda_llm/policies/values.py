"""Unwraps arguments in checkov's representation, from HCL or a plan, and detects those that are not known yet."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["UNKNOWN", "argument", "blocks", "is_known", "names", "strings", "values", "without_expressions"]

EXPRESSION: Final = re.compile(
    r"\$\{|^!?\(*(var|local|module|data|each|count|self|path|terraform|aws_[a-z0-9_]+)\.|^[a-z0-9]+\(|\?.*:"
)
"""An expression that checkov could not evaluate; the last form is a condition."""

UNKNOWN: Final = "\N{REPLACEMENT CHARACTER}"
"""Placeholder for an expression inside a text."""

OF_CHECKOV: Final = {"start_line", "end_line", "references_"}


def argument(block: Mapping[str, Any], name: str) -> Any:
    """Value of an argument.

    Args:
        block: A resource or a nested block, in which checkov wraps each value in a list.
        name: The argument.

    Returns:
        The value, None if it is not set.
    """
    value = block.get(name)
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def blocks(block: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Nested blocks with a name.

    Args:
        block: The outer block.
        name: Their name.
    """

    def inner(value: Any) -> Iterator[Mapping[str, Any]]:
        if isinstance(value, Mapping):
            yield value
        elif isinstance(value, list):
            for element in value:
                yield from inner(element)

    return list(inner(block.get(name)))


def is_known(value: Any) -> bool:
    """Whether a value is known: an expression that only Terraform can evaluate is not."""
    if isinstance(value, list):
        return all(is_known(element) for element in value)
    return not (isinstance(value, str) and EXPRESSION.search(value))


def names(value: Any) -> set[str]:
    """Keys of a map, without those that checkov adds; for an expression, every identifier in it."""
    if isinstance(value, Mapping):
        return {key for key in value if not key.startswith("__") and key not in OF_CHECKOV}
    if isinstance(value, str):
        return set(re.findall(r"[A-Za-z_][\w-]*", value))
    return set()


def strings(value: Any) -> list[str]:
    """One string or a list of them: IAM accepts both."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for element in value for text in strings(element)]
    return []


def values(variables: Any, *, without: str = "") -> list[str]:
    """Values in a map of variables, or the expression itself where it could not be evaluated.

    Args:
        variables: The map, in checkov's representation.
        without: Name of one to leave out.
    """
    if not isinstance(variables, Mapping):
        return strings(variables)
    return [text for name in sorted(names(variables) - {without}) for text in strings(argument(variables, name))]


def without_expressions(text: str) -> str:
    """Replace each `${…}` by `UNKNOWN`."""
    while (shorter := re.sub(r"\$\{[^{}]*\}", UNKNOWN, text)) != text:
        text = shorter
    return text
