"""The decode loop: what comes out, when it ends, and in what state it leaves the model."""

import logging
import threading
import time
from collections.abc import Generator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_llm.engine.decoder import Decoder
from lambda_llm.engine.engine import Engine
from lambda_llm.engine.errors import ContextOverflowError
from lambda_llm.engine.generate import FinishReason, Generation, GenerationRequest
from lambda_llm.engine.prefix_cache import PrefixCache
from lambda_llm.engine.sampling import Sampling
from support.answers import EXPECTED, LONG_QUESTION, OTHER_QUESTION, QUESTION, OpenEngine, answer, generation

LIMIT_SECONDS = 60
VARIED = Sampling(temperature=2)


class Scripted(Decoder):
    """Samples what it is given: a real vocabulary without the computing."""

    script: Sequence[int] = ()

    def generate(self, text: str | Sequence[int], **changes: Any) -> Generation:
        self.script = self.model.tokenize(text, add_special=False) if isinstance(text, str) else text
        request = GenerationRequest([1], Sampling(temperature=0), **changes)
        return Generation(request, self, PrefixCache(self))

    def evaluate(self, *_: Any) -> int:
        self.said = 0
        return 0

    def append(self, *_: Any, **__: Any) -> None:
        self.said += 1

    def sample(self, *_: Any) -> int:
        (end,) = self.model.tokenize(self.model.eos, add_special=False)
        return [*self.script, end][self.said]


@pytest.fixture
def scripted(open_engine: OpenEngine) -> Decoder:
    return open_engine(kind=Scripted).decoder


# -- sampling ---------------------------------------------------------------------------------------


def test_the_demo_model_knows_the_answer(engine: Engine) -> None:
    going = generation(engine)
    text = "".join(going)
    assert EXPECTED in text
    assert going.stats.finish_reason is FinishReason.STOP
    # The token that ends the turn is counted and not shown.
    assert going.stats.completion_tokens == len(engine.model.tokenize(text, add_special=False)) + 1
    assert going.stats.seconds_to_first_token > 0
    assert going.stats.decode_seconds > 0


def test_temperature_zero_gives_the_same_answer_every_time(open_engine: OpenEngine) -> None:
    engine = open_engine()
    answers = {answer(engine, LONG_QUESTION) for _ in range(3)} | {answer(open_engine(), LONG_QUESTION)}
    assert len(answers) == 1


def test_a_seed_gives_the_same_answer_every_time(engine: Engine) -> None:
    def drawn(seed: int) -> str:
        return answer(engine, sampling=Sampling(temperature=2, seed=seed), max_tokens=20)

    assert [drawn(7), drawn(7), drawn(-1), drawn(-1)] == [drawn(7)] * 2 + [drawn(-1)] * 2
    assert len({drawn(seed) for seed in range(10)}) > 5


def test_without_a_seed_answers_differ(engine: Engine) -> None:
    assert len({answer(engine, sampling=VARIED, max_tokens=20) for _ in range(10)}) > 5


def test_a_tiny_top_p_leaves_only_the_likeliest_token(engine: Engine) -> None:
    assert EXPECTED in answer(engine, sampling=Sampling(temperature=2, top_p=1e-6))


def test_top_p_narrows_the_choice(engine: Engine) -> None:
    def first_words(top_p: float) -> set[str]:
        drawn = (Sampling(temperature=2, top_p=top_p, seed=seed) for seed in range(40))
        return {answer(engine, sampling=sampling, max_tokens=1) for sampling in drawn}

    assert len(first_words(0.5)) < len(first_words(1))


# -- the end ----------------------------------------------------------------------------------------


def test_max_tokens_ends_an_answer(engine: Engine) -> None:
    whole = answer(engine)
    for most in (1, 2, 5):
        going = generation(engine, max_tokens=most)
        text = "".join(going)
        assert (going.stats.completion_tokens, going.stats.finish_reason) == (most, FinishReason.LENGTH)
        assert whole.startswith(text)


