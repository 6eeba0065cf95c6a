"""Guessed tokens: an answer is the same with them and without, and so is what it leaves behind."""

import ctypes
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import llama_cpp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_llm.engine.constraints import Constraint
from lambda_llm.engine.decoder import Decoder, common_prefix
from lambda_llm.engine.engine import Engine
from lambda_llm.engine.generate import FinishReason, Generation, GenerationRequest
from lambda_llm.engine.guesses import MATCHED, PAUSE_TOKENS, PAUSE_TOKENS_MAX, Cost, Guesses, Lookup, measured
from lambda_llm.engine.loaded_model import LoadedModel
from lambda_llm.engine.prefix_cache import CacheScope, PrefixCache
from lambda_llm.engine.sampling import Sampling, Scored
from lambda_llm.engine.schemas import enforceable
from lambda_llm.engine.session_store import BLOCK_TOKENS
from lambda_llm.gguf.memory_plan import BATCH_TOKENS, GUESSED_MAX
from lambda_llm.gguf.options import Guess, ModelOptions, Weights
from scripts.bench.guess_answers import Recording
from support.answers import LONG_QUESTION, QUESTION, OpenEngine, generation
from support.architectures import RECURRENT, WINDOWED, write_architecture
from support.constrained import as_answer
from support.sessions import Shelf, sessions

TOLERANCE, QUANTIZED_TOLERANCE = 0.05, 0.2
"""Of logits with a standard deviation of 1, and of 2 with quantized weights: rows together may be added up in another
order than a row alone, and are quantized for it."""
LETTERS = "abcdefgh"

Row = np.ndarray[Any, np.dtype[np.float32]]


# -- what is guessed --------------------------------------------------------------------------------


def searched(tokens: Sequence[int], most: int) -> list[int]:
    """What `Lookup` finds, by searching all of the tokens."""
    for length in MATCHED:
        for place in range(len(tokens) - 1, length - 1, -1):
            if len(tokens) >= length and tokens[place - length : place] == tokens[-length:]:
                return list(tokens[place : place + most])
    return []


@given(prompt=st.lists(st.integers(0, 2), max_size=20), said=st.lists(st.integers(0, 2), max_size=20))
def test_what_followed_the_last_occurrence_is_found(prompt: list[int], said: list[int]) -> None:
    lookup = Lookup(prompt)
    for number, token in enumerate(said):
        assert lookup.following(GUESSED_MAX) == searched(prompt + said[:number], GUESSED_MAX)
        lookup.add(token)
    assert lookup.following(GUESSED_MAX) == searched(prompt + said, GUESSED_MAX)


def test_fewer_than_three_equal_tokens_are_no_reason_to_guess() -> None:
    assert Lookup([1, 2, 9, 8, 1, 2]).following(3) == []
    assert Lookup([0, 1, 2, 9, 8, 0, 1, 2]).following(3) == [9, 8, 0]


def test_four_equal_tokens_say_more_than_three() -> None:
    assert Lookup([5, 0, 1, 2, 7, 6, 0, 1, 2, 8, 5, 0, 1, 2]).following(1) == [7]


def test_a_prediction_is_guessed_from_the_first_token_on_and_wherever_the_answer_meets_it_again() -> None:
    lookup = Lookup([1, 2, 3, 4], predicted=[5, 6, 7, 8, 9, 10])
    for place, token in enumerate((5, 6, 7, 8)):
        assert lookup.following(2) == [token, token + 1], place
        lookup.add(token)
    for token in (99, 7, 8, 9):
        lookup.add(token)
    assert lookup.following(3) == [10, 1, 2]


class Repeating(Guesses):
    """The guesses of an answer that goes on like its prompt."""

    def __init__(self, cost: float) -> None:
        super().__init__([*range(9)] * 2, (), cost)
        self.said = 0

    def paused(self) -> int:
        """Tokens until the next guess."""
        for count in itertools.count():
            if self.next(GUESSED_MAX):
                return count
            self.add(self.said % 9)
            self.said += 1
        raise AssertionError


