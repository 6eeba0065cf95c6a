"""Llama 3.1, 3.2 and 3.3.

Source: the chat template of meta-llama/Llama-3.2-3B-Instruct
"""

import re
from typing import Final

from lambda_llm.engine.tool_call_formats.base import NAME, ToolCallFormat

FORMAT: Final = ToolCallFormat(
    opening="",
    before='{"name": "',
    between='", "parameters": ',
    after="}",
    separator=None,
    closing="",
    mark='{"name": "',
    only_leading=True,
    head=re.compile(
        r'\s*(?:<\|python_tag\|>)?\s*\{\s*(?:"type"\s*:\s*"function"\s*,\s*)?'
        rf'"name"\s*:\s*"{NAME}"\s*,\s*"(?:parameters|arguments)"\s*:\s*(?=\S)'
    ),
    tail=re.compile(r"\s*\}\s*"),
    end="<|eom_id|>",
    next_call=";",
    control=("<|python_tag|>",),
    arguments_key="parameters",
)


def writes(template: str) -> bool:
    """Whether a chat template renders calls in this format."""
    return '"parameters": ' in template and "<|start_header_id|>" in template
