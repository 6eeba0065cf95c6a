"""How tokens are chosen: what changes their chances, what they are worth, and what an answer is held to."""

import json
import math
import re
from pathlib import Path
from typing import Any, ClassVar

import pytest

from lambda_llm.engine.constraints import Constraint
from lambda_llm.engine.decoder import Decoder
from lambda_llm.engine.engine import Engine
from lambda_llm.engine.errors import ConstraintError, NonFiniteError
from lambda_llm.engine.generate import FinishReason, Generation
from lambda_llm.engine.sampling import Sampling, Scored
from support.answers import EXPECTED, LONG_QUESTION, OpenEngine, answer, generation
from support.models import damaged, write_llama

NUMBERS = 'start: "[" NUMBER ("," NUMBER){3} "]"\nNUMBER: /[1-9][0-9]*/'


def first_words(engine: Engine, count: int = 40, **changes: Any) -> set[str]:
    drawn = (Sampling(temperature=2, seed=seed, **changes) for seed in range(count))
    return {answer(engine, sampling=sampling, max_tokens=1) for sampling in drawn}


def scored(going: Generation) -> list[tuple[str, list[Scored]]]:
    """Pieces, each with the tokens that it is made of."""
    return [(piece, going.take_scored()) for piece in going]


# -- chances ----------------------------------------------------------------------------------------


def test_top_k_considers_the_likeliest_tokens_only(engine: Engine) -> None:
    assert EXPECTED in answer(engine, sampling=Sampling(temperature=2, top_k=1))
    assert len(first_words(engine, top_k=3)) <= 3 < len(first_words(engine))


def test_min_p_leaves_out_what_is_far_less_likely_than_the_likeliest(engine: Engine) -> None:
    assert EXPECTED in answer(engine, sampling=Sampling(temperature=0.5, min_p=1.0))
    assert len(first_words(engine, min_p=0.5)) < len(first_words(engine))


@pytest.mark.parametrize("temperature", [0, 1])
def test_a_bias_bans_a_token_or_makes_it_certain(engine: Engine, temperature: float) -> None:
    (the,) = {answer(engine, max_tokens=1)}
    (banned,) = engine.model.tokenize(the, add_special=False)
    (wanted,) = engine.model.tokenize("Lambda", add_special=False)[:1]

    def first(bias: dict[int, float]) -> str:
        return answer(engine, sampling=Sampling(temperature=temperature, logit_bias=bias, seed=1), max_tokens=1)

    assert first({banned: -100}) != the
    assert first({wanted: 100}) == engine.model.piece(wanted).decode()


@pytest.mark.parametrize("penalty", ["presence_penalty", "frequency_penalty"])
def test_penalties_count_what_was_generated_and_not_the_prompt(engine: Engine, penalty: str) -> None:
    high: dict[str, Any] = {penalty: 100.0}
    chosen = Sampling(temperature=0, **high)
    going = generation(engine, prompt=[12] * 60, sampling=chosen, top_logprobs=0, max_tokens=30)
    pieces = scored(going)
    plain = generation(engine, prompt=[12] * 60, max_tokens=1)
    assert pieces[0][0] == "".join(plain), "nothing was generated yet"
    tokens = [each.token for _, group in pieces for each in group]
    assert len(set(tokens)) == len(tokens), "so high a price is never paid"


def test_a_repeat_penalty_changes_an_answer_that_repeats(engine: Engine) -> None:
    told = answer(engine, LONG_QUESTION, sampling=Sampling(temperature=0, repeat_penalty=2.0), max_tokens=60)
    assert told != answer(engine, LONG_QUESTION, max_tokens=60)


# -- probabilities ----------------------------------------------------------------------------------