def test_guesses_that_fail_pause_for_longer_and_longer_and_begin_anew_when_they_pay() -> None:
    policy = Repeating(2.0)
    pauses = [policy.paused() for _ in range(40)]
    assert [each for each in pauses if each] == [32, 64, 128, 256, 512, *[512] * (len([*filter(None, pauses)]) - 5)]
    assert (PAUSE_TOKENS, PAUSE_TOKENS_MAX) == (32, 512)
    assert policy.accepted == 0
    assert policy.drafted == len(pauses) * GUESSED_MAX
    for _ in range(20):
        policy.keep(GUESSED_MAX)
        assert policy.paused() == 0, "they pay"
    again = [policy.paused() for _ in range(20)]
    assert next(filter(None, again)) == PAUSE_TOKENS


@pytest.mark.parametrize(("kept", "goes_on"), [(2, True), (1, True), (0, False)])
def test_guesses_pause_only_where_they_cost_more_than_they_bring(kept: int, goes_on: bool) -> None:  # noqa: FBT001
    policy = Repeating(1.9)
    waits = []
    for _ in range(30):
        waits.append(policy.paused())
        policy.keep(kept)
    assert (not any(waits)) is goes_on


def test_nothing_is_guessed_without_room() -> None:
    policy = Guesses([0] * 8, (), 1.5)
    assert policy.next(0) == policy.next(-3) == []
    assert policy.next(2) == [0]


# -- rows of logits ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, demo_model: Path) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("architectures")
    made = {"demo": demo_model}

    def model(name: str) -> Path:
        if name not in made:
            made[name] = write_architecture(folder / f"{name}.gguf", name)
        return made[name]

    return model


PROMPT = [1, *map(int, np.random.default_rng(3).integers(6, 262, 200))]


def tolerance(name: str) -> float:
    return QUANTIZED_TOLERANCE if name == "demo" else TOLERANCE


def alone(engine: Engine, tokens: Sequence[int]) -> Row:
    """The logits behind the prompt and tokens that are evaluated one by one."""
    engine.decoder.truncate(0)
    engine.decoder.evaluate(PROMPT)
    for token in tokens[len(PROMPT) :]:
        engine.decoder.append(token)
    return engine.decoder.logits().copy()


@pytest.mark.parametrize("right", range(GUESSED_MAX + 1))
@pytest.mark.parametrize("ahead", [1, 2])
@pytest.mark.parametrize("name", ["demo", *WINDOWED])
def test_each_row_is_what_its_token_alone_would_give(
    open_engine: OpenEngine, models: Callable[[str], Path], name: str, ahead: int, right: int
) -> None:
    engine, fresh = (open_engine(models(name), context_length=512) for _ in range(2))
    decoder, guess = engine.decoder, [20, 30, 40]
    known = [*PROMPT, *range(50, 50 + ahead)]
    with decoder.lock:
        decoder.evaluate(PROMPT)
        decoder.append(*known[len(PROMPT) :], guess=guess)
        assert (decoder.evaluated, decoder.guessed) == (known, guess)
        np.testing.assert_allclose(decoder.logits(), alone(fresh, known), atol=tolerance(name))
        for number in range(right):
            assert decoder.confirm(guess[number : number + 1]) == 1
            known.append(guess[number])
            assert (decoder.evaluated, decoder.guessed) == (known, guess[number + 1 :])
            np.testing.assert_allclose(decoder.logits(), alone(fresh, known), atol=tolerance(name))
        assert decoder.confirm([99]) == 0
        assert (decoder.evaluated, decoder.guessed) == (known, [])
        decoder.append(99)
        np.testing.assert_allclose(decoder.logits(), alone(fresh, [*known, 99]), atol=tolerance(name))


