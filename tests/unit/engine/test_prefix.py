"""Beginnings that stay: which one a prompt starts with, and that nobody sees what is not theirs."""

from itertools import pairwise

import pytest

from lambda_llm.engine.errors import EngineError
from lambda_llm.engine.model import Model
from lambda_llm.engine.prefix import Scope, common_prefix
from lambda_llm.engine.template import ChatTemplate
from lambda_llm.settings import KVType
from support.answers import EXPECTED, LONG_QUESTION, QUESTION, OpenModel, answer, generation, user

SYSTEM = "You are a terse assistant for questions about AWS Lambda."
OTHER_SYSTEM = "You count, and do nothing else."


def asked(model: Model, system: str, question: str = QUESTION) -> list[int]:
    return ChatTemplate(model).tokens([{"role": "system", "content": system}, user(question)])


def keep(model: Model, system: str) -> list[int]:
    """Keep a system prompt as the warm-up does."""
    prompt = asked(model, system)
    end = common_prefix(prompt, asked(model, system, "1"))
    with model.lock:
        model.prefixes.keep(prompt[:end])
    return prompt[:end]


@pytest.mark.parametrize("kv_type", KVType)
def test_a_kept_beginning_costs_nothing_and_changes_nothing(open_model: OpenModel, kv_type: KVType) -> None:
    fresh, model = open_model(kv_type=kv_type), open_model(kv_type=kv_type)
    kept = {system: keep(model, system) for system in (SYSTEM, OTHER_SYSTEM)}
    for system in (SYSTEM, OTHER_SYSTEM, SYSTEM):
        fresh.cut(0)
        expected = answer(fresh, prompt=asked(fresh, system))
        going = generation(model, prompt=asked(model, system))
        assert "".join(going) == expected
        assert going.cached_tokens >= len(kept[system])
        assert answer(model, LONG_QUESTION, max_tokens=20)  # whatever is asked in between


def test_a_conversation_that_goes_on_is_better_than_its_beginning(model: Model) -> None:
    kept = keep(model, SYSTEM)
    first = generation(model, prompt=asked(model, SYSTEM))
    said = "".join(first)
    (end,) = model.tokenize(model.eos, add_special=False)
    second = generation(
        model, prompt=[*first.prompt, *model.tokenize(said, add_special=False), end, *kept[1:5]], max_tokens=1
    )
    "".join(second)
    assert second.cached_tokens > len(kept) + len(said.split())


def test_the_memory_of_what_is_kept_is_told(model: Model) -> None:
    assert (model.prefixes.count, model.prefixes.bytes) == (0, 0)
    kept = keep(model, SYSTEM)
    each = model.prefixes.bytes / len(kept)
    keep(model, OTHER_SYSTEM)
    assert model.prefixes.count == 2
    # Keys and values of 16-bit numbers for every layer, and a few bytes around them.
    assert each == pytest.approx(model.prefixes.bytes / (len(kept) + len(asked(model, OTHER_SYSTEM))), rel=0.5)


@pytest.mark.parametrize("other", [Scope("another"), Scope("", "a session"), Scope("another", "a session")])
def test_nobody_else_finds_what_was_evaluated_but_for_what_all_know(model: Model, other: Scope) -> None:
    kept = keep(model, SYSTEM)
    prompt = asked(model, SYSTEM)
    for scope in (Scope(), other, Scope()):
        going = generation(model, prompt=prompt, scope=scope)
        assert EXPECTED in "".join(going)
        assert going.cached_tokens in {len(kept), len(kept) - 1}
    again = generation(model, prompt=prompt, scope=Scope())
    "".join(again)
    assert again.cached_tokens == len(prompt) - 1


# -- the KV cache as bytes --------------------------------------------------------------------------


@pytest.mark.parametrize("kv_type", KVType)
def test_parts_that_left_the_cache_come_back_as_they_were(open_model: OpenModel, kv_type: KVType) -> None:
    one, other = open_model(kv_type=kv_type), open_model(kv_type=kv_type)
    prompt = generation(one, LONG_QUESTION).prompt
    expected = answer(one, LONG_QUESTION)
    tokens = list(one.evaluated)
    cuts = [0, 7, 100, 101, len(tokens)]
    for start, end in pairwise(cuts):
        other.restore(tokens[start:end], one.cached(start, end))
    assert other.evaluated == tokens
    assert one.evaluated == tokens, "nothing was taken away"
    again = generation(other, LONG_QUESTION)
    assert "".join(again) == expected
    assert again.cached_tokens == len(prompt) - 1
    assert other.cached(7, 100) == one.cached(7, 100)


def test_a_part_that_does_not_fit_behind_what_is_there_is_refused_and_changes_nothing(open_model: OpenModel) -> None:
    one, other = open_model(), open_model()
    expected = answer(one, LONG_QUESTION)
    tokens = list(one.evaluated)
    state = one.cached(10, 30)
    other.restore(tokens[:8], one.cached(0, 8))
    broken = bytes(state[:-1])
    for what, part in ((tokens[10:30], state), (tokens[8:28], broken), (tokens[8:10], b""), (tokens[8:10], b"x" * 99)):
        with pytest.raises(EngineError, match="could not put tokens 8 to"):
            other.restore(what, part)
        assert other.evaluated == tokens[:8]
    assert answer(other, LONG_QUESTION) == expected
