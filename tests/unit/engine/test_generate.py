"""The decode loop: what comes out, when it ends, and in what state it leaves the model."""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambda_llm.engine.errors import ContextOverflowError
from lambda_llm.engine.generate import FinishReason, Generation
from lambda_llm.engine.model import Model
from lambda_llm.engine.sampling import Sampling
from support.answers import EXPECTED, LONG_QUESTION, OTHER_QUESTION, QUESTION, OpenModel, answer, generation

LIMIT_SECONDS = 60
VARIED = Sampling(temperature=2)


class Scripted(Model):
    """Says what it is told to: a real vocabulary without the computing."""

    script: Sequence[int] = ()

    def say(self, text: str | Sequence[int], **changes: Any) -> Generation:
        self.script = self.tokenize(text, add_special=False) if isinstance(text, str) else text
        return generation(self, prompt=[1], **changes)

    def evaluate(self, *_: Any) -> int:
        self.said = 0
        return 0

    def append(self, *_: Any) -> None:
        self.said += 1

    def sample(self, *_: Any) -> int:
        (end,) = self.tokenize(self.eos, add_special=False)
        return [*self.script, end][self.said]


@pytest.fixture
def scripted(open_model: OpenModel) -> Scripted:
    return open_model(kind=Scripted)


# -- sampling ---------------------------------------------------------------------------------------


def test_the_demo_model_knows_the_answer(model: Model) -> None:
    going = generation(model)
    text = "".join(going)
    assert EXPECTED in text
    assert going.finish_reason is FinishReason.STOP
    # The token that ends the turn is counted and not shown.
    assert going.completion_tokens == len(model.tokenize(text, add_special=False)) + 1
    assert going.seconds_to_first_token > 0
    assert going.decode_seconds > 0


def test_temperature_zero_gives_the_same_answer_every_time(open_model: OpenModel) -> None:
    model = open_model()
    answers = {answer(model, LONG_QUESTION) for _ in range(3)} | {answer(open_model(), LONG_QUESTION)}
    assert len(answers) == 1


def test_a_seed_gives_the_same_answer_every_time(model: Model) -> None:
    def drawn(seed: int) -> str:
        return answer(model, sampling=Sampling(temperature=2, seed=seed), max_tokens=20)

    assert [drawn(7), drawn(7), drawn(-1), drawn(-1)] == [drawn(7)] * 2 + [drawn(-1)] * 2
    assert len({drawn(seed) for seed in range(10)}) > 5


def test_without_a_seed_answers_differ(model: Model) -> None:
    assert len({answer(model, sampling=VARIED, max_tokens=20) for _ in range(10)}) > 5


def test_a_tiny_top_p_leaves_only_the_likeliest_token(model: Model) -> None:
    assert EXPECTED in answer(model, sampling=Sampling(temperature=2, top_p=1e-6))


def test_top_p_narrows_the_choice(model: Model) -> None:
    def first_words(top_p: float) -> set[str]:
        drawn = (Sampling(temperature=2, top_p=top_p, seed=seed) for seed in range(40))
        return {answer(model, sampling=sampling, max_tokens=1) for sampling in drawn}

    assert len(first_words(0.5)) < len(first_words(1))


# -- the end ----------------------------------------------------------------------------------------


def test_max_tokens_ends_an_answer(model: Model) -> None:
    whole = answer(model)
    for most in (1, 2, 5):
        going = generation(model, max_tokens=most)
        text = "".join(going)
        assert (going.completion_tokens, going.finish_reason) == (most, FinishReason.LENGTH)
        assert whole.startswith(text)


def test_an_answer_that_fits_exactly_ends_by_itself(model: Model) -> None:
    whole = generation(model)
    text = "".join(whole)
    exact = generation(model, max_tokens=whole.completion_tokens)
    assert "".join(exact) == text
    assert exact.finish_reason is FinishReason.STOP


def test_the_context_ends_an_answer(open_model: OpenModel) -> None:
    going = generation(open_model(context=64), LONG_QUESTION, max_tokens=1000)
    assert "".join(going).startswith("1, 2, 3")
    assert going.finish_reason is FinishReason.LENGTH
    assert len(going.prompt) + going.completion_tokens == 64


def test_a_prompt_that_leaves_no_room_is_refused_before_anything_is_computed(open_model: OpenModel) -> None:
    model = open_model(context=64)
    with pytest.raises(
        ContextOverflowError, match="context length is 64 tokens, but the messages come to 64"
    ) as refused:
        Generation(model, [1] * 64)
    assert (refused.value.prompt_tokens, refused.value.context) == (64, 64)
    assert model.evaluated == []
    last = Generation(model, [1] * 63, Sampling(temperature=0))
    "".join(last)
    assert last.completion_tokens == 1


# -- stop texts and characters ----------------------------------------------------------------------


@pytest.mark.parametrize("stop", ["memory", "10,2", " of", "MB of mem", "The"])
def test_an_answer_ends_before_a_stop_text(model: Model, stop: str) -> None:
    whole = answer(model)
    assert stop in whole
    going = generation(model, stop=[stop, "never said"])
    assert "".join(going) == whole[: whole.index(stop)]
    assert going.finish_reason is FinishReason.STOP


def test_a_stop_text_that_never_comes_changes_nothing(model: Model) -> None:
    whole = answer(model)
    # Its beginning does come, at the very end, and must not be held back for good.
    assert answer(model, stop=[whole[-3:] + "!"]) == whole


