"""The formats in which model families write tool calls: one file per family."""

from types import ModuleType
from typing import Final

from lambda_llm.engine.tool_call_formats import deepseek, hermes, llama
from lambda_llm.engine.tool_call_formats.base import ToolCallFormat

_FAMILIES: Final[tuple[ModuleType, ...]] = (deepseek, hermes, llama)
"""In order of precedence. Each has a `FORMAT`, and `writes`, which recognizes a chat template of the family."""

DEFAULT: Final = hermes.FORMAT
"""For models whose templates don't support tool calls."""


def format_of(template: str) -> ToolCallFormat | None:
    """The format that a chat template uses; None where it is an unknown one or none at all."""
    return next((family.FORMAT for family in _FAMILIES if family.writes(template)), None)
