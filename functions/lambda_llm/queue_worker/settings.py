"""The worker's settings, read from `LAMBDA_LLM_QUEUE_*` environment variables."""

import os
from dataclasses import dataclass
from typing import Final, Self

from lambda_llm.queue_worker.errors import QueueSettingsError

FUNCTION: Final = "LAMBDA_LLM_QUEUE_FUNCTION"
REQUESTS: Final = "LAMBDA_LLM_QUEUE_REQUESTS"
ANSWERS: Final = "LAMBDA_LLM_QUEUE_ANSWERS"
ANSWER_SECONDS: Final = "LAMBDA_LLM_QUEUE_ANSWER_SECONDS"
RETRY_SECONDS: Final = "LAMBDA_LLM_QUEUE_RETRY_SECONDS"


@dataclass(frozen=True)
class QueueSettings:
    """All settings.

    Attributes:
        function: ARN of the inference function's alias.
        requests: URL of the queue that the messages come from.
        answers: URL of the queue that the answers go to.
        answer_seconds: timeout of the inference function in seconds.
        retry_seconds: seconds after which a message that failed is received again.
    """

    function: str
    requests: str
    answers: str
    answer_seconds: int
    retry_seconds: int

    @classmethod
    def load(cls) -> Self:
        """Read the environment.

        Raises:
            QueueSettingsError: a variable is missing, or no number.
        """
        return cls(
            function=_text(FUNCTION, "the ARN of an inference function's alias"),
            requests=_text(REQUESTS, "the URL of the queue with the requests"),
            answers=_text(ANSWERS, "the URL of the queue for the answers"),
            answer_seconds=_seconds(ANSWER_SECONDS, "the inference function's timeout in seconds"),
            retry_seconds=_seconds(RETRY_SECONDS, "the seconds after which a failed message is received again"),
        )


def _text(name: str, meaning: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise QueueSettingsError(f"{name} is not set: set it to {meaning}.")
    return value


def _seconds(name: str, meaning: str) -> int:
    value = _text(name, meaning)
    if not (value.isascii() and value.isdigit()):
        raise QueueSettingsError(f"{name} is {value}: set it to {meaning}, a whole number.")
    return int(value)