def test_an_answer_that_fits_exactly_ends_by_itself(engine: Engine) -> None:
    whole = generation(engine)
    text = "".join(whole)
    exact = generation(engine, max_tokens=whole.stats.completion_tokens)
    assert "".join(exact) == text
    assert exact.stats.finish_reason is FinishReason.STOP


def test_the_context_ends_an_answer(open_engine: OpenEngine) -> None:
    going = generation(open_engine(context_length=64), LONG_QUESTION, max_tokens=1000)
    assert "".join(going).startswith("1, 2, 3")
    assert going.stats.finish_reason is FinishReason.LENGTH
    assert len(going.prompt) + going.stats.completion_tokens == 64


def test_a_prompt_that_leaves_no_room_is_refused_before_anything_is_computed(open_engine: OpenEngine) -> None:
    engine = open_engine(context_length=64)
    with pytest.raises(ContextOverflowError, match="context length is 64 tokens, but the prompt has 64") as refused:
        engine.generate(GenerationRequest([1] * 64))
    assert (refused.value.prompt_tokens, refused.value.context_length) == (64, 64)
    assert engine.decoder.evaluated == []
    last = engine.generate(GenerationRequest([1] * 63, Sampling(temperature=0)))
    "".join(last)
    assert last.stats.completion_tokens == 1


# -- stop texts and characters ----------------------------------------------------------------------


@pytest.mark.parametrize("stop", ["memory", "10,2", " of", "MB of mem", "The"])
def test_an_answer_ends_before_a_stop_text(engine: Engine, stop: str) -> None:
    whole = answer(engine)
    assert stop in whole
    going = generation(engine, stop=[stop, "never said"])
    assert "".join(going) == whole[: whole.index(stop)]
    assert going.stats.finish_reason is FinishReason.STOP


def test_a_stop_text_that_never_comes_changes_nothing(engine: Engine) -> None:
    whole = answer(engine)
    # Its beginning does come, at the very end, and must not be held back for good.
    assert answer(engine, stop=[whole[-3:] + "!"]) == whole


ALPHABET = st.sampled_from("ab ,.é🎉")
SHORT = st.text(ALPHABET, max_size=12)


@settings(max_examples=200)
@given(text=SHORT, stop=st.lists(st.text(ALPHABET, min_size=1, max_size=4), max_size=3))
def test_no_part_of_a_stop_text_is_ever_shown(scripted: Scripted, text: str, stop: list[str]) -> None:
    going = scripted.generate(text, stop=stop)
    shown = "".join(going)
    assert going.stats.finish_reason is FinishReason.STOP
    if any(each in text for each in stop):
        assert any(text.startswith(shown + each) for each in stop)
        assert not any(each in shown for each in stop)
    else:
        assert shown == text


@settings(max_examples=200)
@given(text=SHORT, most=st.integers(1, 20))
def test_an_answer_that_is_cut_short_shows_whole_characters(scripted: Scripted, text: str, most: int) -> None:
    shown = "".join(scripted.generate(text, max_tokens=most))
    # Where the cut went through a character, one replacement character says so.
    assert text.startswith(shown.removesuffix("\ufffd"))


def test_what_was_held_back_for_a_stop_text_is_shown_when_the_answer_is_cut_short(scripted: Scripted) -> None:
    assert "".join(scripted.generate("aabb", stop=["abbc"])) == "aabb"
    assert "".join(scripted.generate("aab!", stop=["aab?"], max_tokens=3)) == "aab"


def test_no_half_character_is_shown(scripted: Scripted) -> None:
    text = "é🎉 日本語 👩‍👩‍👧"
    tokens = scripted.model.tokenize(text, add_special=False)
    assert len(tokens) > len(text), "the vocabulary must split characters for this test to mean anything"
    pieces = list(scripted.generate(text))
    assert "".join(pieces) == text
    assert "" not in pieces


