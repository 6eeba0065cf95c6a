"""Text to tokens and back, the KV cache, and what a model leaves when it is closed."""

from pathlib import Path

import pytest
from gguf import GGUFReader
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_llm.engine.engine import Engine
from lambda_llm.gguf.errors import UnsupportedModelError
from lambda_llm.gguf.options import KVType, Weights
from support.answers import EXPECTED, LONG_QUESTION, OTHER_EXPECTED, OTHER_QUESTION, OpenEngine, answer, generation
from support.models import write_llama
from support.rewrite import rewrite

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def text_of(engine: Engine, tokens: list[int]) -> str:
    return b"".join(engine.model.piece(token) for token in tokens).decode()


# -- text and tokens --------------------------------------------------------------------------------


@settings(max_examples=150)
@given(text=TEXTS)
def test_any_text_comes_back_from_its_tokens(engine: Engine, text: str) -> None:
    assert text_of(engine, engine.model.tokenize(text, add_special=False)) == text


@pytest.mark.parametrize("text", ["Grüße, 世界", "👩‍👩‍👧 e\u0301", " \n\t  two  spaces ", "a\x00b", "العربية", "𐍈𐌰"])
def test_unicode_comes_back_from_its_tokens(engine: Engine, text: str) -> None:
    assert text_of(engine, engine.model.tokenize(text, add_special=False)) == text


def test_the_special_tokens_are_those_of_the_header(engine: Engine) -> None:
    assert (engine.model.bos, engine.model.eos) == ("<|begin_of_text|>", "<|eot_id|>")


def test_the_beginning_of_a_sequence_is_added_only_when_asked_for(engine: Engine) -> None:
    (bos,) = engine.model.tokenize(engine.model.bos, add_special=False)
    plain = engine.model.tokenize("Hello", add_special=False)
    assert bos not in plain
    assert engine.model.tokenize("Hello", add_special=True) == [bos, *plain]
    assert engine.model.tokenize("", add_special=True) == [bos]
    assert engine.model.tokenize("", add_special=False) == []


def test_control_tokens_that_are_written_out_count_as_such_and_are_never_shown(engine: Engine) -> None:
    tokens = engine.model.tokenize("<|start_header_id|>user<|end_header_id|>", add_special=False)
    assert text_of(engine, tokens) == "user"


def test_only_tokens_that_end_the_turn_end_it(engine: Engine) -> None:
    (end,) = engine.model.tokenize(engine.model.eos, add_special=False)
    assert engine.model.ends_turn(end)
    assert not any(engine.model.ends_turn(token) for token in engine.model.tokenize("The end.", add_special=True))


def test_a_piece_longer_than_any_before_is_whole(open_engine: OpenEngine, demo_model: Path, tmp_path: Path) -> None:
    tokens = GGUFReader(demo_model).fields["tokenizer.ggml.tokens"].contents()
    tokens[700] = "x" * 2000
    engine = open_engine(rewrite(demo_model, tmp_path / "m.gguf", {"tokenizer.ggml.tokens": tokens}))
    before = engine.model.piece(701)
    assert engine.model.piece(700) == b"x" * 2000
    assert engine.model.piece(701) == before


# -- the KV cache -----------------------------------------------------------------------------------


def test_a_prompt_is_evaluated_once_and_then_found_but_for_its_last_token(engine: Engine) -> None:
    tokens = engine.model.tokenize("Memory is set to 10,240 MB.", add_special=True)
    assert engine.decoder.evaluate(tokens) == 0
    assert engine.decoder.evaluated == tokens
    assert engine.decoder.evaluate(tokens) == len(tokens) - 1
    assert engine.decoder.evaluated == tokens


def test_only_what_follows_the_common_prefix_is_computed(engine: Engine) -> None:
    first = engine.model.tokenize("The function gets memory", add_special=True)
    second = [*first[:3], *engine.model.tokenize(" and more than that", add_special=False)]
    engine.decoder.evaluate(first)
    assert engine.decoder.evaluate(second) == 3
    assert engine.decoder.evaluated == second
    assert engine.decoder.evaluate(second[:2]) == 1
    assert engine.decoder.evaluated == second[:2]
    assert engine.decoder.evaluate(first[1:]) == 0


def test_an_answer_is_the_same_whether_or_not_its_prompt_was_cached(open_engine: OpenEngine) -> None:
    fresh, used = open_engine(), open_engine()
    expected = generation(fresh)
    expected_text = "".join(expected)
    assert expected.stats.cached_tokens == 0
    for question in (OTHER_QUESTION, "Hello", OTHER_QUESTION):
        answer(used, question)
    reusing = generation(used)
    assert "".join(reusing) == expected_text
    assert reusing.stats.cached_tokens > 0
    again = generation(used)
    assert "".join(again) == expected_text
    assert again.stats.cached_tokens == len(again.prompt) - 1


def test_the_next_turn_finds_the_conversation_so_far_in_the_cache(engine: Engine) -> None:
    first = generation(engine)
    text = "".join(first)
    (end,) = engine.model.tokenize(engine.model.eos, add_special=False)
    follow_up = [*first.prompt, *engine.model.tokenize(text, add_special=False), end]
    second = generation(engine, prompt=follow_up, max_tokens=1)
    "".join(second)
    # The token that ended the turn was sampled, not evaluated.
    assert second.stats.cached_tokens == len(follow_up) - 1


# -- opening and closing ----------------------------------------------------------------------------


@pytest.mark.parametrize("kv_type", KVType)
@pytest.mark.parametrize("placement", [Weights.COPIED, Weights.MAPPED])
def test_placement_and_type_of_the_cache_do_not_change_what_is_right(
    open_engine: OpenEngine, placement: Weights, kv_type: KVType
) -> None:
    engine = open_engine(placement=placement, kv_type=kv_type)
    assert EXPECTED in answer(engine)
    assert OTHER_EXPECTED in answer(engine, OTHER_QUESTION)


def test_copied_and_mapped_weights_give_identical_answers(open_engine: OpenEngine) -> None:
    copied, mapped = open_engine(placement=Weights.COPIED), open_engine(placement=Weights.MAPPED)
    for question in (LONG_QUESTION, OTHER_QUESTION, "Who are you?"):
        assert answer(copied, question) == answer(mapped, question)


def test_closing_twice_is_fine(open_engine: OpenEngine) -> None:
    with open_engine() as engine:
        engine.close()


def test_an_unknown_architecture_is_refused_with_llama_cpp_s_reason(
    open_engine: OpenEngine, demo_model: Path, tmp_path: Path
) -> None:
    strange = tmp_path / "strange.gguf"
    strange.write_bytes(demo_model.read_bytes().replace(b"llama", b"lxama"))
    with pytest.raises(UnsupportedModelError, match=r"can't run the model \(.*unknown model architecture: 'lxama'"):
        open_engine(strange)


def test_a_context_that_can_t_be_made_is_refused_and_leaves_nothing_open(
    open_engine: OpenEngine, tmp_path: Path
) -> None:
    # Heads of 16 numbers don't fill a block of 32, so this cache can't be quantized.
    path = write_llama(tmp_path / "m.gguf")
    with pytest.raises(UnsupportedModelError, match=r"can't allocate a context of 256 tokens .*KV_TYPE=f16"):
        open_engine(path, context_length=256, kv_type=KVType.Q8_0)
    open_engine(path, context_length=256)
