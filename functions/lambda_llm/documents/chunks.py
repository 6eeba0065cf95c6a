"""Texts to chunks that end where sections, paragraphs and sentences do."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from semantic_text_splitter import MarkdownSplitter, TextSplitter

from lambda_llm.documents.errors import DocumentsSettingsError

WINDOW: Final = 16 * 1024
"""Characters that are split at a time, at the least. For some texts the library's time for a chunk grows with what
follows it: 256 KB of `a_a_…` at a time, measured in tokens, take more than a minute."""

CHUNKS: Final = 16
"""That a window has room for, as long as a token is a character or more."""

_Chunks = Callable[[str], list[tuple[int, str]]]


class Kind(Enum):
    """What the structure of a text is read as."""

    TEXT = "text"
    MARKDOWN = "markdown"


@dataclass(frozen=True)
class Chunk:
    """A piece of a text.

    Attributes:
        start: where it begins, in characters of the text.
        text: it, without white space at its ends.
    """

    start: int
    text: str


class Splitter:
    """Splits texts. Everything but white space is in a chunk, and chunks are in the order of the text."""

    def __init__(self, size: int, overlap: int, tokenizer: str | None = None) -> None:
        """Take the sizes.

        Args:
            size: most of a chunk: characters, or tokens if there is a tokenizer. Those that an encoder adds at the ends
                of a text, mostly two, do not count: leave room for them.
            overlap: most that two chunks have in common, likewise; below `size`.
            tokenizer: content of a tokenizer.json, as Hugging Face's `tokenizers` writes it.

        Raises:
            DocumentsSettingsError: the tokenizer can't be used.
        """
        self._window = max(WINDOW, CHUNKS * size)
        if tokenizer is None:
            self._by_kind: dict[Kind, _Chunks] = {
                Kind.TEXT: TextSplitter(size, overlap).chunk_indices,
                Kind.MARKDOWN: MarkdownSplitter(size, overlap).chunk_indices,
            }
            return
        counting = _counting(tokenizer)
        try:
            self._by_kind = {
                Kind.TEXT: TextSplitter.from_huggingface_tokenizer_str(counting, size, overlap).chunk_indices,
                Kind.MARKDOWN: MarkdownSplitter.from_huggingface_tokenizer_str(counting, size, overlap).chunk_indices,
            }
        except Exception as error:  # the library raises nothing narrower
            raise DocumentsSettingsError(_UNUSABLE.format(why=str(error).splitlines()[0])) from error

    def split(self, text: str, kind: Kind) -> Iterator[Chunk]:
        """Chunks of a text; none of one that has only white space.

        Args:
            text: of any length, in valid Unicode.
            kind: what its structure is read as.
        """
        begin = 0
        while begin < len(text):
            end = begin + self._window
            found = [each for each in self._by_kind[kind](text[begin:end]) if not each[1].isspace()]
            following = end
            # What stands at the end of a window may go on behind it: the next one begins with it.
            if end < len(text) and len(found) > 1:
                following = begin + found.pop()[0]
            for start, chunk in found:
                yield Chunk(begin + start, chunk)
            begin = following


_UNUSABLE: Final = (
    "The tokenizer can't be used ({why}): LAMBDA_LLM_DOCUMENTS_TOKENIZER takes a tokenizer.json that Hugging Face's "
    "tokenizers can load."
)


def _counting(tokenizer: str) -> str:
    """The same tokenizer without what would falsify a text's length: cutting and filling it up to one."""
    try:
        fields = json.loads(tokenizer)
        return json.dumps({**fields, "truncation": None, "padding": None})
    except (ValueError, TypeError, RecursionError):
        raise DocumentsSettingsError(_UNUSABLE.format(why="it is no JSON object")) from None
