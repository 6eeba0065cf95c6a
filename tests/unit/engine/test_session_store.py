"""Conversations that wake up elsewhere: what is found, what is kept, and that nothing wrong is ever used."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import pytest

from lambda_llm.aws.tenant_folder import tenant_folder
from lambda_llm.engine import session_store
from lambda_llm.engine.decoder import Decoder
from lambda_llm.engine.engine import Engine
from lambda_llm.engine.generate import FinishReason, GenerationStats
from lambda_llm.engine.prefix_cache import CacheScope
from lambda_llm.engine.session_store import BLOCK_TOKENS, TURN_ENDS, Names, SessionStore
from lambda_llm.gguf.options import KVType
from support.answers import EXPECTED, LONG_QUESTION, OTHER_QUESTION, QUESTION, OpenEngine, generation, user
from support.sessions import FINGERPRINT, Shelf, sessions

CONVERSATIONS = [
    [LONG_QUESTION, QUESTION, OTHER_QUESTION, "Who are you?"],
    [QUESTION, OTHER_QUESTION, QUESTION, LONG_QUESTION, "Thank you."],
    ["What is a token? " * 20, "And the KV cache?", QUESTION],
    ["Memory is set to 10,240 MB. " * 10 + QUESTION, OTHER_QUESTION],
]
LIMIT_SECONDS = 60

Say = Callable[..., Any]


@dataclass(frozen=True)
class Said:
    """What a generation left."""

    text: str
    prompt: Sequence[int]
    stats: GenerationStats


class Place:
    """An environment: a model with an empty cache and its store."""

    def __init__(self, engine: Engine, store: SessionStore) -> None:
        self.engine = engine
        self.store = store

    def say(self, messages: list[dict[str, str]], **changes: Any) -> Said:
        """The answer, its entries written."""
        prompt = self.engine.template.tokens(messages)
        going = generation(self.engine, prompt=prompt, sessions=self.store, **changes)
        text = "".join(going)
        going.settle()
        return Said(text, going.prompt, going.stats)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def place(open_engine: OpenEngine, shelf: Shelf) -> Iterator[Callable[..., Place]]:
    """Make environments over the same shelf."""
    made = []

    def make(fingerprint: bytes = FINGERPRINT, **changes: Any) -> Place:
        engine = open_engine(**changes)
        context = sessions(engine, shelf, fingerprint)
        made.append(context)
        return Place(engine, context.__enter__())

    yield make
    for context in made:
        context.__exit__(None, None, None)


def turns(questions: list[str], answer: Callable[[list[dict[str, str]]], str]) -> list[dict[str, str]]:
    """A whole conversation."""
    messages: list[dict[str, str]] = []
    for question in questions:
        messages.append(user(question))
        messages.append({"role": "assistant", "content": answer(messages)})
    return messages


# -- what is found ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kv_type", KVType)
@pytest.mark.parametrize("questions", CONVERSATIONS, ids=range(len(CONVERSATIONS)))
def test_answers_are_the_same_with_and_without_reuse(
    place: Callable[..., Place], open_engine: OpenEngine, questions: list[str], kv_type: KVType
) -> None:
    alone = open_engine(kv_type=kv_type)

    def without(messages: list[dict[str, str]]) -> str:
        alone.decoder.truncate(0)
        return "".join(generation(alone, prompt=alone.template.tokens(messages)))

    def elsewhere_each_time(messages: list[dict[str, str]]) -> str:
        going = place(kv_type=kv_type).say(messages)
        if len(messages) > 1:
            known = alone.template.tokens(messages[:-1])
            around = len(alone.template.tokens(messages)) - len(known)
            assert going.stats.cached_tokens >= len(known) - around, "all but the new words"
        return going.text

    assert turns(questions, elsewhere_each_time) == turns(questions, without)


def test_a_conversation_that_moves_is_the_one_that_stays_token_by_token(
    place: Callable[..., Place], open_engine: OpenEngine
) -> None:
    # So long a text is beyond what this model learned: it babbles, and the least difference would show.
    questions = ["Memory is set to 10,240 MB. " * 40 + QUESTION, LONG_QUESTION]
    alone = open_engine()

    def here(messages: list[dict[str, str]]) -> str:
        return "".join(generation(alone, prompt=alone.template.tokens(messages)))

    def elsewhere_each_time(messages: list[dict[str, str]]) -> str:
        return place().say(messages).text

    assert turns(questions, elsewhere_each_time) == turns(questions, here)


def test_the_next_turn_on_the_same_environment_asks_for_nothing(
    place: Callable[..., Place], shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_store, "WORTH_TOKENS", 32)  # a turn's header and two letters, by any tokenizer
    here = place()
    first = here.say([user(LONG_QUESTION)])
    shelf.asked.clear()
    second = here.say([user(LONG_QUESTION), {"role": "assistant", "content": first.text}, user("Hm")])
    assert shelf.asked == []
    assert second.stats.cached_tokens == len(first.prompt) + first.stats.completion_tokens - 1


def test_what_begins_alike_is_found_without_being_the_same(place: Callable[..., Place]) -> None:
    document = "Memory is set to 10,240 MB. " * 60
    place().say([user(document + QUESTION)])
    other = place().say([user(document + OTHER_QUESTION)])
    assert other.stats.cached_tokens % BLOCK_TOKENS == 0
    assert len(other.prompt) - other.stats.cached_tokens <= BLOCK_TOKENS + len(OTHER_QUESTION)


def test_an_answer_that_comes_back_as_other_words_costs_only_itself(place: Callable[..., Place]) -> None:
    first = place().say([user(LONG_QUESTION)])
    second = place().say([user(LONG_QUESTION), {"role": "assistant", "content": "No."}, user(QUESTION)])
    assert second.stats.cached_tokens >= len(first.prompt) - 8
    assert EXPECTED in second.text


@pytest.mark.parametrize("most", [1, 20, BLOCK_TOKENS])
def test_an_answer_that_was_cut_short_is_found_too(place: Callable[..., Place], most: int) -> None:
    first = place().say([user(LONG_QUESTION)], max_tokens=most)
    assert first.stats.finish_reason is FinishReason.LENGTH
    messages = [user(LONG_QUESTION), {"role": "assistant", "content": first.text}, user(QUESTION)]
    second = place().say(messages)
    assert second.stats.cached_tokens >= len(first.prompt) + most - 2
    assert EXPECTED in second.text


def test_a_prompt_that_is_new_costs_few_questions(place: Callable[..., Place], shelf: Shelf) -> None:
    here = place()
    # They are all on their way at once, but no more than connections beyond the first answer.
    here.say([user("Memory is set to 10,240 MB. " * 120)], max_tokens=1)
    assert len(shelf.asked) <= 2 * TURN_ENDS + 1800 // BLOCK_TOKENS
    shelf.asked.clear()
    here.say([user("Hi")], max_tokens=1)
    assert shelf.asked == [], "so few tokens are computed sooner than looked for"


def test_a_kept_system_prompt_is_not_written(place: Callable[..., Place], shelf: Shelf) -> None:
    here = place()
    system = {"role": "system", "content": "You are terse. " * 100}
    prompt = here.engine.template.tokens([system, user("x")])
    with here.engine.decoder.lock:
        here.engine.prefixes.pin(prompt[:-8])
    here.say([system, user(QUESTION)])
    # The block that the prefix ends in, and the ends of two turns.
    assert len(shelf.objects) <= 3


# -- to whom ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (CacheScope("a"), CacheScope("b")),
        (CacheScope("a"), CacheScope()),
        (CacheScope("a", "s"), CacheScope("a", "t")),
        (CacheScope("a", "s"), CacheScope("a")),
        (CacheScope("a", "b"), CacheScope("ab")),
        (CacheScope("a", ""), CacheScope("a")),
        (CacheScope("1", "2-"), CacheScope("1-", "2")),
    ],
)
def test_nobody_finds_what_belongs_to_somebody_else(
    place: Callable[..., Place], shelf: Shelf, first: CacheScope, second: CacheScope
) -> None:
    place().say([user(LONG_QUESTION)], scope=first)
    answer = {"role": "assistant", "content": "1, 2, 3"}
    other, same = (place().say([user(LONG_QUESTION), answer, user(QUESTION)], scope=scope) for scope in (second, first))
    assert other.stats.cached_tokens == 0
    assert same.stats.cached_tokens > 0
    folders = {tenant_folder(scope.tenant) for scope in (first, second)}
    assert {name[: -2 * 32] for name in shelf.objects} == folders, "of each tenant, in its own"


@pytest.mark.parametrize("fingerprint", [b"another model", FINGERPRINT + b" ", b""])
def test_another_model_or_setting_finds_nothing(place: Callable[..., Place], fingerprint: bytes) -> None:
    place().say([user(LONG_QUESTION)])
    messages = [user(LONG_QUESTION), {"role": "assistant", "content": "1, 2"}, user(QUESTION)]
    assert place(fingerprint).say(messages).stats.cached_tokens == 0


def test_names_reveal_nothing_and_differ_for_every_difference() -> None:
    scope = CacheScope("Alice of Example Ltd", "our secret")
    tokens = list(range(300))
    names = Names(FINGERPRINT, tokens, scope)
    ends = [1, 2, BLOCK_TOKENS - 1, BLOCK_TOKENS, BLOCK_TOKENS + 1, 2 * BLOCK_TOKENS, 300]
    first = {end: names.until(end) for end in ends}
    assert len(set(first.values())) == len(ends)
    assert all(len(name) == 32 for name in first.values())
    again = Names(FINGERPRINT, [*tokens, 1, 2, 3], scope)
    assert {end: again.until(end) for end in reversed(ends)} == first
    changed = Names(FINGERPRINT, [*tokens[:200], 7, *tokens[201:]], scope)
    assert [changed.until(end) == first[end] for end in ends] == [True] * 5 + [False] * 2


# -- what goes wrong --------------------------------------------------------------------------------


def spoiled(entry: bytes, how: str, others: list[bytes]) -> bytes:
    middle = len(entry) // 2
    return {
        "a bit flipped": entry[:middle] + bytes([entry[middle] ^ 1]) + entry[middle + 1 :],
        "the header's end altered": entry[:52] + b"\x07" + entry[53:],
        "cut short": entry[:middle],
        "cut within the header": entry[:10],
        "empty": b"",
        "grown": entry + b"x",
        "of another name": next(other for other in others if other != entry),
        "noise": b"\xff" * len(entry),
    }[how]


@pytest.mark.parametrize(
    "how",
    [
        "a bit flipped",
        "the header's end altered",
        "cut short",
        "cut within the header",
        "empty",
        "grown",
        "of another name",
        "noise",
    ],
)
def test_an_entry_that_is_not_what_it_should_be_costs_a_prefill_and_no_more(
    place: Callable[..., Place], shelf: Shelf, how: str
) -> None:
    first = place().say([user(LONG_QUESTION)])
    messages = [user(LONG_QUESTION), {"role": "assistant", "content": first.text}, user(QUESTION)]
    entries = dict(shelf.objects)
    expected = place().say(messages)
    shelf.objects = {name: spoiled(entry, how, list(entries.values())) for name, entry in entries.items()}
    here = place()
    again = here.say(messages)
    assert again.text == expected.text
    assert again.stats.cached_tokens == 0
    assert here.store.counts.damaged > 0
    assert here.store.counts.failures == 0
    # What was spoiled has been written anew.
    assert place().say(messages).stats.cached_tokens >= expected.stats.cached_tokens


NOT_A_NUMBER = np.full(1, np.nan, "<f2").tobytes()


def with_a_number_that_is_none(state: bytes) -> bytes:
    """The last number of the last layer's values."""
    return state[:-2] + NOT_A_NUMBER