@pytest.mark.parametrize("name", ["demo", *WINDOWED])
def test_a_guess_that_nobody_decides_on_is_gone_for_whoever_comes_next(
    open_engine: OpenEngine, models: Callable[[str], Path], name: str
) -> None:
    engine, fresh = (open_engine(models(name), context_length=512) for _ in range(2))
    decoder = engine.decoder
    following = [*PROMPT, 60, 61]

    def guessed() -> None:
        decoder.truncate(0)
        decoder.evaluate(PROMPT)
        decoder.append(60, guess=[20, 30, 40])

    def one() -> None:
        decoder.append(61)

    def whole() -> None:
        decoder.evaluate(following)

    def cut() -> None:
        decoder.truncate(len(PROMPT))
        decoder.append(60)
        decoder.append(61)

    def read() -> None:
        decoder.read_state(0, len(PROMPT))
        decoder.append(61)

    def again() -> None:
        decoder.append(61, guess=[7, 8])
        assert decoder.confirm([9]) == 0

    with decoder.lock, fresh.decoder.lock:
        expected = alone(fresh, following)
        state = fresh.decoder.read_state(0, len(PROMPT))
        for then in (one, whole, cut, read, again):
            guessed()
            then()
            assert (decoder.evaluated, decoder.guessed) == (following, [])
            np.testing.assert_allclose(decoder.logits(), expected, atol=tolerance(name))
            assert last_position(decoder) == len(following) - 1
        guessed()
        decoder.truncate(0)
        decoder.append_state(PROMPT, state)
        decoder.append(60, guess=[20, 30, 40])
        decoder.append_state([], b"")
        assert last_position(decoder) == len(PROMPT)


def last_position(decoder: Decoder) -> int:
    return int(llama_cpp.llama_memory_seq_pos_max(decoder._memory, 0))  # noqa: SLF001


@pytest.mark.parametrize("name", RECURRENT)
def test_nothing_is_guessed_where_the_cache_can_t_be_cut(
    open_engine: OpenEngine, models: Callable[[str], Path], name: str
) -> None:
    engine = open_engine(models(name), context_length=512, guess=Guess.ON)
    with engine.decoder.lock:
        engine.decoder.evaluate(PROMPT)
        assert engine.decoder.guess_room(1) == 0
        assert measured(engine.decoder) is None
    prompt = [1, *[40, 41, 42, 43, 44] * 20]
    going = engine.generate(GenerationRequest(prompt, Sampling(temperature=0, logit_bias={40: 99}), max_tokens=20))
    "".join(going)
    assert (going.stats.completion_tokens, going.stats.guessed_tokens) == (20, 0)


@pytest.mark.parametrize("name", WINDOWED)
def test_nothing_is_guessed_where_tokens_behind_a_window_are_gone(
    open_engine: OpenEngine, models: Callable[[str], Path], name: str
) -> None:
    decoder = open_engine(models(name), context_length=512).decoder
    with decoder.lock:
        decoder.evaluate(PROMPT)
        assert decoder.guess_room(1) == GUESSED_MAX
        llama_cpp.llama_memory_seq_rm(decoder._memory, 0, 0, 20)  # noqa: SLF001 - as llama.cpp does where it needs cells
        assert decoder.guess_room(1) == 0
        assert measured(decoder) is None


def test_nothing_is_guessed_once_the_context_has_shifted(open_engine: OpenEngine) -> None:
    class Watched(Certain):
        guesses: ClassVar[list[str]] = []
        when = "before"

        def append(self, *tokens: int, guess: Sequence[int] = ()) -> None:
            if guess:
                self.guesses.append(self.when)
            super().append(*tokens, guess=guess)

        def remove(self, start: int, count: int) -> None:
            self.when = "behind"
            super().remove(start, count)

    engine = open_engine(kind=Watched, context_length=96, context_shift=True, guess=Guess.ON)
    prompt = engine.model.tokenize("abcdefgh" * 8, add_special=False)
    decoder = engine.decoder
    assert isinstance(decoder, Watched)
    sampling = Sampling(temperature=0, logit_bias={int(decoder.tokens[-1]): -99})
    going = engine.generate(GenerationRequest(prompt, sampling, max_tokens=200))
    "".join(going)
    assert going.stats.completion_tokens == 96
    assert decoder.when == "behind"
    assert decoder.guesses
    assert {*decoder.guesses} == {"before"}