def test_each_token_is_told_with_its_probability_and_the_likeliest_ones(engine: Engine) -> None:
    going = generation(engine, top_logprobs=3)
    told = scored(going)
    tokens = [each for _, group in told for each in group]
    text = "".join(piece for piece, _ in told)
    assert text == answer(engine)
    assert b"".join(engine.model.piece(each.token) for each in tokens).decode() == text
    assert len(tokens) == going.stats.completion_tokens - 1, "the end of the turn is not told"
    for each in tokens:
        assert each.top[0] == (each.token, each.logprob), "greedy: the likeliest was chosen"
        assert len(each.top) == 3
        assert [logprob for _, logprob in each.top] == sorted((logprob for _, logprob in each.top), reverse=True)
        assert sum(math.exp(logprob) for _, logprob in each.top) <= 1 + 1e-6
        assert each.logprob <= 0


def test_probabilities_are_the_model_s_own_whatever_changes_the_choice(engine: Engine) -> None:
    hot = generation(engine, sampling=Sampling(temperature=2, seed=1), top_logprobs=0, max_tokens=1)
    "".join(hot)
    (cold,) = [group for _, group in scored(generation(engine, top_logprobs=20, max_tokens=1))]
    (drawn,) = hot.take_scored()
    assert drawn.top == []
    same = [logprob for token, logprob in cold[0].top if token == drawn.token]
    assert same in ([pytest.approx(drawn.logprob, abs=1e-3)], [])
    whole = generation(engine, top_logprobs=engine.model.vocabulary_size, max_tokens=1)
    "".join(whole)
    assert sum(math.exp(logprob) for _, logprob in whole.take_scored()[0].top) == pytest.approx(1)


def test_no_probability_is_told_of_a_token_that_a_stop_text_hides(engine: Engine) -> None:
    whole = answer(engine)
    going = generation(engine, stop=[whole[10:25]], top_logprobs=0)
    told = scored(going)
    tokens = [each.token for _, group in told for each in group] + [each.token for each in going.take_scored()]
    shown = "".join(piece for piece, _ in told)
    assert shown == whole[:10]
    spelled = b"".join(engine.model.piece(token) for token in tokens).decode()
    assert spelled.startswith(shown)
    assert len(spelled) - len(shown) < len(engine.model.piece(tokens[-1])), "but for the rest of the last token"


# -- constraints ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", [{"temperature": 0}, {"temperature": 2, "seed": 3}, {"top_p": 0.5, "seed": 4}])
def test_a_grammar_holds_an_answer_to_a_form(engine: Engine, sampling: dict[str, Any]) -> None:
    chosen = Sampling(constraint=Constraint(NUMBERS), **sampling)
    going = generation(engine, LONG_QUESTION, sampling=chosen, max_tokens=200)
    text = "".join(going)
    if going.stats.finish_reason is FinishReason.STOP:
        assert len(json.loads(text)) == 4
    else:
        assert text.startswith("[")


def test_a_grammar_that_the_model_follows_by_itself_changes_nothing(engine: Engine) -> None:
    constrained = Sampling(temperature=0, constraint=Constraint(r"start: /(.|\n)*/"))
    assert answer(engine, sampling=constrained) == answer(engine)


def test_a_grammar_can_wait_for_what_comes_before_it(engine: Engine) -> None:
    whole = answer(engine)
    mark = whole.split()[3]
    constraint = Constraint('start: " [" /[0-9]{2}/ "]"', after=(whole.split()[1], mark))
    text = answer(engine, sampling=Sampling(temperature=0, constraint=constraint))
    before, _, behind = text.partition(mark)
    assert whole.startswith(before + mark)
    assert behind.strip().strip("[]").isdigit()


@pytest.mark.parametrize(("form", "ends"), [('/[0-9]{2}/ " XB"', "10,240 XB"), ('"none of it"', None)])
def test_a_marker_may_end_within_a_token(engine: Engine, form: str, ends: str | None) -> None:
    """What follows it in that token belongs to the grammar; where it doesn't match, the answer stays free."""
    whole = answer(engine)
    at = next(at for at in range(1, len(whole)) if whole.startswith("10,24", at))
    tokens = [engine.model.piece(token) for token in engine.model.tokenize(whole[at:], add_special=False)]
    assert not any(b"".join(tokens[:count]) == b"10,2" for count in range(len(tokens)))
    text = answer(engine, sampling=Sampling(temperature=0, constraint=Constraint(f"start: {form}", after=("10,2",))))
    assert text == whole if ends is None else text.endswith(ends)


