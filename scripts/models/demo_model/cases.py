"""Cases of the examination that are chains of tool calls, each with what the model was never trained with."""

import dataclasses
import random
from collections.abc import Iterator, Sequence
from typing import Any

from scripts.models.demo_model import research, tools


@dataclasses.dataclass(frozen=True)
class Case:
    """One conversation of the examination.

    Attributes:
        kind: the way in which something is asked.
        messages: what is said before the model's first turn, as OpenAI's API takes it.
        answer: the whole answer in the end.
        tools: what is offered, as OpenAI's API takes it.
        steps: the calls before the answer, each with the result that it gets.
    """

    kind: str
    messages: list[dict[str, str]]
    answer: str
    tools: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    steps: list[dict[str, str]] = dataclasses.field(default_factory=list)


def turn(role: str, content: str) -> dict[str, str]:
    """Returns a message as OpenAI's API takes it."""
    return {"role": role, "content": content}


def research_cases() -> Iterator[Case]:
    """Yields tasks of a research assistant; no topic was trained together with its number of days."""
    draw = random.Random(1)  # noqa: S311 - reproducible, not secret
    researcher = research.Researcher(draw)
    topics = [*research.TOPICS, *research.TOPICS]

    def task(topic: str) -> research.Task:
        return _whole_task(researcher, draw, topic)

    def case(kind: str, task: research.Task, openings: Sequence[str] = ()) -> Case:
        offered = [*tools.RESEARCH, *([tools.WEATHER] if researcher.chance(0.5) else [])]
        draw.shuffle(offered)
        system, words = researcher.request(task, openings)
        return _case(kind, researcher, task, (system, words), offered)

    for topic in draw.sample(topics, 20):
        wanted = task(topic)
        words = research.TASK.format(topic=topic, time=f"{wanted.wait} days")
        yield _case("the demo's task", researcher, wanted, (research.INSTRUCTIONS, words), list(tools.RESEARCH))
    for topic in draw.sample(topics, 20):
        yield case("every step", task(topic))
    for topic in draw.sample(topics, 30):
        period, approval, wait = draw.choice(("", "day", "week")), researcher.chance(0.5), draw.choice((0, 3, 12))
        yield case("some steps", dataclasses.replace(task(topic), period=period, approval=approval, wait=wait))
    for topic in draw.sample(topics, 12):
        yield case("denied", dataclasses.replace(task(topic), approved=False))
    for tool, topic in zip(3 * tools.RESEARCH, draw.sample(topics, 15), strict=True):
        yield case("a tool fails", dataclasses.replace(task(topic), fails=tools.name_of(tool)))
    for topic in [*research.NEW_TOPICS, *research.NEW_TOPICS]:
        yield case("new topic", task(topic))
    for topic in draw.sample(topics, 20):
        yield case("new words", task(topic), research.NEW_OPENINGS)


def _whole_task(researcher: research.Researcher, draw: random.Random, topic: str) -> research.Task:
    """Every step, with an approval."""
    while not research.is_held_out(report := researcher.report(topic)):
        pass
    return research.Task(report, period="day", approval=True, wait=draw.randint(2, 9))


def _case(
    kind: str,
    researcher: research.Researcher,
    task: research.Task,
    asked: tuple[str, str],
    offered: list[dict[str, Any]],
) -> Case:
    system, words = asked
    chain = researcher.chain(task, offered)
    messages = [*([turn("system", system)] if system else []), turn("user", words)]
    steps = [{"call": called, "result": result} for called, result in chain.steps]
    return Case(f"research, {kind}", messages, chain.answer, offered, steps)