def test_a_guess_fits_into_the_context_and_into_a_batch(open_engine: OpenEngine) -> None:
    decoder = open_engine(context_length=256).decoder
    with decoder.lock:
        decoder.evaluate([1] * 250)
        assert [decoder.guess_room(count) for count in range(1, 8)] == [3, 3, 3, 2, 1, 0, 0]
        decoder.append(1, 1, 1, guess=[2, 3, 4])
        assert decoder.confirm([2, 3, 4, 5]) == 3
        assert len(decoder.evaluated) == 256
    long = open_engine(context_length=2048).decoder
    with long.lock:
        assert long.guess_room(1) == 0, "nothing is evaluated yet"
        long.evaluate([1])
        assert long.guess_room(BATCH_TOKENS - GUESSED_MAX) == GUESSED_MAX
        assert long.guess_room(BATCH_TOKENS - GUESSED_MAX + 1) == 0


# -- whole answers, of a decoder that says the same to the last bit ---------------------------------


class Certain(Decoder):
    """Evaluates as any other, and then says what follows from the last tokens alone.

    So an answer can be compared to the last bit, while all that is done to the real KV cache must be right.
    """

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        (end,) = self.model.tokenize(self.model.eos, add_special=False)
        letters = [token for each in LETTERS for token in self.model.tokenize(each, add_special=False)]
        self.tokens = np.array([*letters, end])

    def logits(self) -> Any:
        real = super().logits()
        assert last_position(self) == len(self.evaluated) + len(self.guessed) - 1
        seed = [*self.evaluated[-2:], 1]
        made = np.full(real.shape, -30, np.float32)
        made[self.tokens] = 3 * np.random.default_rng(seed).standard_normal(len(self.tokens), np.float32)
        made[self.tokens[-1]] -= 4
        return made

    def sample(self, sampler: Any) -> int:
        candidates = np.zeros(self.model.vocabulary_size, [("id", np.int32), ("logit", np.float32), ("p", np.float32)])
        candidates["id"], candidates["logit"] = np.arange(len(candidates)), self.logits()
        data = candidates.ctypes.data_as(llama_cpp.llama_token_data_p)
        array = llama_cpp.llama_token_data_array(data=data, size=len(candidates), selected=-1, sorted=False)
        llama_cpp.llama_sampler_apply(sampler, ctypes.byref(array))
        token = int(array.data[array.selected].id)
        llama_cpp.llama_sampler_accept(sampler, token)
        return token


class Twins:
    """Two engines that never forget: without guesses, and with them."""

    def __init__(self, demo_model: Path, **changes: Any) -> None:
        self.opened = []
        self.accepted = self.rejected = 0
        for guess in (Guess.OFF, Guess.ON):
            options = ModelOptions(
                placement=Weights.COPIED, threads=1, guess=guess, **({"context_length": 256} | changes)
            )
            model = LoadedModel(str(demo_model), options.placement)
            decoder = Certain(model, options)
            self.opened.append((model, decoder, PrefixCache(decoder)))

    def tokens(self, text: str) -> list[int]:
        return self.opened[0][0].tokenize(text, add_special=False)

    def compare(self, request: GenerationRequest, leave: tuple[int, bool] | None = None) -> Generation:
        """Run a request in both, and compare all that can be seen of it and behind it."""
        seen = []
        for _, decoder, prefixes in self.opened:
            going = Generation(request, decoder, prefixes)
            pieces = run(going, leave)
            stats = replace(
                going.stats, started=0, seconds_to_first_token=0, decode_seconds=0, guessed_tokens=0, accepted_tokens=0
            )
            assert decoder.guessed == []
            assert last_position(decoder) == len(decoder.evaluated) - 1
            seen.append((pieces, stats, list(decoder.evaluated)))
        assert seen[0] == seen[1]
        self.accepted += going.stats.accepted_tokens
        self.rejected += going.stats.guessed_tokens - going.stats.accepted_tokens
        assert 0 <= going.stats.accepted_tokens <= going.stats.guessed_tokens
        return going

    def close(self) -> None:
        for model, decoder, _ in self.opened:
            decoder.close()
            model.close()


