"""Tokenization agrees with llama.cpp's own expectations, for every vocabulary in llama-cpp-python's source package.

Each `ggml-vocab-X.gguf.inp` holds texts, and `.out` the tokens that the original tokenizer of X made of them.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import llama_cpp
import pytest

from lambda_llm.engine import native
from lambda_llm.engine.loaded_model import LoadedModel
from scripts.build.llama import SOURCE

FOLDER = SOURCE / "vendor/llama.cpp/models"
VOCABULARIES = sorted(FOLDER.glob("ggml-vocab-*.gguf"))
WITH_EXPECTATIONS = [path for path in VOCABULARIES if path.with_name(f"{path.name}.inp").exists()]
SEPARATOR = "\n__ggml_vocab_test__\n"


class Vocabulary(LoadedModel):
    """A model that is nothing but its vocabulary: llama.cpp can't make a context for it, so the rest is left out."""

    def __init__(self, path: Path) -> None:
        native.start()
        params = llama_cpp.llama_model_default_params()
        params.vocab_only = True
        self.handle = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
        assert self.handle, f"llama.cpp can't load {path.name}"
        self.vocabulary = llama_cpp.llama_model_get_vocab(self.handle)
        self.vocabulary_size = llama_cpp.llama_vocab_n_tokens(self.vocabulary)


@pytest.fixture(scope="module", params=VOCABULARIES, ids=lambda path: path.stem.removeprefix("ggml-vocab-"))
def vocabulary(request: pytest.FixtureRequest) -> Iterator[tuple[Path, Vocabulary]]:
    with Vocabulary(request.param) as vocabulary:
        yield request.param, vocabulary


def test_there_are_expectations() -> None:
    assert len(WITH_EXPECTATIONS) >= 15


def test_tokens_are_those_of_the_original_tokenizer(vocabulary: tuple[Path, Vocabulary]) -> None:
    path, model = vocabulary
    if path not in WITH_EXPECTATIONS:
        assert model.tokenize("Hello", add_special=False)
        return
    texts = path.with_name(f"{path.name}.inp").read_text(encoding="utf-8").split(SEPARATOR)
    lines = path.with_name(f"{path.name}.out").read_text().split("\n")[: len(texts)]
    expected = [[int(token) for token in line.split()] for line in lines]
    assert len(texts) > 30
    tokens = [model.tokenize(text, add_special=False, parse_special=False) for text in texts]
    assert dict(zip(texts, tokens, strict=True)) == dict(zip(texts, expected, strict=True))


def test_byte_vocabularies_give_back_what_they_were_given(vocabulary: tuple[Path, Vocabulary]) -> None:
    path, model = vocabulary
    if llama_cpp.llama_vocab_type(model.vocabulary) != llama_cpp.LLAMA_VOCAB_TYPE_BPE or "gemma" in path.name:
        return  # other kinds normalize: they drop accents, or spaces at the beginning
    text = "Größe:\t3.14 「日本語」 👩‍👩‍👧 <|not_a_token|>\n\n  end "
    tokens = model.tokenize(text, add_special=False, parse_special=False)
    assert b"".join(model.piece(token, control=True) for token in tokens).decode() == text


def test_several_threads_can_read_pieces(vocabulary: tuple[Path, Vocabulary]) -> None:
    _, model = vocabulary
    tokens = range(min(2000, model.vocabulary_size))

    def pieces(order: Sequence[int]) -> dict[int, bytes]:
        return {token: model.piece(token, control=True) for token in order}

    expected = pieces(tokens)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(pieces, [tokens, tokens[::-1], tokens, tokens[::-1]])) == [expected] * 4
