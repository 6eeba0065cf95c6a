"""Questions to the demo model, whose answers are known, and the shortest way to an answer."""

from collections.abc import Callable
from typing import Any

from demo import QUESTIONS
from lambda_llm.engine.generate import Generation
from lambda_llm.engine.model import Model
from lambda_llm.engine.sampling import Sampling
from lambda_llm.engine.template import ChatTemplate

OpenModel = Callable[..., Model]
"""Takes a path (default: the demo model's), `kind` of Model, and Model's own arguments."""

QUESTION, EXPECTED = QUESTIONS[0]
OTHER_QUESTION, OTHER_EXPECTED = QUESTIONS[1]
LONG_QUESTION = "Count from 1 to 100."
"""Its answer has more than 300 tokens, and ends with 100."""


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def generation(model: Model, question: str = QUESTION, **changes: Any) -> Generation:
    """The greedy answer to one question; iterate it."""
    prompt = changes.pop("prompt", None) or ChatTemplate(model).tokens([user(question)])
    sampling = changes.pop("sampling", Sampling(temperature=0))
    return Generation(model, prompt, sampling, **changes)


def answer(model: Model, question: str = QUESTION, **changes: Any) -> str:
    return "".join(generation(model, question, **changes))