def run(going: Generation, leave: tuple[int, bool] | None) -> list[tuple[str, list[Scored]]]:
    """The pieces with what is scored of each; whoever leaves after so many cancels, or just listens no more."""
    pieces: list[tuple[str, list[Scored]]] = []
    after, cancel = leave or (-1, False)
    each = iter(going)
    for text in each:
        pieces.append((text, going.take_scored()))
        if len(pieces) == after:
            if not cancel:
                each.close()  # type: ignore[attr-defined]
                break
            going.cancellation.cancel()
    return [*pieces, ("", going.take_scored())]


@pytest.fixture(scope="module")
def twins(demo_model: Path) -> Iterator[Twins]:
    made = Twins(demo_model)
    yield made
    made.close()


GRAMMARS = (
    None,
    'start: /[a-h]{1,12}/ "hgfedcba" /[a-h]{1,9}/ "abcdefgh" /[a-h]{1,9}/ "hgfedcbahgfedcba"',
    'start: ("abab" | "cdcd" | "abcd")*',
)
SAMPLINGS = st.builds(
    Sampling,
    temperature=st.sampled_from([0, 0.7, 2]),
    top_p=st.sampled_from([1, 0.9]),
    top_k=st.sampled_from([0, 4]),
    min_p=st.sampled_from([0, 0.05]),
    seed=st.integers(0, 2**32),
    presence_penalty=st.sampled_from([0, 1]),
    frequency_penalty=st.sampled_from([0, 0.5]),
    repeat_penalty=st.sampled_from([1, 1.3]),
    constraint=st.sampled_from([text and Constraint(text) for text in GRAMMARS]),
)
TEXTS = st.builds(lambda part, times: part * times, st.text(LETTERS, min_size=1, max_size=9), st.integers(1, 8))
STOPS = st.lists(st.text(LETTERS, min_size=2, max_size=4), max_size=2)
NOISE = st.lists(st.integers(0, 11), max_size=8)


def spoiled(tokens: Sequence[int], noise: Sequence[int]) -> list[int]:
    """A prediction that is wrong in places."""
    wrong = set(itertools.accumulate(noise, lambda place, step: place + step + 1))
    return [token + (number in wrong) for number, token in enumerate(tokens)]


def test_a_request_is_answered_as_without_guesses(twins: Twins) -> None:
    @settings(max_examples=150)
    @given(
        text=TEXTS,
        sampling=SAMPLINGS,
        stop=STOPS,
        most=st.integers(1, 60),
        top=st.sampled_from([None, None, 0, 2]),
        noise=NOISE,
        leave=st.none() | st.tuples(st.integers(1, 30), st.booleans()),
    )
    def check(
        text: str,
        sampling: Sampling,
        stop: list[str],
        most: int,
        top: int | None,
        noise: list[int],
        leave: tuple[int, bool] | None,
    ) -> None:
        request = GenerationRequest(twins.tokens(text), sampling, max_tokens=most, stop=stop, top_logprobs=top)
        going = twins.compare(request, leave)
        assert going.stats.finish_reason or leave is not None
        said = twins.opened[0][1].evaluated[len(request.prompt) :]
        twins.compare(replace(request, predicted=spoiled(said, noise)), leave)

    check()
    assert twins.accepted > 150, "otherwise it would prove little"
    assert twins.rejected > 150


