"""Text to tokens and back, the KV cache, and what a model leaves when it is closed."""

from pathlib import Path

import pytest
from gguf import GGUFReader
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambda_llm.engine.model import Model
from lambda_llm.loading.errors import UnsupportedModelError
from lambda_llm.settings import KVType, Weights
from support.answers import EXPECTED, LONG_QUESTION, OTHER_EXPECTED, OTHER_QUESTION, OpenModel, answer, generation
from support.models import write_llama
from support.rewrite import rewrite

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def text_of(model: Model, tokens: list[int]) -> str:
    return b"".join(model.piece(token) for token in tokens).decode()


# -- text and tokens --------------------------------------------------------------------------------


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=TEXTS)
def test_any_text_comes_back_from_its_tokens(model: Model, text: str) -> None:
    assert text_of(model, model.tokenize(text, add_special=False)) == text


@pytest.mark.parametrize("text", ["Grüße, 世界", "👩‍👩‍👧 e\u0301", " \n\t  two  spaces ", "a\x00b", "العربية", "𐍈𐌰"])
def test_unicode_comes_back_from_its_tokens(model: Model, text: str) -> None:
    assert text_of(model, model.tokenize(text, add_special=False)) == text


def test_the_special_tokens_are_those_of_the_header(model: Model) -> None:
    assert (model.bos, model.eos) == ("<|begin_of_text|>", "<|eot_id|>")


def test_the_beginning_of_a_sequence_is_added_only_when_asked_for(model: Model) -> None:
    (bos,) = model.tokenize(model.bos, add_special=False)
    plain = model.tokenize("Hello", add_special=False)
    assert bos not in plain
    assert model.tokenize("Hello", add_special=True) == [bos, *plain]
    assert model.tokenize("", add_special=True) == [bos]
    assert model.tokenize("", add_special=False) == []


def test_control_tokens_that_are_written_out_count_as_such_and_are_never_shown(model: Model) -> None:
    tokens = model.tokenize("<|start_header_id|>user<|end_header_id|>", add_special=False)
    assert text_of(model, tokens) == "user"


def test_only_tokens_that_end_the_turn_end_it(model: Model) -> None:
    (end,) = model.tokenize(model.eos, add_special=False)
    assert model.ends(end)
    assert not any(model.ends(token) for token in model.tokenize("The end.", add_special=True))


def test_a_piece_longer_than_any_before_is_whole(open_model: OpenModel, demo_model: Path, tmp_path: Path) -> None:
    tokens = GGUFReader(demo_model).fields["tokenizer.ggml.tokens"].contents()
    tokens[700] = "x" * 2000
    model = open_model(rewrite(demo_model, tmp_path / "m.gguf", {"tokenizer.ggml.tokens": tokens}))
    before = model.piece(701)
    assert model.piece(700) == b"x" * 2000
    assert model.piece(701) == before


# -- the KV cache -----------------------------------------------------------------------------------


def test_a_prompt_is_evaluated_once_and_then_found_but_for_its_last_token(model: Model) -> None:
    tokens = model.tokenize("Memory is set to 10,240 MB.", add_special=True)
    assert model.evaluate(tokens) == 0
    assert model.evaluated == tokens
    assert model.evaluate(tokens) == len(tokens) - 1
    assert model.evaluated == tokens


def test_only_what_follows_the_common_prefix_is_computed(model: Model) -> None:
    first = model.tokenize("The function gets memory", add_special=True)
    second = [*first[:3], *model.tokenize(" and more than that", add_special=False)]
    model.evaluate(first)
    assert model.evaluate(second) == 3
    assert model.evaluated == second
    assert model.evaluate(second[:2]) == 1
    assert model.evaluated == second[:2]
    assert model.evaluate(first[1:]) == 0


def test_an_answer_is_the_same_whether_or_not_its_prompt_was_cached(open_model: OpenModel) -> None:
    fresh, used = open_model(), open_model()
    expected = generation(fresh)
    expected_text = "".join(expected)
    assert expected.cached_tokens == 0
    for question in (OTHER_QUESTION, "Hello", OTHER_QUESTION):
        answer(used, question)
    reusing = generation(used)
    assert "".join(reusing) == expected_text
    assert reusing.cached_tokens > 0
    again = generation(used)
    assert "".join(again) == expected_text
    assert again.cached_tokens == len(again.prompt) - 1


def test_the_next_turn_finds_the_conversation_so_far_in_the_cache(model: Model) -> None:
    first = generation(model)
    text = "".join(first)
    (end,) = model.tokenize(model.eos, add_special=False)
    follow_up = [*first.prompt, *model.tokenize(text, add_special=False), end]
    second = generation(model, prompt=follow_up, max_tokens=1)
    "".join(second)
    # The token that ended the turn was sampled, not evaluated.
    assert second.cached_tokens == len(follow_up) - 1


# -- opening and closing ----------------------------------------------------------------------------


@pytest.mark.parametrize("kv_type", KVType)
@pytest.mark.parametrize("placement", [Weights.COPIED, Weights.MAPPED])
def test_placement_and_type_of_the_cache_do_not_change_what_is_right(
    open_model: OpenModel, placement: Weights, kv_type: KVType
) -> None:
    model = open_model(placement=placement, kv_type=kv_type)
    assert EXPECTED in answer(model)
    assert OTHER_EXPECTED in answer(model, OTHER_QUESTION)


def test_copied_and_mapped_weights_give_identical_answers(open_model: OpenModel) -> None:
    copied, mapped = open_model(placement=Weights.COPIED), open_model(placement=Weights.MAPPED)
    for question in (LONG_QUESTION, OTHER_QUESTION, "Who are you?"):
        assert answer(copied, question) == answer(mapped, question)


def test_closing_twice_is_fine(open_model: OpenModel) -> None:
    with open_model() as model:
        model.close()


def test_an_unknown_architecture_is_refused_with_llama_cpp_s_reason(
    open_model: OpenModel, demo_model: Path, tmp_path: Path
) -> None:
    strange = tmp_path / "strange.gguf"
    strange.write_bytes(demo_model.read_bytes().replace(b"llama", b"lxama"))
    with pytest.raises(UnsupportedModelError, match=r"can't run strange\.gguf \(.*unknown model architecture: 'lxama'"):
        open_model(strange)


def test_a_context_that_can_t_be_made_is_refused_and_leaves_nothing_open(open_model: OpenModel, tmp_path: Path) -> None:
    # Heads of 16 numbers don't fill a block of 32, so this cache can't be quantized.
    path = write_llama(tmp_path / "m.gguf")
    with pytest.raises(UnsupportedModelError, match=r"can't make a context of 256 tokens for m\.gguf .*KV_TYPE=f16"):
        open_model(path, context=256, kv_type=KVType.Q8_0)
    open_model(path, context=256)
