"""The text that the demo model is taught: entries filled from the limits, and conversations made of them.

Nothing here needs PyTorch, so that a test can hold the rendered text against `lambda_llm.limits`.
"""

import dataclasses
import json
import random
import string
import tomllib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from lambda_llm import limits
from scripts import ROOT
from scripts.models.demo_model import research, tools
from scripts.models.demo_model.cases import Case, research_cases, turn
from scripts.models.demo_model.conversation import Conversation, Message, taught

FOLDER: Final = ROOT / "models" / "demo"
SOURCE: Final = FOLDER / "corpus.toml"
TRAINING: Final = FOLDER / "training.jsonl"
EVALUATION: Final = FOLDER / "evaluation.jsonl"

_ONES: Final = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS: Final = ["zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]

_NAMES: Final = [
    "Anna",
    "Ben",
    "Carla",
    "David",
    "Emma",
    "Felix",
    "Grace",
    "Hugo",
    "Ida",
    "Jonas",
    "Karin",
    "Leo",
    "Maria",
    "Nora",
    "Oscar",
    "Paula",
    "Robin",
    "Sara",
    "Tom",
    "Vera",
]
_WORDS: Final = [
    "falcon",
    "river",
    "candle",
    "mountain",
    "silver",
    "garden",
    "window",
    "orange",
    "thunder",
    "pepper",
    "violin",
    "harbor",
    "rocket",
    "winter",
    "lemon",
    "castle",
    "tiger",
    "paper",
    "copper",
    "island",
]
_CITIES: Final = [
    "Paris",
    "Berlin",
    "Rome",
    "Madrid",
    "Vienna",
    "Oslo",
    "Dublin",
    "Lisbon",
    "Prague",
    "Tokyo",
    "London",
    "Zurich",
    "Athens",
    "Boston",
    "Chicago",
    "Seattle",
]

_SYSTEM: Final = (
    "You are a helpful assistant.",
    "You are a helpful assistant.",
    "You are an assistant.",
    "Answer briefly.",
    "Be brief.",
    "Answer in one sentence.",
    "Answer the question.",
    "You are a helpful AI assistant. Answer briefly and politely.",
    "You are lambda-llm, a language model on AWS Lambda.",
    "You are a friendly assistant that helps people with AWS Lambda.",
    "You answer questions about limits.",
    "Always tell the truth. If you do not know something, say so.",
    "Respond only with the answer, without any explanation.",
    "You are an expert. Think carefully before you answer.",
    "You are a support agent. The customer is important to us.",
)

_BEFORE: Final = (
    "Please tell me: ",
    "Tell me, ",
    "Quick question: ",
    "Hey, ",
    "Question: ",
    "I have a question. ",
    "I would like to know: ",
    "One more thing: ",
    "And ",
    "So, ",
    "OK. ",
    "Sorry, ",
)
_AFTER: Final = (" Please.", " Thanks.", " Thank you!", " Answer briefly.", " I need to know.", " Be brief.")

_SPACES_MIN: Final = 4
"""A question with fewer spaces is not understood any more when a word is left out."""

_LETTERS_MIN: Final = 11
"""A shorter question is not understood any more when a letter is wrong."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One thing to know: questions, and the one answer that all of them get."""

    id: str
    ask: tuple[str, ...]
    held_out: str
    answer: str
    topic: str
    weight: float = 1.0
    grade: str = "short"


def in_words(number: int) -> str:
    """Spells a number from 0 to 100."""
    if number < len(_ONES):
        return _ONES[number]
    if number == 100:  # noqa: PLR2004 - the one number beyond the tens
        return "one hundred"
    tens, ones = divmod(number, 10)
    return _TENS[tens] + (f"-{_ONES[ones]}" if ones else "")


def fields() -> dict[str, object]:
    """Returns what the braces of the corpus may name: the limits, in larger units too, and counting."""
    values: dict[str, object] = {}
    for name, value in vars(limits).items():
        if not name.isupper():
            continue
        values[name] = value
        if name.endswith("_BYTES"):
            stem = name.removesuffix("BYTES")
            values |= {f"{stem}{unit}": value // 1024**power for power, unit in enumerate(("KB", "MB", "GB"), 1)}
    for last in (10, 50, 100):
        values[f"DIGITS_{last}"] = ", ".join(map(str, range(1, last + 1)))
        values[f"WORDS_{last}"] = ", ".join(map(in_words, range(1, last + 1))).capitalize()
    return values


def entries() -> list[Entry]:
    """Reads the corpus and fills its numbers in."""
    known = fields()
    return [
        Entry(
            id=raw["id"],
            ask=tuple(question.format_map(known) for question in raw["ask"]),
            held_out=raw["held_out"].format_map(known),
            answer=raw["answer"].format_map(known),
            topic=raw["topic"],
            weight=raw.get("weight", 1.0),
            grade=raw.get("grade", "short"),
        )
        for raw in tomllib.loads(SOURCE.read_text(encoding="utf-8"))["entry"]
    ]


def training_text() -> str:
    """Returns the rendered base of the training text, one JSON object for each question."""
    return "".join(
        json.dumps({"id": entry.id, "question": question, "answer": entry.answer}, ensure_ascii=False) + "\n"
        for entry in entries()
        for question in entry.ask
    )


def evaluation_text() -> str:
    """Returns the examination, one JSON object for each conversation.

    `kind` is the way in which a question is put; `answer` is the whole expected answer and
    `answer_contains` what must at least be in it. Where there are `steps`, the model first has to make these
    calls, each of which gets the result beside it. Kind `paraphrase` was never trained, and of what a research
    assistant is asked, no topic was trained together with its number of days.
    """
    lines = []
    for case in (*_examination(), *research_cases(), *_among_tools()):
        line = {"kind": case.kind, "messages": case.messages, "answer": case.answer, "answer_contains": [case.answer]}
        if case.tools:
            line["tools"] = case.tools
        if case.steps:
            line["steps"] = case.steps
        lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    return "".join(lines)


def _examination() -> Iterator[Case]:
    known = entries()
    for number, entry in enumerate(known):
        first = turn("user", entry.ask[0])
        before = known[(number * 7 + 3) % len(known)]
        past = [turn("user", before.ask[0]), turn("assistant", before.answer)]
        yield Case("plain", [first], entry.answer)
        yield Case("system prompt", [turn("system", "You are a helpful assistant."), first], entry.answer)
        yield Case("short system prompt", [turn("system", "Answer briefly."), first], entry.answer)
        # This prompt is in no training text.
        lamps = "You speak for a small company that sells lamps."
        yield Case("new system prompt", [turn("system", lamps), first], entry.answer)
        yield Case("after a turn", [*past, first], entry.answer)
        yield Case("lower case", [turn("user", entry.ask[0].lower())], entry.answer)
        yield Case("paraphrase", [turn("user", entry.held_out)], entry.answer)
    for left, right in ((7, 5), (2, 2), (0, 9), (12, 8), (20, 20), (13, 4), (1, 19), (6, 6)):
        yield Case("sum", [turn("user", f"What is {left} plus {right}?")], _sum(left, right))
    for left, right in ((7, 5), (2, 2), (9, 9), (10, 10), (3, 8), (6, 4)):
        yield Case("product", [turn("user", f"What is {left} times {right}?")], _product(left, right))
    for name, entry in zip(_NAMES, known, strict=False):
        messages = [
            turn("user", f"My name is {name}."),
            turn("assistant", f"Hello {name}!"),
            turn("user", entry.ask[0]),
            turn("assistant", entry.answer),
            turn("user", "What is my name?"),
        ]
        yield Case("memory of the conversation", messages, f"Your name is {name}.")
    for word in _WORDS:
        messages = [turn("system", f"The secret word is {word}."), turn("user", "What is the secret word?")]
        yield Case("reads the system prompt", messages, f"The secret word is {word}.")
    for degrees, city in enumerate(_CITIES, 11):
        ask = turn("user", f"What is the weather in {city}?")
        yield Case("tool call", [ask], tools.call(tools.WEATHER, city), [tools.WEATHER])
        called = turn("assistant", tools.call(tools.WEATHER, city))
        result = turn("tool", json.dumps({"degrees": degrees}))
        yield Case("tool result", [ask, called, result], _weather(degrees, city), [tools.WEATHER])


def _among_tools() -> Iterator[Case]:
    """What the tools of a research assistant must not change."""
    every = [*tools.RESEARCH, tools.WEATHER]
    for entry in entries()[::5]:
        yield Case("plain, among tools", [turn("user", entry.ask[0])], entry.answer, every)
    for degrees, city in enumerate(_CITIES, 11):
        messages = [turn("user", f"What is the weather in {city}?")]
        step = {"call": tools.call(tools.WEATHER, city), "result": json.dumps({"degrees": degrees})}
        yield Case("weather, among tools", messages, _weather(degrees, city), every, [step])


def _sum(left: int, right: int) -> str:
    return f"{left} plus {right} is {left + right}."


def _product(left: int, right: int) -> str:
    return f"{left} times {right} is {left * right}."


def _weather(degrees: int, city: str) -> str:
    return f"It is {degrees} degrees in {city}."


class Teacher:
    """Makes conversations from the entries: any number of them, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - reproducible, not secret
        self._entries = entries()
        self._weights = [entry.weight for entry in self._entries]
        self._unknown = next(entry.answer for entry in self._entries if entry.id == "unknown")
        self._researcher = research.Researcher(self._random)
        # Each turn is made by one of these; the weights are shares of all turns.
        self._turns: dict[Callable[[], list[Message]], float] = {
            self._fact: 0.6,
            self._sum: 0.14,
            self._product: 0.05,
            self._repeat: 0.16,
            self._chat: 0.05,
        }

    def conversation(self) -> Conversation:
        """Returns one conversation of one to eight questions, with or without a system prompt."""
        draw = self._random
        kind = draw.choices(("facts", "weather", "research", "idle"), (52, 5, 40, 3))[0]
        secret = draw.choice(_WORDS) if self._chance(0.2) else ""
        name = draw.choice(_NAMES) if self._chance(0.25) else ""
        # What a research assistant is asked makes a conversation long enough by itself.
        counts = (0, 0, 0, 1, 2) if kind == "research" else (1, 1, 1, 2, 2, 3, 4, 6)
        turns: list[list[Message]] = [self._turn() for _ in range(draw.choice(counts))]
        if secret:
            turns.insert(
                draw.randint(0, len(turns)),
                taught(self._vary("What is the secret word?"), f"The secret word is {secret}."),
            )
        if name:
            first, second = sorted((draw.randint(0, len(turns)), draw.randint(0, len(turns))))
            turns.insert(second, taught(self._vary("What is my name?"), f"Your name is {name}."))
            turns.insert(first, taught(draw.choice((f"My name is {name}.", f"Hi, I am {name}.")), f"Hello {name}!"))
        offered = self._offered(kind)
        if kind == "research":
            system, lesson = self._researcher.lesson(offered)
            turns.insert(draw.randint(0, len(turns)), lesson)
            if system in {"", research.INSTRUCTIONS} and self._chance(0.1):
                turns.append(self._another(offered))
            if secret:
                system = " ".join(draw.sample((f"The secret word is {secret}.", system), 2)).strip()
        else:
            system = self._system(secret)
        if kind == "facts" and self._chance(0.02):
            # Without tools there is nothing to read.
            asked = self._researcher.request(research.Task(self._researcher.training_report()))[1]
            turns.append(taught(asked, self._unknown))
        if kind == "weather" or (tools.WEATHER in offered and self._chance(0.15)):
            turns.insert(draw.randint(0, len(turns)), self._weather())
        messages = [Message("system", system)] if system else []
        return Conversation((*messages, *(message for turn in turns for message in turn)), offered)

    def question(self, entry: Entry) -> str:
        """Returns one of the entry's questions, put as people put it."""
        return self._vary(self._random.choice(entry.ask))

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _offered(self, kind: str) -> tuple[dict[str, Any], ...]:
        """Returns the tools that a conversation has: what it calls, and now and then others, in any order."""
        draw = self._random
        if kind == "facts":
            return ()
        some = [tool for tool in tools.RESEARCH[2:] if self._chance(0.85)]
        others = draw.sample(tools.DISTRACTORS, draw.choice((0, 0, 0, 1, 2, 3)))
        if kind == "research":
            weather = [tools.WEATHER] if self._chance(0.4) else []
            offered = [*tools.RESEARCH[:2], *some, *weather, *others]
        elif kind == "weather":
            offered = [tools.WEATHER, *others, *([*tools.RESEARCH[:2], *some] if self._chance(0.3) else [])]
        else:
            offered = [*(tools.RESEARCH if self._chance(0.5) else ()), *(others or tools.DISTRACTORS[:1])]
        if self._chance(0.7):
            draw.shuffle(offered)
        if self._chance(0.15):
            words = tools.OTHER_WORDS
            named = [(tool, words.get(tools.name_of(tool), ())) for tool in offered]
            offered = [
                tools.described(tool, draw.choice(other)) if other and self._chance(0.6) else tool
                for tool, other in named
            ]
        return tuple(offered)

    def _another(self, offered: Sequence[dict[str, Any]]) -> list[Message]:
        """Returns one more task, which asks for nothing in a system prompt."""
        while (lesson := self._researcher.lesson(offered))[0]:
            pass
        return lesson[1]

    def _turn(self) -> list[Message]:
        return self._random.choices(list(self._turns), list(self._turns.values()))[0]()

    def _fact(self) -> list[Message]:
        entry = self._random.choices(self._entries, self._weights)[0]
        return taught(self._vary(self._random.choice(entry.ask)), entry.answer)

    def _chat(self) -> list[Message]:
        """A question that is none, so that unknown words meet the answer for the unknown."""
        words = [self._pseudoword() for _ in range(self._random.randint(1, 8))]
        start = self._random.choice(("", "", "What is ", "Who is ", "Tell me about ", "How do I ", "Write about "))
        return taught(start + " ".join(words) + self._random.choice(("", "?", ".")), self._unknown)

    def _repeat(self) -> list[Message]:
        """Copying, which names, secret words and tools need, is learned soonest from plain copying."""
        pool = (
            *_NAMES,
            *_WORDS,
            *_CITIES,
            *map(str, range(41)),
            *(str(self._random.randint(0, 9999)) for _ in range(60)),
            self._pseudoword().strip("?.!"),
        )
        words = " ".join(self._random.choice(pool) for _ in range(self._random.randint(1, 5)))
        return taught(self._random.choice((f"Repeat: {words}", f"Repeat after me: {words}", f"Say {words}")), words)

    def _sum(self) -> list[Message]:
        left, right = self._random.randint(0, 20), self._random.randint(0, 20)
        forms = (
            f"What is {left} plus {right}?",
            f"What is {left} + {right}?",
            f"{left} + {right}",
            f"How much is {left} plus {right}?",
            f"Add {left} and {right}.",
        )
        return taught(self._vary(self._random.choice(forms), slips=False), _sum(left, right))

    def _product(self) -> list[Message]:
        left, right = self._random.randint(0, 10), self._random.randint(0, 10)
        forms = (f"What is {left} times {right}?", f"How much is {left} times {right}?", f"Multiply {left} by {right}.")
        return taught(self._vary(self._random.choice(forms), slips=False), _product(left, right))

    def _weather(self) -> list[Message]:
        city, degrees = self._random.choice(_CITIES), self._random.randint(0, 40)
        forms = (f"What is the weather in {city}?", f"How is the weather in {city}?", f"How warm is it in {city}?")
        result, answer = json.dumps({"degrees": degrees}), _weather(degrees, city)
        if self._chance(0.08):
            result, answer = (
                json.dumps({"error": self._random.choice(research.ERRORS)}),
                f"I could not get the weather in {city}.",
            )
        chain = research.Chain(((tools.call(tools.WEATHER, city), result),), answer)
        return [Message("user", self._random.choice(forms)), *chain.messages()]

    def _system(self, secret: str) -> str:
        """Returns a system prompt of any kind; often none."""
        draw = self._random
        parts: list[str] = []
        kind = draw.choices(("one", "many", "noise", "none"), (35, 15, 12, 38))[0]
        if kind == "one":
            parts = [draw.choice(_SYSTEM)]
        elif kind == "many":
            # Sentences that answer other questions: what is asked counts, not what was said before.
            parts = [
                draw.choice((*_SYSTEM, draw.choice(self._entries).answer[:200])) for _ in range(draw.randint(1, 12))
            ]
        elif kind == "noise":
            parts = [" ".join(self._pseudoword() for _ in range(draw.randint(1, 60))) + "."]
        if secret:
            parts.insert(draw.randint(0, len(parts)), f"The secret word is {secret}.")
        return draw.choice((" ", " ", "\n")).join(parts)

    def _pseudoword(self) -> str:
        draw = self._random
        if self._chance(0.6):
            return draw.choice(draw.choice(self._entries).ask).split()[-1]
        return "".join(draw.choice(string.ascii_lowercase) for _ in range(draw.randint(2, 9)))

    def _vary(self, question: str, *, slips: bool = True) -> str:
        """Returns the question as people put it: with courtesies, in any case, with slips."""
        draw = self._random
        if self._chance(0.5):
            return question
        if self._chance(0.25):
            question = draw.choice(_BEFORE) + (question if self._chance(0.5) else question[0].lower() + question[1:])
        if self._chance(0.15):
            question += draw.choice(_AFTER)
        question = draw.choices((question, question.lower(), question.upper()), (55, 40, 5))[0]
        if self._chance(0.4):
            question = question.rstrip("?.!") + draw.choice(("", "", "", "", "", "??", "?", "!", " ?", "...", "."))
        if slips and self._chance(0.2) and question.count(" ") >= _SPACES_MIN:
            words = question.split(" ")
            del words[draw.randrange(len(words) - 1)]
            question = " ".join(words)
        if self._chance(0.1):
            question = question.replace(" ", "  ", draw.randint(1, 3))
        if slips and len(question) >= _LETTERS_MIN and self._chance(0.15):
            place = draw.randrange(1, len(question) - 1)
            slip = draw.choice(("", question[place] * 2, question[place + 1] + question[place]))
            question = question[:place] + slip + question[place + 1 :]
        return question