@settings(max_examples=40)
@given(text=TEXTS, sampling=SAMPLINGS, shift=st.booleans(), noise=NOISE)
def test_an_answer_goes_to_the_end_of_the_context_and_past_it_where_that_shifts(
    demo_model: Path,
    text: str,
    sampling: Sampling,
    shift: bool,  # noqa: FBT001
    noise: list[int],
) -> None:
    twins = Twins(demo_model, context_length=64, context_shift=shift)
    try:
        prompt = twins.tokens(text)[:60]
        request = GenerationRequest(prompt, sampling, max_tokens=100)
        twins.compare(request)
        said = twins.opened[0][1].evaluated[len(prompt) :]
        twins.compare(replace(request, predicted=spoiled(said, noise)))
    finally:
        twins.close()


class Interrupted(Certain):
    """Is cancelled in the evaluation of a token."""

    at = -1

    def append(self, *tokens: int, **more: Any) -> None:
        self.at -= 1
        if self.at == 0:
            self._cancellation.cancel()
        super().append(*tokens, **more)


@pytest.mark.parametrize("at", [1, 2, 3, 5, 8])
def test_an_evaluation_that_is_cancelled_leaves_no_guess_behind(open_engine: OpenEngine, at: int) -> None:
    engine, fresh = (open_engine(kind=Interrupted, guess=Guess.ON) for _ in range(2))
    prompt = engine.model.tokenize("abcdefgh" * 4, add_special=False)
    request = GenerationRequest(prompt, Sampling(temperature=0), max_tokens=40)
    whole = "".join(fresh.generate(request))
    said = fresh.decoder.evaluated[len(prompt) :]
    engine.decoder.at = at  # type: ignore[attr-defined]
    going = engine.generate(replace(request, predicted=said))
    text = "".join(going)
    assert going.stats.finish_reason is FinishReason.CANCELLED
    assert whole.startswith(text)
    assert engine.decoder.evaluated == [*prompt, *said][: len(engine.decoder.evaluated)]
    assert last_position(engine.decoder) == len(engine.decoder.evaluated) - 1
    assert "".join(engine.generate(request)) == whole


def test_a_stored_conversation_has_the_same_tokens(open_engine: OpenEngine) -> None:
    """The store's names are those of the tokens."""
    plain = open_engine(kind=Certain)
    prompt = plain.model.tokenize("abcdefgh" * 20, add_special=False)
    sampling = Sampling(temperature=0, logit_bias={int(plain.decoder.tokens[-1]): -99})  # type: ignore[attr-defined]
    "".join(plain.generate(GenerationRequest(prompt, sampling, max_tokens=140)))
    said = plain.decoder.evaluated[len(prompt) :]
    for most in range(len(said) - 5, len(said) + 1):  # a block of the store ends among them
        shelves = [Shelf(), Shelf()]
        for guess, shelf in zip((Guess.OFF, Guess.ON), shelves, strict=True):
            engine = open_engine(kind=Certain, guess=guess)
            request = GenerationRequest(prompt, sampling, max_tokens=most, predicted=said, remember=True)
            with sessions(engine, shelf) as store:
                going = Generation(request, engine.decoder, engine.prefixes, sessions=store)
                "".join(going)
                going.settle()
            assert (going.stats.accepted_tokens > 0) is (guess is Guess.ON)
        assert shelves[0].objects.keys() == shelves[1].objects.keys()
        assert shelves[0].objects
        engine = open_engine(kind=Certain, guess=Guess.ON)
        with sessions(engine, shelves[1]) as store:
            following = replace(request, prompt=[*prompt, *said[: most - 1], 7], max_tokens=1)
            going = Generation(following, engine.decoder, engine.prefixes, sessions=store)
            "".join(going)
            assert store.counts.damaged == 0
        assert going.stats.cached_tokens >= BLOCK_TOKENS


