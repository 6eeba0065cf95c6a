"""Control tokens in what users and tools write: plain text to the model, not the tokens of that name.

Otherwise a user's text that contains the end of a turn and the header of another could forge a system message.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from lambda_llm.engine.errors import TemplateError
from lambda_llm.engine.loaded_model import LoadedModel

_PRIVATE: Final = range(0xE000, 0xF900)
"""Code points without a meaning, two of which mark what is plain text: Unicode's private use area."""

_TRUSTED: Final = frozenset({"system", "developer"})
"""Roles whose texts are the operator's own."""


class ControlTokens:
    """Marks control tokens in messages, and tokenizes rendered text with the marks."""

    def __init__(self, model: LoadedModel, template: str, kept: Collection[str]) -> None:
        """Read the model's vocabulary.

        Args:
            model: tokenizes.
            template: source of the chat template; user-defined tokens in it are control tokens, too.
            kept: texts that the model itself writes around reasoning and tool calls, which stay tokens in its turns.
        """
        self._model = model
        texts = {text for text, defined in model.special_texts() if not defined or text in template}
        self._all = _any_of(texts)
        self._others = _any_of(texts - set(kept))

    def marked(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]
    ) -> "tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]], Marks]":
        """Messages and tools with each control token in them marked as plain text.

        Raises:
            TemplateError: the messages use every code point that could be a mark.
        """
        marks = _free_marks([messages, tools])
        return (
            [
                message
                if message["role"] in _TRUSTED
                else marks.around(self._others if message["role"] == "assistant" else self._all, message)
                for message in messages
            ],
            marks.around(self._all, tools),
            marks,
        )

    def marked_texts(self, *texts: str) -> "tuple[list[str], Marks]":
        """Texts with each control token in them marked as plain text; raises what `marked` raises."""
        marks = _free_marks(texts)
        return [marks.around(self._all, text) for text in texts], marks

    def tokens(self, text: str, marks: "Marks | None", at_most: int | None) -> list[int]:
        """Tokenize a rendered conversation as a prompt.

        Args:
            text: rendered from marked messages, or with None for `marks` from others.
            marks: of `marked`.
            at_most: see `LoadedModel.tokenize`.

        Raises:
            ContextOverflowError: there are more than `at_most` tokens.
        """
        if marks is None:
            return self._model.prompt_tokens(text, at_most=at_most)
        tokens: list[int] = []
        for number, (part, plain) in enumerate(marks.parts(text)):
            if number == 0:
                tokens = self._model.prompt_tokens(part, at_most=at_most)
            elif part:
                tokens += self._model.tokenize(part, add_special=False, parse_special=not plain, at_most=at_most)
        return tokens


class Marks:
    """Two characters that occur in no message, around what is plain text."""

    def __init__(self, opening: str, closing: str) -> None:
        self._opening, self._closing = opening, closing
        self._pair = re.compile(f"{opening}([^{opening}{closing}]*){closing}")

    def around(self, texts: re.Pattern[str] | None, value: Any) -> Any:
        """A value in which each match inside a string is marked; names of fields are not."""
        if texts is None:
            return value
        if isinstance(value, str):
            return texts.sub(lambda found: f"{self._opening}{found[0]}{self._closing}", value)
        if isinstance(value, Mapping):
            return {name: each if name == "role" else self.around(texts, each) for name, each in value.items()}
        return [self.around(texts, each) for each in value] if isinstance(value, list | tuple) else value

    def parts(self, text: str) -> Iterator[tuple[str, bool]]:
        """The text in parts, alternating between those that may have control tokens and those that are plain."""
        for number, part in enumerate(self._pair.split(text)):
            yield self.removed(part), number % 2 == 1

    def removed(self, text: str) -> str:
        """The text without marks: a template may have cut through a marked one."""
        return text.replace(self._opening, "").replace(self._closing, "")


def _free_marks(value: Any) -> Marks:
    everything = json.dumps(value, ensure_ascii=False)
    free = [chr(code) for code in _PRIVATE if chr(code) not in everything][:2]
    if len(free) < 2:  # noqa: PLR2004 - a pair
        raise TemplateError("The messages have every code point of Unicode's private use area: leave some out.")
    return Marks(*free)


def _any_of(texts: Collection[str]) -> re.Pattern[str] | None:
    # The longest first, as one may begin with another.
    return re.compile("|".join(map(re.escape, sorted(texts, key=len, reverse=True)))) if texts else None
