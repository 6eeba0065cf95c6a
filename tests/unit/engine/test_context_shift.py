"""Conversations longer than the context: refused as a rule, shortened where that was asked for."""

from typing import Any

import llama_cpp
import pytest

from lambda_llm.engine.context_shift import FREE_SHARE
from lambda_llm.engine.engine import Engine
from lambda_llm.engine.errors import ContextOverflowError
from lambda_llm.engine.generate import FinishReason, Generation
from lambda_llm.engine.sampling import Sampling
from lambda_llm.gguf.errors import UnsupportedModelError
from lambda_llm.gguf.options import KVType
from support.answers import EXPECTED, LONG_QUESTION, QUESTION, OpenEngine, answer, generation, user
from support.sessions import Shelf, sessions

CONTEXT = 256
STEP = CONTEXT // FREE_SHARE
SYSTEM = {"role": "system", "content": "You are a terse assistant for questions about AWS Lambda."}


def conversation(turns: int, question: str = QUESTION) -> list[dict[str, str]]:
    """So many turns of 30 tokens and more, and a question."""
    said = [user("Which architecture does the function use?"), {"role": "assistant", "content": "arm64. " * 8}]
    return [SYSTEM, *(said * turns), user(question)]


def asked(engine: Engine, messages: list[dict[str, str]], **changes: Any) -> Generation:
    return generation(engine, prompt=engine.template.tokens(messages), **changes)


@pytest.fixture
def shifting(open_engine: OpenEngine) -> Engine:
    return open_engine(context_length=CONTEXT, context_shift=True)


def test_a_conversation_that_outgrows_the_context_is_refused(open_engine: OpenEngine) -> None:
    engine = open_engine(context_length=CONTEXT)
    with pytest.raises(ContextOverflowError, match="shorten the prompt"):
        asked(engine, conversation(12))


def test_the_oldest_turns_make_room_and_the_last_question_is_answered(shifting: Engine) -> None:
    prompt = shifting.template.tokens(conversation(12))
    assert len(prompt) > CONTEXT
    going = asked(shifting, conversation(12))
    assert EXPECTED in "".join(going)
    turn = len(prompt) - len(shifting.template.tokens(conversation(11)))
    # Whole turns are dropped, and as many tokens as a multiple of the free share.
    assert CONTEXT - 2 * STEP - turn <= len(going.prompt) <= CONTEXT - STEP
    (start,) = shifting.model.tokenize("<|start_header_id|>", add_special=False)
    assert going.prompt[0] == prompt[0]
    assert going.prompt[1] == start, "what is left begins with a whole turn"
    assert list(going.prompt[1:]) == prompt[-len(going.prompt) + 1 :]


def test_a_kept_system_prompt_never_makes_room(shifting: Engine) -> None:
    kept = shifting.template.tokens(conversation(0))
    kept = kept[: len(kept) - 20]
    with shifting.decoder.lock:
        shifting.prefixes.pin(kept)
    going = asked(shifting, conversation(12))
    assert list(going.prompt[: len(kept)]) == kept
    assert EXPECTED in "".join(going)
    assert going.stats.cached_tokens >= len(kept)


def test_the_next_turns_drop_the_same_so_that_their_cache_serves(shifting: Engine) -> None:

    def steps(messages: list[dict[str, str]]) -> int:
        return -(-(len(shifting.template.tokens(messages)) - (CONTEXT - STEP)) // STEP)

    def following(turns: int, said: str) -> list[dict[str, str]]:
        return [*conversation(turns), {"role": "assistant", "content": said}, user("Hello")]

    # Not at the end of a step, where the next turn drops more.
    turns = next(n for n in range(4, 20) if 0 < steps(conversation(n)) == steps(following(n, f"It is {EXPECTED}.")))
    first = asked(shifting, conversation(turns))
    messages = following(turns, "".join(first))
    second = asked(shifting, messages, max_tokens=1)
    assert len(shifting.template.tokens(messages)) > CONTEXT
    "".join(second)
    assert second.stats.cached_tokens > len(first.prompt) - 20


def test_a_question_that_is_too_long_by_itself_is_refused(shifting: Engine) -> None:
    with pytest.raises(ContextOverflowError):
        asked(shifting, [user("word " * CONTEXT)])
    with pytest.raises(ContextOverflowError):
        asked(shifting, conversation(3, "word " * CONTEXT))


@pytest.mark.parametrize("kv_type", KVType)
def test_an_answer_goes_on_beyond_the_context_and_leaves_the_cache_right(
    open_engine: OpenEngine, kv_type: KVType
) -> None:
    engine = open_engine(context_length=CONTEXT, context_shift=True, kv_type=kv_type)
    going = generation(
        engine, LONG_QUESTION, max_tokens=CONTEXT, sampling=Sampling(temperature=0, logit_bias=endless(engine))
    )
    text = "".join(going)
    assert going.stats.completion_tokens == CONTEXT
    assert going.stats.finish_reason is FinishReason.LENGTH
    assert len(going.prompt) + going.stats.completion_tokens > CONTEXT
    assert text.startswith("1, 2, 3, 4")
    # What was moved is of use to nobody else.
    assert len(engine.decoder.evaluated) == 1
    assert answer(engine) == answer(open_engine(context_length=CONTEXT, kv_type=kv_type))


def endless(engine: Engine) -> dict[int, float]:
    """Biases under which no turn ends."""
    return {token: -1e9 for token in range(engine.model.vocabulary_size) if engine.model.ends_turn(token)}


def test_an_answer_without_a_limit_ends_after_one_context(shifting: Engine) -> None:
    going = generation(shifting, LONG_QUESTION, sampling=Sampling(temperature=0, logit_bias=endless(shifting)))
    "".join(going)
    assert (going.stats.completion_tokens, going.stats.finish_reason) == (CONTEXT, FinishReason.LENGTH)


def test_what_was_moved_is_not_kept_for_others(shifting: Engine) -> None:
    shelf = Shelf()
    with sessions(shifting, shelf) as store:
        going = generation(
            shifting, LONG_QUESTION, sessions=store, sampling=Sampling(temperature=0, logit_bias=endless(shifting))
        )
        "".join(going)
        going.settle()
    # The prompt's own turn, written before anything moved.
    assert len(shelf.objects) == 1


@pytest.mark.parametrize("shifts", [True, False])
def test_a_conversation_within_the_context_is_not_touched(open_engine: OpenEngine, *, shifts: bool) -> None:
    engine = open_engine(context_length=CONTEXT, context_shift=shifts)
    prompt = engine.template.tokens(conversation(2))
    going = generation(engine, prompt=prompt)
    assert EXPECTED in "".join(going)
    assert list(going.prompt) == prompt


def test_a_model_whose_tokens_can_t_be_moved_is_refused_at_the_start(
    open_engine: OpenEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Such architectures (with positions in several dimensions) are not among the models that tests can make.
    monkeypatch.setattr(llama_cpp, "llama_memory_can_shift", lambda _: False)
    open_engine(context_length=CONTEXT)
    with pytest.raises(UnsupportedModelError, match="LAMBDA_LLM_CONTEXT_OVERFLOW=shift can't be used with"):
        open_engine(context_length=CONTEXT, context_shift=True)