# -- whole answers of a real model ------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0, 0.8])
@pytest.mark.parametrize("question", [QUESTION, LONG_QUESTION, "Who are you?"])
def test_a_model_says_the_same_by_the_same_logits(open_engine: OpenEngine, question: str, temperature: float) -> None:
    off, on = (open_engine(kind=Recording, guess=guess) for guess in (Guess.OFF, Guess.ON))
    sampling = Sampling(temperature=temperature, seed=3)
    first = generation(off, question, sampling=sampling, top_logprobs=2)
    text = "".join(first)
    predicted = off.model.tokenize(text, add_special=False)
    second = generation(on, question, sampling=sampling, top_logprobs=2, predicted=[*predicted[:7], 9, *predicted[7:]])
    again = "".join(second)
    assert second.stats.accepted_tokens > first.stats.completion_tokens // 3
    plain, guessing = off.decoder, on.decoder
    assert isinstance(plain, Recording)
    assert isinstance(guessing, Recording)
    same = common_prefix(plain.tokens, guessing.tokens)
    np.testing.assert_allclose(guessing.rows[: same + 1], plain.rows[: same + 1], atol=QUANTIZED_TOLERANCE)
    if temperature and plain.tokens != guessing.tokens:
        return  # where rows of four are rounded otherwise than one alone, a seed may fall on the other side
    assert again == text
    for one, other in zip(first.take_scored(), second.take_scored(), strict=True):
        assert (one.token, one.at) == (other.token, other.at)
        assert one.logprob == pytest.approx(other.logprob, abs=QUANTIZED_TOLERANCE)
    assert on.decoder.evaluated == off.decoder.evaluated


@pytest.mark.parametrize(("most", "guessed"), [(2, 0), (3, 1), (4, 2), (5, 3), (6, 3)])
def test_nothing_is_guessed_that_the_answer_has_no_room_for(open_engine: OpenEngine, most: int, guessed: int) -> None:
    engine = open_engine(guess=Guess.ON)
    plain = generation(open_engine(), LONG_QUESTION, max_tokens=most)
    text = "".join(plain)
    predicted = engine.model.tokenize("1, 2, 3, 4, 5, 6", add_special=False)
    going = generation(engine, LONG_QUESTION, max_tokens=most, predicted=predicted)
    assert "".join(going) == text
    assert (going.stats.completion_tokens, going.stats.guessed_tokens) == (most, guessed)


class Told(Recording):
    """Says what it is told, whatever it computes: nothing hangs on two tokens that are nearly as likely."""

    script: Sequence[int] = ()

    def sample(self, sampler: Any) -> int:
        super().sample(sampler)
        return self.script[len(self.evaluated)]


@pytest.mark.parametrize("name", WINDOWED)
def test_a_model_with_a_window_computes_the_same_to_the_end_of_its_context(
    open_engine: OpenEngine, models: Callable[[str], Path], name: str
) -> None:
    off, on = (open_engine(models(name), kind=Told, context_length=256, guess=guess) for guess in (Guess.OFF, Guess.ON))
    for length in (100, 40, 150):
        script = [1, *map(int, np.random.default_rng(length).integers(6, 262, 255)), 7]
        request = GenerationRequest(script[:length], Sampling(temperature=0))
        predicted = spoiled(script[length:], [5, 9, 1, 30])
        rows = []
        for engine, given_to in ((off, request), (on, replace(request, predicted=predicted))):
            decoder = engine.decoder
            assert isinstance(decoder, Told)
            decoder.script = script
            decoder.rows.clear()
            going = engine.generate(given_to)
            "".join(going)
            assert length + going.stats.completion_tokens == 256
            assert decoder.evaluated == script[:255]
            assert last_position(decoder) == 254
            rows.append(np.array(decoder.rows))
        np.testing.assert_allclose(rows[1], rows[0], atol=TOLERANCE)
        assert (256 - length) / 2 < going.stats.accepted_tokens < going.stats.guessed_tokens