def test_bytes_that_are_no_character_are_replaced(scripted: Scripted) -> None:
    first, *_ = scripted.model.tokenize("é", add_special=False)
    (letter,) = scripted.model.tokenize("a", add_special=False)
    assert "".join(scripted.generate([first, letter, first])) == "\ufffda\ufffd"


# -- cancellation -----------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [1, 2, 10])
def test_a_cancelled_answer_ends_within_one_token_and_leaves_the_model_as_new(
    open_engine: OpenEngine, after: int
) -> None:
    engine = open_engine()
    going = generation(engine, LONG_QUESTION)
    for number, _ in enumerate(going, 1):
        if number == after:
            going.cancellation.cancel()
            before = going.stats.completion_tokens
    assert going.stats.finish_reason is FinishReason.CANCELLED
    assert going.stats.completion_tokens <= before + 1
    assert not engine.decoder.lock.locked()
    fresh = open_engine()
    for question in (QUESTION, LONG_QUESTION):
        assert answer(engine, question) == answer(fresh, question)


def test_an_answer_cancelled_before_it_begins_computes_nothing(engine: Engine) -> None:
    going = generation(engine)
    going.cancellation.cancel()
    assert "".join(going) == ""
    assert (going.stats.finish_reason, going.stats.completion_tokens) == (FinishReason.CANCELLED, 0)
    assert engine.decoder.evaluated == []
    assert EXPECTED in answer(engine)


def test_a_long_prompt_is_cancelled_in_its_midst_by_another_thread(open_engine: OpenEngine) -> None:
    question = OTHER_QUESTION + " Memory is set to 10,240 MB." * 150
    expected = answer(open_engine(), question, max_tokens=8)
    engine = open_engine()
    going = generation(engine, question, max_tokens=8)
    assert 1800 < len(going.prompt) < 2040
    deadline = time.monotonic() + LIMIT_SECONDS

    def cancel_after_the_first_batch() -> None:
        while not engine.decoder.evaluated and time.monotonic() < deadline:
            time.sleep(0.001)
        going.cancellation.cancel()

    canceller = threading.Thread(target=cancel_after_the_first_batch)
    canceller.start()
    assert "".join(going) == ""
    canceller.join()
    assert (going.stats.finish_reason, going.stats.completion_tokens) == (FinishReason.CANCELLED, 0)
    assert (going.stats.seconds_to_first_token, going.stats.decode_seconds) == (0, 0), "there was no token"
    assert 0 < len(engine.decoder.evaluated) < len(going.prompt)
    assert engine.decoder.evaluated == list(going.prompt[: len(engine.decoder.evaluated)])
    again = generation(engine, question, max_tokens=8)
    computed = len(engine.decoder.evaluated)
    assert "".join(again) == expected
    assert again.stats.cached_tokens == computed


def test_an_abort_that_was_asked_for_is_no_error_in_the_log(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    going = generation(engine)
    going.cancellation.cancel()
    with caplog.at_level(logging.DEBUG, "llama.cpp"):
        "".join(going)
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


def test_whoever_stops_listening_frees_the_model(engine: Engine) -> None:
    pieces = iter(generation(engine, LONG_QUESTION))
    assert isinstance(pieces, Generator)
    next(pieces)
    assert engine.decoder.lock.locked()
    pieces.close()
    assert not engine.decoder.lock.locked()
    assert EXPECTED in answer(engine)


# -- privacy ----------------------------------------------------------------------------------------


def test_neither_prompt_nor_answer_is_ever_logged(open_engine: OpenEngine, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, "llama.cpp"):
        text = answer(open_engine(), "Xylophone zebra quartz", stop=["!"])
    assert caplog.records, "llama.cpp speaks at this level, so its silence would prove nothing"
    for word in ("Xylophone", "zebra", "quartz", text):
        assert word not in caplog.text
