"""What a probe is and what it finds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from lambda_llm.cli.probes.deployment import Deployment, MissingError, RefusedError
from lambda_llm.errors import LambdaLLMError


class Outcome(StrEnum):
    """What is known once a probe has run; `unknown`: it can't be known here."""

    OK = "ok"
    WRONG = "wrong"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """What a probe has found.

    Attributes:
        outcome: in one word.
        sentence: what was found; where it is wrong, also what to do; where it can't be known, why.
        figures: what was measured or read, by name; a name ends in its unit.
    """

    outcome: Outcome
    sentence: str
    figures: Mapping[str, Any] = field(default_factory=dict)


def ok(sentence: str, **figures: Any) -> Finding:
    """It is as it should be."""
    return Finding(Outcome.OK, sentence, figures)


def wrong(sentence: str, **figures: Any) -> Finding:
    """It is not."""
    return Finding(Outcome.WRONG, sentence, figures)


def unknown(sentence: str, **figures: Any) -> Finding:
    """It can't be known here."""
    return Finding(Outcome.UNKNOWN, sentence, figures)


@dataclass(frozen=True)
class Probe:
    """One question to a deployment.

    Attributes:
        name: stable, for `--json`.
        question: for people.
        ask: finds the answer; raises as `Deployment` does.
        requests: the most that it sends to the model's URL or invokes.
        restores: environments that these may restore at most, beside the one that was asked before.
        tokens: the most that these may generate.
    """

    name: str
    question: str
    ask: Callable[[Deployment], Finding]
    requests: int = 0
    restores: int = 0
    tokens: int = 0

    def run(self, deployment: Deployment) -> Finding:
        """Ask; whatever prevents an answer becomes one."""
        try:
            return self.ask(deployment)
        except MissingError as error:
            return wrong(str(error))
        except RefusedError as error:
            # A bad request: an encoder takes no chat, an older server does not know a field.
            return (unknown if error.status == HTTPStatus.BAD_REQUEST else wrong)(str(error))
        except LambdaLLMError as error:
            return unknown(str(error))
