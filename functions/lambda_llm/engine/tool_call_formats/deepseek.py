"""DeepSeek R1 and its distills.

Source: the chat template of deepseek-ai/DeepSeek-R1-Distill-Llama-8B
"""

import re
from typing import Final

from lambda_llm.engine.tool_call_formats.base import NAME, ToolCallFormat

FORMAT: Final = ToolCallFormat(
    opening="<｜tool▁calls▁begin｜>",
    before="<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
    between="\n```json\n",
    after="\n```<｜tool▁call▁end｜>",
    separator="\n",
    closing="<｜tool▁calls▁end｜>",
    mark="<｜tool▁calls▁begin｜>",
    only_leading=False,
    head=re.compile(
        r"\s*(?:<｜tool▁calls▁begin｜>)?\s*<｜tool▁call▁begin｜>\s*(?:function)?\s*<｜tool▁sep｜>\s*"
        rf"{NAME}\s*```(?:json)?\n\s*(?=\S)"
    ),
    tail=re.compile(r"\s*```\s*<｜tool▁call▁end｜>"),
    end="<｜tool▁call▁end｜>",
    next_call="<｜tool▁call▁begin｜>",
    control=(
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁call▁begin｜>",
        "<｜tool▁sep｜>",
        "<｜tool▁call▁end｜>",
        "<｜tool▁calls▁end｜>",
    ),
)


def writes(template: str) -> bool:
    """Whether a chat template renders calls in this format."""
    return FORMAT.mark in template and "```json" in template
