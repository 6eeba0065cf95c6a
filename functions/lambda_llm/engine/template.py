"""Messages to prompt: the chat template that the model brings along."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import jinja2
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from lambda_llm.engine.errors import TemplateError
from lambda_llm.engine.model import Model


class ChatTemplate:
    """Renders conversations as the model was trained to read them, in Jinja's sandbox."""

    def __init__(self, model: Model) -> None:
        """Compile the model's template.

        Raises:
            TemplateError: the template is no valid Jinja. A model without one is fine until it is used.
        """
        self._model = model
        self._formatter = None
        if model.chat_template:
            try:
                self._formatter = Jinja2ChatFormatter(
                    template=model.chat_template, eos_token=model.eos, bos_token=model.bos
                )
            except jinja2.TemplateError as error:
                raise TemplateError(
                    f"The model's chat template is no valid Jinja ({error}): fix the GGUF file."
                ) from error

    def tokens(self, messages: Sequence[Mapping[str, Any]]) -> list[int]:
        """Render messages, with the beginning of the model's turn behind them, to token ids.

        Args:
            messages: OpenAI's `{"role": …, "content": …}`.

        Raises:
            TemplateError: the template refuses the messages, or there is none.
        """
        if self._formatter is None:
            raise TemplateError("This model has no chat template: use a chat or instruct model.")
        try:
            prompt: str = self._formatter(messages=cast("list[Any]", messages)).prompt
        except (jinja2.TemplateError, ValueError, TypeError) as error:
            raise TemplateError(f"The model's chat template refuses these messages: {error}") from error
        # Many templates write BOS themselves; two of them would confuse the model.
        bos = self._model.bos
        return self._model.tokenize(prompt, add_special=not (bos and prompt.startswith(bos)))