def test_forced_and_guessed_tokens_are_evaluated_together(open_engine: OpenEngine) -> None:
    schema = {
        "type": "array",
        "minItems": 6,
        "maxItems": 6,
        "items": {
            "type": "object",
            "properties": {"departure_harbour": {"enum": ["north", "south"]}, "is_late": {"type": "boolean"}},
            "required": ["departure_harbour", "is_late"],
            "additionalProperties": False,
        },
    }
    sampling = Sampling(temperature=0, constraint=as_answer(enforceable(schema, strict=True)))
    off, on = (open_engine(guess=guess) for guess in (Guess.OFF, Guess.ON))
    texts, evaluated = [], []
    for engine in (off, on):
        going = generation(engine, sampling=sampling, max_tokens=300)
        texts.append("".join(going))
        evaluated.append(engine.decoder.evaluated)
    assert texts[0] == texts[1]
    assert evaluated[0] == evaluated[1]
    assert going.stats.accepted_tokens > 5


def test_another_tenant_s_request_finds_no_trace_of_a_guess(open_engine: OpenEngine) -> None:
    on, off = (open_engine(guess=guess) for guess in (Guess.ON, Guess.OFF))
    prompt = on.template.tokens([{"role": "user", "content": LONG_QUESTION}])
    pieces = iter(generation(on, LONG_QUESTION, predicted=prompt, scope=CacheScope("one")))
    list(itertools.islice(pieces, 30))
    pieces.close()  # type: ignore[attr-defined]
    assert on.decoder.guessed == []
    first, second = (generation(each, scope=CacheScope("two")) for each in (on, off))
    assert "".join(first) == "".join(second)
    assert first.stats.cached_tokens == second.stats.cached_tokens == 0


# -- what it costs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "ratio", "pays"),
    [(0.005, 2.2, True), (0.3, 1.5, True), (0.0049, 1.5, False), (0.3, 2.21, False)],
)
def test_guesses_pay_where_tokens_are_slow_and_four_cost_little_more(seconds: float, ratio: float, pays: bool) -> None:  # noqa: FBT001
    assert Cost(seconds, ratio).pays is pays


def test_the_cost_is_measured_with_the_real_model_and_leaves_no_trace(open_engine: OpenEngine) -> None:
    decoder = open_engine().decoder
    assert decoder.guess_cost is None, "nothing is guessed before it was measured"
    with decoder.lock:
        assert measured(decoder) is None, "nothing is evaluated"
        decoder.evaluate(PROMPT)
        cost = measured(decoder)
        assert (decoder.evaluated, decoder.guessed) == (PROMPT, [])
        assert last_position(decoder) == len(PROMPT) - 1
    assert cost is not None
    assert 0 < cost.token_seconds < 1
    assert 0.2 < cost.ratio < 20
    full = open_engine(context_length=len(PROMPT) + 3).decoder
    with full.lock:
        full.evaluate(PROMPT)
        assert measured(full) is None, "there is no room"


def test_what_is_measured_is_a_token_alone_and_with_a_whole_guess(
    open_engine: OpenEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]

    class Slow(Decoder):
        def append(self, *tokens: int, guess: Sequence[int] = ()) -> None:
            super().append(*tokens, guess=guess)
            clock[0] += 0.02 * (1 + 0.25 * len(guess))

    monkeypatch.setattr("lambda_llm.engine.guesses.time.perf_counter", lambda: clock[0])
    decoder = open_engine(kind=Slow).decoder
    with decoder.lock:
        decoder.evaluate(PROMPT)
        cost = measured(decoder)
    assert cost is not None
    assert (cost.token_seconds, cost.ratio) == pytest.approx((0.02, 1.75))
