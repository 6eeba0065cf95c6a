"""Beginnings that stay: which one a prompt starts with, and that nobody sees what is not theirs."""

from itertools import pairwise

import pytest

from lambda_llm.engine.decoder import common_prefix
from lambda_llm.engine.engine import Engine
from lambda_llm.engine.errors import EngineError
from lambda_llm.engine.prefix_cache import CacheScope
from lambda_llm.gguf.options import KVType
from support.answers import EXPECTED, LONG_QUESTION, QUESTION, OpenEngine, answer, generation, user

SYSTEM = "You are a terse assistant for questions about AWS Lambda."
OTHER_SYSTEM = "You count, and do nothing else."


def asked(engine: Engine, system: str, question: str = QUESTION) -> list[int]:
    return engine.template.tokens([{"role": "system", "content": system}, user(question)])


def pin(engine: Engine, system: str) -> list[int]:
    """Pin a system prompt's prefix as the warm-up does."""
    prompt = asked(engine, system)
    end = common_prefix(prompt, asked(engine, system, "1"))
    with engine.decoder.lock:
        engine.prefixes.pin(prompt[:end])
    return prompt[:end]


@pytest.mark.parametrize("kv_type", KVType)
def test_a_kept_beginning_costs_nothing_and_changes_nothing(open_engine: OpenEngine, kv_type: KVType) -> None:
    fresh, engine = open_engine(kv_type=kv_type), open_engine(kv_type=kv_type)
    kept = {system: pin(engine, system) for system in (SYSTEM, OTHER_SYSTEM)}
    for system in (SYSTEM, OTHER_SYSTEM, SYSTEM):
        fresh.decoder.truncate(0)
        expected = answer(fresh, prompt=asked(fresh, system))
        going = generation(engine, prompt=asked(engine, system))
        assert "".join(going) == expected
        assert going.stats.cached_tokens >= len(kept[system])
        assert answer(engine, LONG_QUESTION, max_tokens=20)  # whatever is asked in between


def test_a_conversation_that_goes_on_is_better_than_its_beginning(engine: Engine) -> None:
    kept = pin(engine, SYSTEM)
    first = generation(engine, prompt=asked(engine, SYSTEM))
    said = "".join(first)
    (end,) = engine.model.tokenize(engine.model.eos, add_special=False)
    second = generation(
        engine, prompt=[*first.prompt, *engine.model.tokenize(said, add_special=False), end, *kept[1:5]], max_tokens=1
    )
    "".join(second)
    assert second.stats.cached_tokens > len(kept) + len(said.split())


def test_the_memory_of_what_is_kept_is_told(engine: Engine) -> None:
    assert (engine.prefixes.count, engine.prefixes.bytes) == (0, 0)
    kept = pin(engine, SYSTEM)
    each = engine.prefixes.bytes / len(kept)
    pin(engine, OTHER_SYSTEM)
    assert engine.prefixes.count == 2
    # Keys and values of 16-bit numbers for every layer, and a few bytes around them.
    assert each == pytest.approx(engine.prefixes.bytes / (len(kept) + len(asked(engine, OTHER_SYSTEM))), rel=0.5)


@pytest.mark.parametrize(
    "other", [CacheScope("another"), CacheScope("", "a session"), CacheScope("another", "a session")]
)
def test_nobody_else_finds_what_was_evaluated_but_for_what_all_know(engine: Engine, other: CacheScope) -> None:
    kept = pin(engine, SYSTEM)
    prompt = asked(engine, SYSTEM)
    for scope in (CacheScope(), other, CacheScope()):
        going = generation(engine, prompt=prompt, scope=scope)
        assert EXPECTED in "".join(going)
        assert going.stats.cached_tokens in {len(kept), len(kept) - 1}
    again = generation(engine, prompt=prompt, scope=CacheScope())
    "".join(again)
    assert again.stats.cached_tokens == len(prompt) - 1


# -- the KV cache as bytes --------------------------------------------------------------------------


@pytest.mark.parametrize("kv_type", KVType)
def test_parts_that_left_the_cache_come_back_as_they_were(open_engine: OpenEngine, kv_type: KVType) -> None:
    one, other = open_engine(kv_type=kv_type), open_engine(kv_type=kv_type)
    prompt = generation(one, LONG_QUESTION).prompt
    expected = answer(one, LONG_QUESTION)
    tokens = list(one.decoder.evaluated)
    cuts = [0, 7, 100, 101, len(tokens)]
    for start, end in pairwise(cuts):
        other.decoder.append_state(tokens[start:end], one.decoder.read_state(start, end))
    assert other.decoder.evaluated == tokens
    assert one.decoder.evaluated == tokens, "nothing was taken away"
    again = generation(other, LONG_QUESTION)
    assert "".join(again) == expected
    assert again.stats.cached_tokens == len(prompt) - 1
    assert other.decoder.read_state(7, 100) == one.decoder.read_state(7, 100)


def test_a_part_that_does_not_fit_behind_what_is_there_is_refused_and_changes_nothing(open_engine: OpenEngine) -> None:
    one, other = open_engine(), open_engine()
    expected = answer(one, LONG_QUESTION)
    tokens = list(one.decoder.evaluated)
    state = one.decoder.read_state(10, 30)
    other.decoder.append_state(tokens[:8], one.decoder.read_state(0, 8))
    broken = bytes(state[:-1])
    for what, part in ((tokens[10:30], state), (tokens[8:28], broken), (tokens[8:10], b""), (tokens[8:10], b"x" * 99)):
        with pytest.raises(EngineError, match="could not put tokens 8 to"):
            other.decoder.append_state(what, part)
        assert other.decoder.evaluated == tokens[:8]
    assert answer(other, LONG_QUESTION) == expected
