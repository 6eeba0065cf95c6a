"""The demo model still says what the limits say, and its card what its file is."""

import hashlib
import itertools
import json
import re

import jsonschema
import pytest

from lambda_llm import limits
from scripts.models.demo_model import corpus, examination, tools
from scripts.models.demo_model.conversation import Conversation

MODEL = corpus.FOLDER / "lambda-llm-demo.gguf"
CARD = corpus.FOLDER / "README.md"


def test_the_training_text_has_todays_limits() -> None:
    assert corpus.TRAINING.read_text(encoding="utf-8") == corpus.training_text(), (
        "The limits or the corpus changed: train the demo model again (scripts/models/train_demo_model.py)"
    )


def test_the_examination_has_todays_limits() -> None:
    assert corpus.EVALUATION.read_text(encoding="utf-8") == corpus.evaluation_text()


def test_a_changed_limit_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MEMORY_MB", limits.MEMORY_MB + 1)
    assert corpus.TRAINING.read_text(encoding="utf-8") != corpus.training_text()


def test_no_number_of_aws_is_typed_into_the_corpus() -> None:
    numbers = {int(number) for number in re.findall(r"(?<!SHA-)\b\d+", corpus.SOURCE.read_text(encoding="utf-8"))}
    limited = {value for value in corpus.fields().values() if isinstance(value, int)}
    # Small numbers also count, weigh and name protocols.
    assert {number for number in numbers & limited if number > 100} == set()


def test_every_entry_has_a_name_of_its_own_and_questions_that_no_other_has() -> None:
    entries = corpus.entries()
    names = [entry.id for entry in entries]
    questions = [question for entry in entries for question in entry.ask]
    assert len(set(names)) == len(names)
    assert len(set(questions)) == len(questions)
    assert not {entry.held_out for entry in entries} & set(questions)


def test_lessons_are_the_same_for_the_same_seed() -> None:
    def lessons(seed: int) -> list[Conversation]:
        teacher = corpus.Teacher(seed)
        return [teacher.conversation() for _ in range(50)]

    assert lessons(1) == lessons(1)
    assert lessons(1) != lessons(2)


def test_lessons_begin_with_the_user_and_end_with_what_is_taught() -> None:
    teacher = corpus.Teacher(1)
    for conversation in (teacher.conversation() for _ in range(200)):
        roles = [message.role for message in conversation.messages if message.role != "system"]
        assert roles[0] == "user"
        assert conversation.messages[-1].taught
        assert all(message.taught == (message.role == "assistant") for message in conversation.messages)


def test_lessons_call_only_what_is_offered_and_as_it_is_described() -> None:
    teacher = corpus.Teacher(1)
    called: set[str] = set()
    for conversation in (teacher.conversation() for _ in range(500)):
        offered = {tools.name_of(tool): tool["function"]["parameters"] for tool in conversation.tools}
        for message, following in itertools.pairwise(conversation.messages):
            if following.role == "tool":
                call = json.loads(message.content)
                jsonschema.validate(call["parameters"], offered[call["name"]])
                called.add(call["name"])
    assert called == {tools.name_of(tool) for tool in (tools.WEATHER, *tools.RESEARCH)}


def test_lessons_ask_nothing_of_what_the_examination_asks_a_research_assistant() -> None:
    def told(text: str) -> set[tuple[str, ...]]:
        return {match.groups() for match in re.finditer(r"The ([a-z ]+) had [0-9]+ visitors in ([0-9]+) days", text)}

    examined = told(corpus.EVALUATION.read_text(encoding="utf-8"))
    teacher = corpus.Teacher(1)
    lessons = [teacher.conversation() for _ in range(2000)]
    taught = told("\n".join(message.content for lesson in lessons for message in lesson.messages))
    assert len(examined) > 50
    assert len(taught) > 100
    assert not examined & taught


@pytest.mark.parametrize(
    ("number", "words"), [(0, "zero"), (19, "nineteen"), (40, "forty"), (73, "seventy-three"), (100, "one hundred")]
)
def test_numbers_are_spelled(number: int, words: str) -> None:
    assert corpus.in_words(number) == words


def test_the_card_describes_the_committed_file() -> None:
    data = MODEL.read_bytes()
    card = CARD.read_text(encoding="utf-8")
    assert hashlib.sha256(data).hexdigest() in card
    assert f"{len(data):,} bytes" in card


def test_the_model_answers_the_most_important_question() -> None:
    case = json.loads(corpus.EVALUATION.read_text(encoding="utf-8").splitlines()[0])
    pupil = examination.Pupil(MODEL)
    assert pupil.answer(case["messages"]) == case["answer"]
    assert pupil.margin(case["messages"], case["answer"]) > 1
