"""Constraints over real vocabularies: which tokens are allowed, and which are forced."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llama_cpp
import pytest

from lambda_llm.engine import native
from lambda_llm.engine.constraints import Constraint, marked
from lambda_llm.engine.errors import ConstraintError
from lambda_llm.engine.loaded_model import LoadedModel
from lambda_llm.engine.matcher import Matcher, compiled
from lambda_llm.engine.token_trie import token_trie
from lambda_llm.gguf.options import Weights
from scripts.build.llama import SOURCE
from support.models import write_llama

VOCABULARIES = SOURCE / "vendor/llama.cpp/models"
SCHEMA = '{"type": "object", "properties": {"ort": {"type": "string"}}, "required": ["ort"]}'
JSON = Constraint(f"start: %json {SCHEMA}\n")


class Vocabulary(LoadedModel):
    """A vocabulary without weights."""

    def __init__(self, name: str) -> None:
        native.start()
        parameters = llama_cpp.llama_model_default_params()
        parameters.vocab_only = True
        path = VOCABULARIES / f"ggml-vocab-{name}.gguf"
        self.handle = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
        self.vocabulary = llama_cpp.llama_model_get_vocab(self.handle)
        self.vocabulary_size = llama_cpp.llama_vocab_n_tokens(self.vocabulary)


@pytest.fixture(params=["llama-spm", "phi-3", "gpt-2"])
def vocabulary(request: pytest.FixtureRequest) -> Iterator[Vocabulary]:
    with Vocabulary(request.param) as model:
        yield model


def test_a_real_vocabulary_writes_json_token_by_token(vocabulary: Vocabulary) -> None:
    trie = token_trie(vocabulary)
    text = '{"ort": "Zürich é🎉"}'
    matcher = Matcher(JSON, trie)
    for token in trie.tokenizer.tokenize_str(text):
        assert token in matcher.allowed()
        matcher.consume(token)
    ends = matcher.allowed()
    assert ends.size
    assert all(vocabulary.ends_turn(int(token)) for token in ends), "nothing may follow"


def test_forced_tokens_are_those_of_the_only_text(vocabulary: Vocabulary) -> None:
    matcher = Matcher(Constraint('start: "the one and only answer" /[0-9]/'), token_trie(vocabulary))
    forced = matcher.forced()
    written = b"".join(vocabulary.piece(token) for token in forced).decode()
    assert "the one and only answer".startswith(written)
    assert len(written) > len("the one and only"), "the last token may be one that goes on into the digit"


def test_nothing_but_an_end_is_forced_at_the_end(vocabulary: Vocabulary) -> None:
    trie = token_trie(vocabulary)
    matcher = Matcher(Constraint('start: "yes"'), trie)
    tokens = matcher.forced()
    while not vocabulary.ends_turn(tokens[-1]):
        tokens += matcher.forced()
    assert b"".join(vocabulary.piece(token) for token in tokens) == b"yes"


def test_a_marker_that_is_a_token_is_written_as_that_token(demo_model: Path) -> None:
    with LoadedModel(str(demo_model), Weights.COPIED) as model:
        header = model.tokenize("<|start_header_id|>", add_special=False)
        assert len(header) == 1
        grammar = f"start: {marked('a<|start_header_id|>b', {'<|start_header_id|>': header[0]})}"
        matcher = Matcher(Constraint(grammar), token_trie(model))
        assert matcher.forced()[:3] == [
            *model.tokenize("a", add_special=False),
            *header,
            *model.tokenize("b", add_special=False),
        ]
        as_text = Matcher(Constraint(f"start: {marked('<|start_header_id|>', {})}"), token_trie(model))
        assert header[0] not in as_text.allowed(), "no text is a control token"


def test_a_vocabulary_that_can_t_write_every_text_is_no_reason_to_fail(tmp_path: Path) -> None:
    """No bytes and no token that ends a turn: llama.cpp's own tokenizer would end the process."""
    with LoadedModel(str(write_llama(tmp_path / "noise.gguf")), Weights.COPIED) as model:
        trie = token_trie(model)
        piece = model.piece(7).decode()
        matcher = Matcher(Constraint(f'start: "{piece}" "{piece}"'), trie)
        assert list(matcher.allowed()) == [7]
        matcher.consume(7)
        assert matcher.forced() in ([7], [])
        with pytest.raises(ConstraintError, match="no token that matches the schema"):
            compiled(Constraint('start: "é"'), trie)
        wider = compiled(Constraint('start: "é"', wider=f'start: "{piece}"'), trie)
        assert list(Matcher(wider, trie).allowed()) == [7]


@pytest.mark.parametrize(
    ("schema", "before", "more"),
    [
        ('{"type": "integer"}', "1" * 20, False),
        ('{"type": "number"}', "0." + "3" * 20, False),
        ('{"type": "array", "items": {"type": "number"}}', "[1," + "7" * 20, False),
        ('{"type": "string"}', '"' + "1" * 20, True),
        ('{"type": "string", "pattern": "^[0-9]{30}$"}', '"' + "1" * 20, True),
        ('{"type": "integer"}', "1" * 19, True),
    ],
)
def test_a_number_comes_to_an_end(demo_model: Path, schema: str, before: str, *, more: bool) -> None:
    with LoadedModel(str(demo_model), Weights.COPIED) as model:
        matcher = Matcher(Constraint(f"start: %json {schema}\n"), token_trie(model))
        for letter in before:
            (token,) = model.tokenize(letter, add_special=False)
            assert token in matcher.allowed()
            matcher.consume(token)
        (nine,) = model.tokenize("9", add_special=False)
        assert (nine in matcher.allowed()) is more


@pytest.mark.parametrize("grammar", ["start: nothing", "start: %json {", "", "start: <[99999999]>"])
def test_a_grammar_that_is_none_is_refused(demo_model: Path, grammar: Any) -> None:
    with LoadedModel(str(demo_model), Weights.COPIED) as model, pytest.raises(ConstraintError, match="can't compile"):
        compiled(Constraint(grammar), token_trie(model))