ALPHABET = st.sampled_from("ab ,.é🎉")
SHORT = st.text(ALPHABET, max_size=12)


@settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=SHORT, stop=st.lists(st.text(ALPHABET, min_size=1, max_size=4), max_size=3))
def test_no_part_of_a_stop_text_is_ever_shown(scripted: Scripted, text: str, stop: list[str]) -> None:
    going = scripted.say(text, stop=stop)
    shown = "".join(going)
    assert going.finish_reason is FinishReason.STOP
    if any(each in text for each in stop):
        assert any(text.startswith(shown + each) for each in stop)
        assert not any(each in shown for each in stop)
    else:
        assert shown == text


@settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=SHORT, most=st.integers(1, 20))
def test_an_answer_that_is_cut_short_shows_whole_characters(scripted: Scripted, text: str, most: int) -> None:
    shown = "".join(scripted.say(text, max_tokens=most))
    # Where the cut went through a character, one replacement character says so.
    assert text.startswith(shown.removesuffix("\ufffd"))


def test_what_was_held_back_for_a_stop_text_is_shown_when_the_answer_is_cut_short(scripted: Scripted) -> None:
    assert "".join(scripted.say("aabb", stop=["abbc"])) == "aabb"
    assert "".join(scripted.say("aab!", stop=["aab?"], max_tokens=3)) == "aab"


def test_no_half_character_is_shown(scripted: Scripted) -> None:
    text = "é🎉 日本語 👩‍👩‍👧"
    tokens = scripted.tokenize(text, add_special=False)
    assert len(tokens) > len(text), "the vocabulary must split characters for this test to mean anything"
    pieces = list(scripted.say(text))
    assert "".join(pieces) == text
    assert "" not in pieces


def test_bytes_that_are_no_character_are_replaced(scripted: Scripted) -> None:
    first, *_ = scripted.tokenize("é", add_special=False)
    (letter,) = scripted.tokenize("a", add_special=False)
    assert "".join(scripted.say([first, letter, first])) == "\ufffda\ufffd"


# -- cancellation -----------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [1, 2, 10])
def test_a_cancelled_answer_ends_within_one_token_and_leaves_the_model_as_new(
    open_model: OpenModel, after: int
) -> None:
    model = open_model()
    going = generation(model, LONG_QUESTION)
    for number, _ in enumerate(going, 1):
        if number == after:
            going.cancellation.cancel()
            told = going.completion_tokens
    assert going.finish_reason is FinishReason.CANCELLED
    assert going.completion_tokens <= told + 1
    assert not model.lock.locked()
    fresh = open_model()
    for question in (QUESTION, LONG_QUESTION):
        assert answer(model, question) == answer(fresh, question)


def test_an_answer_cancelled_before_it_begins_computes_nothing(model: Model) -> None:
    going = generation(model)
    going.cancellation.cancel()
    assert "".join(going) == ""
    assert (going.finish_reason, going.completion_tokens) == (FinishReason.CANCELLED, 0)
    assert model.evaluated == []
    assert EXPECTED in answer(model)


def test_a_long_prompt_is_cancelled_in_its_midst_by_another_thread(open_model: OpenModel) -> None:
    question = OTHER_QUESTION + " Memory is set to 10,240 MB." * 150
    expected = answer(open_model(), question, max_tokens=8)
    model = open_model()
    going = generation(model, question, max_tokens=8)
    assert 1800 < len(going.prompt) < 2040
    deadline = time.monotonic() + LIMIT_SECONDS

    def cancel_after_the_first_batch() -> None:
        while not model.evaluated and time.monotonic() < deadline:
            time.sleep(0.001)
        going.cancellation.cancel()

    canceller = threading.Thread(target=cancel_after_the_first_batch)
    canceller.start()
    assert "".join(going) == ""
    canceller.join()
    assert (going.finish_reason, going.completion_tokens) == (FinishReason.CANCELLED, 0)
    assert 0 < len(model.evaluated) < len(going.prompt)
    assert model.evaluated == list(going.prompt[: len(model.evaluated)])
    again = generation(model, question, max_tokens=8)
    computed = len(model.evaluated)
    assert "".join(again) == expected
    assert again.cached_tokens == computed


def test_an_abort_that_was_asked_for_is_no_error_in_the_log(model: Model, caplog: pytest.LogCaptureFixture) -> None:
    going = generation(model)
    going.cancellation.cancel()
    with caplog.at_level(logging.DEBUG, "llama.cpp"):
        "".join(going)
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


def test_whoever_stops_listening_frees_the_model(model: Model) -> None:
    pieces = iter(generation(model, LONG_QUESTION))
    next(pieces)
    assert model.lock.locked()
    pieces.close()  # type: ignore[attr-defined]
    assert not model.lock.locked()
    assert EXPECTED in answer(model)


# -- privacy ----------------------------------------------------------------------------------------


def test_neither_prompt_nor_answer_is_ever_logged(open_model: OpenModel, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, "llama.cpp"):
        text = answer(open_model(), "Xylophone zebra quartz", stop=["!"])
    assert caplog.records, "llama.cpp speaks at this level, so its silence would prove nothing"
    for word in ("Xylophone", "zebra", "quartz", text):
        assert word not in caplog.text
