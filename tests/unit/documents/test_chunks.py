"""Chunks: nothing is lost, nothing is too large, and they end where the text has ends."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from lambda_llm.documents import chunks
from lambda_llm.documents.chunks import Chunk, Kind, Splitter
from lambda_llm.documents.errors import DocumentsSettingsError

PROSE = "One sentence here. Another one follows it!\n\nA second paragraph, which is a little longer than the first one."
MARKDOWN = "# One\n\nText of one.\n\n## Two\n\nText of two.\n\n# Three\n\nText of three.\n"


def tokenizer(**more: object) -> str:
    """Of words, each of which is a token."""
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2}, unk_token="[UNK]"))  # noqa: S106
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return json.dumps({**json.loads(words.to_str()), **more})


TEXTS = st.text(
    st.one_of(st.sampled_from(" \n\t.,#*-`|>é漢😀\u200b\u0301"), st.characters(exclude_categories=["Cs"])), max_size=400
)


def split(text: str, kind: Kind, size: int, overlap: int, window: int) -> list[Chunk]:
    """Chunks of a text that is split so many characters at a time, or so many chunks."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(chunks, "WINDOW", window)
        patched.setattr(chunks, "CHUNKS", 2)
        return list(Splitter(size, overlap).split(text, kind))


@pytest.mark.parametrize("window", [5, 40, chunks.WINDOW])
@given(TEXTS, st.sampled_from(Kind), st.integers(1, 60), st.data())
def test_chunks_cover_the_text_in_its_order(window: int, text: str, kind: Kind, size: int, data: st.DataObject) -> None:
    """What is between two chunks is white space; what they have in common is said once, the text is there again."""
    overlap = data.draw(st.integers(0, size - 1))
    reached, last = 0, -1
    for chunk in split(text, kind, size, overlap, window):
        assert text[chunk.start : chunk.start + len(chunk.text)] == chunk.text
        assert 0 < len(chunk.text) <= size
        assert not chunk.text.isspace()
        assert last < chunk.start
        assert not text[reached : chunk.start].strip()
        assert reached - chunk.start <= overlap
        reached, last = max(reached, chunk.start + len(chunk.text)), chunk.start
    assert not text[reached:].strip()


def test_sentences_and_paragraphs_stay_whole_where_they_fit() -> None:
    found = [chunk.text for chunk in Splitter(45, 0).split(PROSE, Kind.TEXT)]
    assert found[0] == "One sentence here. Another one follows it!"
    assert all(chunk in PROSE for chunk in found)


def test_sections_of_markdown_stay_apart() -> None:
    found = [chunk.text for chunk in Splitter(30, 0).split(MARKDOWN, Kind.MARKDOWN)]
    assert found == ["# One\n\nText of one.", "## Two\n\nText of two.", "# Three\n\nText of three."]


def test_a_text_that_is_split_in_windows_has_the_same_chunks() -> None:
    text = "".join(f"Sentence {number} is one of many. " + "\n\n" * (number % 7 == 0) for number in range(400))
    for overlap in (0, 20):
        assert split(text, Kind.TEXT, 100, overlap, 1000) == split(text, Kind.TEXT, 100, overlap, len(text))


def test_an_overlap_repeats_the_end_of_the_chunk_before() -> None:
    first, second = list(Splitter(20, 8).split("one two three four five six", Kind.TEXT))
    assert second.start < first.start + len(first.text)


def test_sizes_are_tokens_if_there_is_a_tokenizer() -> None:
    text = "one two three four five six seven"
    found = [chunk.text for chunk in Splitter(3, 0, tokenizer()).split(text, Kind.TEXT)]
    assert found == ["one two three", "four five six", "seven"]


def test_a_tokenizer_that_cuts_and_fills_up_measures_all_the_same() -> None:
    truncation = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    padding = {
        "strategy": {"Fixed": 64},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[UNK]",
    }
    text = "one two three four five six seven"
    for more in ({"truncation": truncation}, {"padding": padding}):
        found = [chunk.text for chunk in Splitter(3, 0, tokenizer(**more)).split(text, Kind.TEXT)]
        assert found == ["one two three", "four five six", "seven"]


@pytest.mark.parametrize("content", ["{", "[]", '{"model": {"type": "none"}}'])
def test_what_is_no_tokenizer_is_refused(content: str) -> None:
    with pytest.raises(DocumentsSettingsError, match=r"^The tokenizer can't be used \(.+\): .*tokenizer\.json"):
        Splitter(3, 0, content)