def test_one_seed_gives_one_constrained_answer(engine: Engine) -> None:
    chosen = Sampling(temperature=2, seed=5, constraint=Constraint("start: /[a-z ]{40}/"))
    assert len({answer(engine, sampling=chosen) for _ in range(3)}) == 1


# -- forced tokens ----------------------------------------------------------------------------------


class Counting(Decoder):
    """Remembers how many tokens were evaluated at a time, after the prompt."""

    batches: ClassVar[list[int]] = []

    def append(self, *tokens: int, **more: Any) -> None:
        self.batches.append(len(tokens))
        super().append(*tokens, **more)


WORDS = "It is as sure as anything that the only possible answer to all of this is"
FORCED = Constraint(f'start: "{WORDS} " /[0-9]/ " and nothing else."')


@pytest.fixture
def counting(open_engine: OpenEngine) -> Engine:
    Counting.batches = []
    return open_engine(kind=Counting)


@pytest.mark.parametrize("sampling", [{"temperature": 0}, {"temperature": 2, "seed": 3, "presence_penalty": 2.0}])
def test_forced_tokens_are_evaluated_together(counting: Engine, sampling: dict[str, Any]) -> None:
    going = generation(counting, sampling=Sampling(constraint=FORCED, **sampling))
    pieces = list(going)
    assert re.fullmatch(f"{WORDS} [0-9] and nothing else\\.", "".join(pieces))
    assert len(pieces) > 10, "each is a piece of its own"
    assert going.stats.finish_reason is FinishReason.STOP
    assert going.stats.completion_tokens == len(pieces) + 1, "with the end of the turn"
    assert max(Counting.batches) > 10
    assert sum(Counting.batches) <= len(pieces)
    assert len(Counting.batches) <= 4


def test_forced_or_chosen_the_answer_is_the_same(counting: Engine) -> None:
    one_by_one = generation(counting, sampling=Sampling(temperature=0, constraint=FORCED), top_logprobs=2)
    told = scored(one_by_one)
    assert set(Counting.batches) == {1}, "log probabilities need the logits of every token"
    assert "".join(piece for piece, _ in told) == answer(counting, sampling=Sampling(temperature=0, constraint=FORCED))
    assert sum(len(group) for _, group in told) == one_by_one.stats.completion_tokens - 1
    assert all(each.logprob <= 0 for _, group in told for each in group)


@pytest.mark.parametrize("most", [1, 3, 9])
def test_a_limit_counts_forced_tokens(counting: Engine, most: int) -> None:
    going = generation(counting, sampling=Sampling(temperature=0, constraint=FORCED), max_tokens=most)
    text = "".join(going)
    assert WORDS.startswith(text)
    assert going.stats.finish_reason is FinishReason.LENGTH
    assert going.stats.completion_tokens == most


def test_a_stop_text_among_forced_tokens_ends_the_answer(counting: Engine) -> None:
    going = generation(counting, sampling=Sampling(temperature=0, constraint=FORCED), stop=["possible"])
    assert "".join(going) == WORDS.partition("possible")[0]
    assert going.stats.finish_reason is FinishReason.STOP


def test_a_cancelled_answer_ends_within_its_forced_tokens(counting: Engine) -> None:
    going = generation(counting, sampling=Sampling(temperature=0, constraint=FORCED))
    text = ""
    for piece in going:
        text += piece
        going.cancellation.cancel()
    assert WORDS.startswith(text)
    assert going.stats.finish_reason is FinishReason.CANCELLED
    assert EXPECTED in answer(counting), "what was not evaluated is not in the cache"


