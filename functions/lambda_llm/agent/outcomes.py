"""Outcomes of tools as JSON, which is what the durable service keeps of them."""

from collections.abc import Mapping
from typing import Any

from lambda_llm.agent.references import Reference
from lambda_llm.agent.tools.tool import Outcome, Question


def to_json(outcome: Outcome) -> dict[str, Any]:
    """As an object that `from_json` reads; what is empty is left out."""
    question = outcome.question
    given = {
        "status": outcome.status,
        "content": outcome.content,
        "references": [reference.to_json() for reference in outcome.references],
        "memory": outcome.memory,
        "question": question and {"text": question.text, "schema": question.schema, "state": question.state},
    }
    return {name: value for name, value in given.items() if value is not None and value != []}


def from_json(value: Mapping[str, Any]) -> Outcome:
    """The outcome of `to_json`'s object.

    Raises:
        BadReferenceError: one of its references is none.
    """
    question = value.get("question")
    return Outcome(
        value["status"],
        value.get("content"),
        tuple(Reference.from_json(one) for one in value.get("references", ())),
        value.get("memory"),
        question and Question(question["text"], question.get("schema"), question.get("state")),
    )
