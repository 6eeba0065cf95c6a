"""The forms in which families of models write calls of tools: one file a family."""

from types import ModuleType
from typing import Final

from lambda_llm.engine.tool_call_formats import deepseek, hermes, llama
from lambda_llm.engine.tool_call_formats.base import ToolCallFormat

_FAMILIES: Final[tuple[ModuleType, ...]] = (deepseek, hermes, llama)
"""Asked in this order: each has a `FORMAT`, and `writes`, which tells a chat template that uses it."""

DEFAULT: Final = hermes.FORMAT
"""For models whose templates know no calls."""


def format_of(template: str) -> ToolCallFormat | None:
    """The form that a chat template writes, or None where it is another one or none at all."""
    return next((family.FORMAT for family in _FAMILIES if family.writes(template)), None)