def test_more_tokens_are_forced_than_the_context_has_room_for(open_engine: OpenEngine) -> None:
    engine = open_engine(context_length=256, context_shift=True)
    long = Constraint(f'start: "{WORDS} " "{"and so on " * 150}" /[0-9]/')
    going = generation(engine, sampling=Sampling(temperature=0, constraint=long))
    "".join(going)
    assert going.stats.completion_tokens > 256 // 2
    assert len(engine.decoder.evaluated) <= 256
    assert EXPECTED in answer(engine)


# -- numbers that are none --------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0, 1e-40, 1e-9])
@pytest.mark.parametrize("more", [{}, {"constraint": Constraint("start: /[a-z ]{20}/")}, {"repeat_penalty": 0.01}])
def test_tiny_temperatures_are_greedy(engine: Engine, temperature: float, more: dict[str, Any]) -> None:
    tiny = {answer(engine, sampling=Sampling(temperature=temperature, **more), max_tokens=30) for _ in range(3)}
    assert tiny == {answer(engine, sampling=Sampling(temperature=0, **more), max_tokens=30)}
    assert {answer(engine, sampling=Sampling(temperature=2, top_p=0, **more), max_tokens=30)} == tiny


EXTREMES: list[dict[str, Any]] = [
    {"temperature": 1e-6, "repeat_penalty": 0.01, "seed": 1},
    {"temperature": 2.0, "repeat_penalty": 10.0, "frequency_penalty": 2.0, "presence_penalty": 2.0, "seed": 1},
    {"temperature": 1.0, "top_p": 1e-30, "seed": 1},
    {"temperature": 1.0, "min_p": 1.0, "top_k": 1, "seed": 1},
    {"temperature": 1e-6, "logit_bias": {5: 100.0, 6: -100.0}, "frequency_penalty": -2.0, "seed": 1},
]


@pytest.mark.parametrize("constraint", [None, Constraint("start: /[a-z ]{5,20}/")])
@pytest.mark.parametrize("extreme", EXTREMES, ids=str)
def test_the_extremes_that_a_request_may_ask_for_give_an_answer(
    engine: Engine, extreme: dict[str, Any], constraint: Constraint | None
) -> None:
    going = generation(engine, sampling=Sampling(constraint=constraint, **extreme), max_tokens=20)
    text = "".join(going)
    assert going.stats.finish_reason in {FinishReason.STOP, FinishReason.LENGTH}
    assert constraint is None or re.fullmatch("[a-z ]{5,20}", text)


@pytest.mark.parametrize("constraint", [None, Constraint('start: %json {"type": "object"}')])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_that_computes_no_numbers_ends_the_answer_with_an_error(
    open_engine: OpenEngine, demo_model: Path, tmp_path: Path, constraint: Constraint | None, value: float
) -> None:
    engine = open_engine(damaged(demo_model, tmp_path / "m.gguf", value))
    with pytest.raises(NonFiniteError, match="numbers that are not finite"):
        answer(engine, sampling=Sampling(temperature=1, seed=1, constraint=constraint))
    assert not engine.decoder.lock.locked()


# -- what no token writes ---------------------------------------------------------------------------


def test_a_grammar_that_the_vocabulary_can_t_write_ends_in_a_sentence(open_engine: OpenEngine, tmp_path: Path) -> None:
    engine = open_engine(write_llama(tmp_path / "noise.gguf"), context_length=64)
    going = generation(engine, prompt=[1], sampling=Sampling(temperature=0, constraint=Constraint('start: "é"')))
    with pytest.raises(ConstraintError, match="no token that matches the schema"):
        "".join(going)
    assert not engine.decoder.lock.locked()


def test_a_grammar_that_is_none_is_refused(engine: Engine) -> None:
    going = generation(engine, sampling=Sampling(constraint=Constraint("start: nothing")))
    with pytest.raises(ConstraintError, match="can't compile it"):
        "".join(going)
    assert EXPECTED in answer(engine)
