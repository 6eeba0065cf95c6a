"""Messages to prompt, with the model's own chat template."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lambda_llm.engine import tool_call_formats
from lambda_llm.engine.cancellation import Cancellation
from lambda_llm.engine.control_tokens import ControlTokens
from lambda_llm.engine.errors import TemplateError
from lambda_llm.engine.loaded_model import LoadedModel
from lambda_llm.engine.probed_template import ProbedTemplate
from lambda_llm.engine.tool_call_formats.base import END_THINK, THINK

logger = logging.getLogger(__name__)

RESERVED: Final = frozenset(
    {"messages", "tools", "functions", "function_call", "tool_choice", "add_generation_prompt"}
    | {"bos_token", "eos_token", "raise_exception", "strftime_now", "self"}
)
"""Template variables that clients may not set."""


@dataclass(frozen=True)
class Prompt:
    """A rendered conversation.

    Attributes:
        text: the rendered template.
        tokens: its token ids.
        thinking: whether it ends inside reasoning that the template has opened.
    """

    text: str
    tokens: list[int]
    thinking: bool


class ChatTemplate:
    """Renders conversations with the model's template, in Jinja's sandbox.

    A GGUF may have a second template, `tool_use`, for conversations with tools; it is used where it is sound.

    Attributes:
        tool_call_format: how the model writes tool calls.
        thinks: whether the model reasons before it answers.
        markers: ids of the markers of tool calls and reasoning that are tokens of their own, by their texts.
        preserved_tokens: those ids; such control tokens are part of the generated text.
        reasoning_variables: template variables that control how much the model reasons.
    """

    def __init__(self, model: LoadedModel) -> None:
        """Compile the model's template, and probe what it supports.

        Raises:
            TemplateError: the template is not valid Jinja, or takes too long or too much memory. A model without one
                only fails when it is used.
        """
        source = model.chat_template
        self._template = ProbedTemplate(source, model.bos, model.eos) if source else None
        self._tool_template = _tool_template(model) or self._template
        form = self._tool_template.tool_call_format if self._tool_template else tool_call_formats.DEFAULT
        self.tool_call_format = form
        sources = [each.source for each in (self._template, self._tool_template) if each]
        self.thinks = any(THINK in each or END_THINK in each for each in sources)
        self.reasoning_variables = frozenset(
            name for name in ("enable_thinking", "reasoning_effort") if any(name in each for each in sources)
        )
        # Without a template there are no conversations; and not every vocabulary can tokenize any text.
        markers = [*form.control, *((THINK, END_THINK) if self.thinks else ())] if sources else []
        tokens = {marker: model.tokenize(marker, add_special=False) for marker in markers}
        self.markers = {marker: each[0] for marker, each in tokens.items() if len(each) == 1}
        self.preserved_tokens = frozenset(self.markers.values())
        self._control_tokens = ControlTokens(model, "\n".join(sources), markers)

    def tokens(self, messages: Sequence[Mapping[str, Any]]) -> list[int]:
        """Render messages, followed by the header of the model's turn, to token ids; see `prompt`."""
        return self.prompt(messages).tokens

    def prompt(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] = (),
        variables: Mapping[str, Any] | None = None,
        *,
        continues: bool = True,
        parse_control: bool = False,
        at_most: int | None = None,
        cancellation: Cancellation | None = None,
    ) -> Prompt:
        """Render and tokenize a conversation, followed by the header of the model's turn.

        Args:
            messages: OpenAI's `{"role": …, "content": …}`, also with tool calls and their results.
            tools: in OpenAI's format; where the template does not support tools, they go into the system message.
            variables: for the template, for example `enable_thinking`; none of `RESERVED`.
            continues: whether a last message of the assistant is the beginning of the model's turn.
            parse_control: parse the text of control tokens in messages into these tokens, instead of as plain text.
            at_most: number of tokens; bounds the time.
            cancellation: ends the rendering.

        Raises:
            TemplateError: the template rejects the messages, or there is none.
            ContextOverflowError: there are more than `at_most` tokens.
            CancelledError: `cancellation` was called.
        """
        marks = None
        if not parse_control:
            messages, tools, marks = self._control_tokens.marked(messages, tools)
        begun = messages[-1] if continues and len(messages) > 1 and _can_be_continued(messages[-1]) else None
        text = self.render(messages[:-1] if begun else messages, tools, variables, cancellation)
        thinking = text.rstrip().endswith(THINK)
        if begun:
            text += _beginning(begun, thinking=thinking)
            thinking = False
        tokens = self._control_tokens.tokens(text, marks, at_most)
        return Prompt(marks.removed(text) if marks else text, tokens, thinking=thinking)

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] = (),
        variables: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> str:
        """The text of `prompt`."""
        with_tools = tools or any(each["role"] == "tool" or each.get("tool_calls") for each in messages)
        template = self._tool_template if with_tools else self._template
        if template is None:
            raise TemplateError("This model has no chat template: use a chat or instruct model.")
        return template.render(messages, tools, variables, cancellation)


def _can_be_continued(message: Mapping[str, Any]) -> bool:
    return message["role"] == "assistant" and not message.get("tool_calls")


def _beginning(message: Mapping[str, Any], *, thinking: bool) -> str:
    """What the model has said already of a turn whose header has been written.

    Args:
        message: of the assistant.
        thinking: whether the header opens reasoning, which is closed before content.
    """
    thought, content = message.get("reasoning_content") or "", message["content"] or ""
    if thinking:
        return f"{thought}\n{END_THINK}\n\n{content}"
    return f"{THINK}\n{thought}\n{END_THINK}\n\n{content}" if thought else content


def _tool_template(model: LoadedModel) -> ProbedTemplate | None:
    """The template that the model has for conversations with tools; None: none that could be used."""
    source = model.tool_template
    if not source:
        return None
    try:
        template = ProbedTemplate(source, model.bos, model.eos)
    except TemplateError as error:
        logger.warning("The GGUF's template tool_use is ignored: %s", error)
        return None
    if not template.keeps_turns:
        logger.warning("The GGUF's template tool_use is ignored: it refuses conversations, or leaves out their texts.")
        return None
    return template
