"""Qwen, Hermes, Granite and others; also for models whose templates don't support tool calls.

Source: the chat template of Qwen/Qwen3-0.6B
"""

import re
from typing import Final

from lambda_llm.engine.tool_call_formats.base import NAME, ToolCallFormat

FORMAT: Final = ToolCallFormat(
    opening="",
    before='<tool_call>\n{"name": "',
    between='", "arguments": ',
    after="}\n</tool_call>",
    separator="\n",
    closing="",
    mark="<tool_call>",
    only_leading=False,
    head=re.compile(rf'\s*<tool_call>\s*\{{\s*"name"\s*:\s*"{NAME}"\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\S)'),
    tail=re.compile(r"\s*\}\s*</tool_call>"),
    end="</tool_call>",
    next_call="<tool_call>",
    control=("<tool_call>", "</tool_call>"),
)


def writes(template: str) -> bool:
    """Whether a chat template renders calls in this format."""
    return FORMAT.mark in template and '"arguments' in template.replace("\\", "")