def test_an_entry_with_a_number_that_is_none_is_refused_though_its_digest_is_right(
    place: Callable[..., Place], shelf: Shelf
) -> None:
    first = place().say([user(LONG_QUESTION)])
    messages = [user(LONG_QUESTION), {"role": "assistant", "content": first.text}, user(QUESTION)]
    for name, entry in shelf.objects.items():
        state = with_a_number_that_is_none(entry[84:])
        shelf.objects[name] = entry[:52] + sha256(state).digest() + state
    here = place()
    again = here.say(messages)
    assert EXPECTED in again.text
    assert again.stats.cached_tokens == 0
    assert here.store.counts.damaged > 0
    assert here.store.counts.failures == 0
    there = place()
    assert there.say(messages).stats.cached_tokens > 0, "what was refused has been written anew"
    assert there.store.counts.damaged == 0


class Miscalculating(Decoder):
    """A decoder whose keys and values come out wrong."""

    def read_state(self, start: int, end: int) -> bytearray:
        return bytearray(with_a_number_that_is_none(bytes(super().read_state(start, end))))


def test_a_number_that_is_none_is_not_stored(
    place: Callable[..., Place], shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    here = place(kind=Miscalculating)
    assert EXPECTED in here.say([user(QUESTION)]).text
    assert shelf.objects == {}
    assert here.store.counts.saved_entries == 0
    assert here.store.counts.damaged > 0
    assert here.store.counts.failures == 0, "the storage is not to blame"
    assert "was not used: Keys and values have numbers that are not finite." in caplog.text


def test_one_entry_missing_in_the_middle_costs_what_comes_after_it(place: Callable[..., Place], shelf: Shelf) -> None:
    first = place().say([user(LONG_QUESTION)])
    messages = [user(LONG_QUESTION), {"role": "assistant", "content": first.text}, user(QUESTION)]
    here = place()
    names = here.store.names(here.engine.template.tokens(messages), CacheScope())
    del shelf.objects[tenant_folder("") + names.until(2 * BLOCK_TOKENS).hex()]
    again = here.say(messages)
    assert again.stats.cached_tokens == BLOCK_TOKENS
    assert EXPECTED in again.text


def test_a_store_that_fails_is_left_alone_and_fails_no_request(
    place: Callable[..., Place], shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    here = place()
    shelf.broken = True
    text = here.say([user(LONG_QUESTION)]).text
    assert text.endswith("100.")
    assert here.store.counts.failures >= 1
    assert "is not used for 30 s: the shelf fell down" in caplog.text
    failures = here.store.counts.failures
    assert EXPECTED in here.say([user(QUESTION + " " * 3 + LONG_QUESTION), user(QUESTION)]).text
    assert here.store.counts.failures == failures
    assert shelf.objects == {}


def test_neither_words_nor_names_are_logged(
    place: Callable[..., Place], shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        scope = CacheScope("tenant Xylophone", "session zebra")
        first = place().say([user("quartz " * 200)], scope=scope)
        shelf.objects = {name: entry[:-1] for name, entry in shelf.objects.items()}
        place().say([user("quartz " * 200)], scope=scope)
    assert "was not used" in caplog.text
    for word in ("Xylophone", "zebra", "quartz", first.text):
        assert word not in caplog.text


# -- while something else happens -------------------------------------------------------------------


def test_a_request_during_the_save_is_answered(place: Callable[..., Place], shelf: Shelf) -> None:
    here = place()
    first = generation(here.engine, LONG_QUESTION, sessions=here.store)
    pieces = iter(first)
    text = next(pieces)
    shelf.open.clear()
    text += "".join(pieces)
    assert text.endswith("100.")
    assert not shelf.objects
    second = generation(here.engine, QUESTION)
    assert EXPECTED in "".join(second), "nothing waits for what is being written"
    shelf.open.set()
    first.settle()
    assert here.store.counts.saved_entries == len(shelf.objects) > 2
    messages = [user(LONG_QUESTION), {"role": "assistant", "content": text}, user(QUESTION)]
    assert place().say(messages).stats.cached_tokens > 0


def test_a_request_that_is_left_while_it_waits_for_the_store_ends_and_leaves_nothing(
    place: Callable[..., Place], shelf: Shelf
) -> None:
    here = place()
    going = generation(here.engine, LONG_QUESTION * 10, sessions=here.store)
    shelf.open.clear()
    answered = []
    asking = threading.Thread(target=lambda: answered.append("".join(going)))
    asking.start()
    assert shelf.reached.wait(LIMIT_SECONDS)
    going.cancellation.cancel()
    asking.join(LIMIT_SECONDS)
    assert answered == [""]
    assert going.stats.finish_reason is FinishReason.CANCELLED
    shelf.open.set()
    going.settle()
    assert shelf.objects == {}
    assert EXPECTED in here.say([user(QUESTION)]).text


@pytest.mark.parametrize("after", [1, 40])
def test_an_answer_that_is_left_keeps_the_cache_right(place: Callable[..., Place], after: int) -> None:
    here = place()
    going = generation(here.engine, LONG_QUESTION, sessions=here.store)
    for number, _ in enumerate(going, 1):
        if number == after:
            going.cancellation.cancel()
    going.settle()
    assert going.stats.finish_reason is FinishReason.CANCELLED
    for there in (here, place()):
        assert there.say([user(LONG_QUESTION)]).text.endswith("100.")


def test_two_conversations_by_turns_on_one_environment_stay_apart(
    place: Callable[..., Place], open_engine: OpenEngine
) -> None:
    here, alone = place(), open_engine()
    said: list[list[dict[str, str]]] = [[], []]
    for first, second in zip(CONVERSATIONS[0], CONVERSATIONS[2], strict=False):
        for messages, question in zip(said, (first, second), strict=True):
            messages.append(user(question))
            going = here.say(messages)
            alone.decoder.truncate(0)
            assert going.text == "".join(generation(alone, prompt=alone.template.tokens(messages)))
            messages.append({"role": "assistant", "content": going.text})
            if len(messages) > 2:
                assert going.stats.cached_tokens > len(going.prompt) / 2


def test_a_conversation_may_fill_the_context(place: Callable[..., Place]) -> None:
    first = place(context_length=256).say([user(LONG_QUESTION)])
    assert first.stats.finish_reason is FinishReason.LENGTH
    assert len(first.prompt) + first.stats.completion_tokens == 256
    again = place(context_length=256).say([user(LONG_QUESTION)])
    assert again.text == first.text
    assert again.stats.cached_tokens >= len(first.prompt) - 8
