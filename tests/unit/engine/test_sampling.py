"""How tokens are chosen: what changes their chances, what they are worth, and what an answer is held to."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from lambda_llm.engine.constraints import Constraint
from lambda_llm.engine.engine import Engine
from lambda_llm.engine.errors import ConstraintError
from lambda_llm.engine.generate import FinishReason, Generation
from lambda_llm.engine.sampling import Sampling, Scored
from support.answers import EXPECTED, LONG_QUESTION, OpenEngine, answer, generation
from support.models import write_llama

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


def test_one_seed_gives_one_constrained_answer(engine: Engine) -> None:
    chosen = Sampling(temperature=2, seed=5, constraint=Constraint("start: /[a-z ]{40}/"))
    assert len({answer(engine, sampling=chosen) for _ in range(3)}) == 1


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
