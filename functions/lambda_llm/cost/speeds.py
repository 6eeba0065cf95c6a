"""How fast a model answers on one server, and how long a request keeps it busy."""

from dataclasses import dataclass
from typing import Self

from lambda_llm.cost.measured import Measured, MeasuredError


@dataclass(frozen=True)
class Speeds:
    """Speed of one function's environment, which answers one request at a time.

    Attributes:
        prefill: tokens of a prompt evaluated in a second, those that no cache has.
        decode: tokens of an answer in a second.
        restore_seconds: from a request that finds no environment to the moment at which one begins to work on it.
    """

    prefill: float
    decode: float
    restore_seconds: float = 1.0

    def first_token_seconds(self, new_tokens: float) -> float:
        """From the beginning of the work to the first token of the answer.

        Args:
            new_tokens: tokens of the prompt that no cache has.
        """
        return new_tokens / self.prefill

    def seconds(self, new_tokens: float, answer_tokens: float) -> float:
        """How long one request keeps the environment busy.

        Args:
            new_tokens: as above.
            answer_tokens: tokens of the answer.
        """
        return self.first_token_seconds(new_tokens) + answer_tokens / self.decode

    @classmethod
    def of(cls, measured: Measured, prompt_tokens: float, restore_seconds: float = 1.0) -> Self:
        """What `lambda-llm bench` measured, for prompts of one length: by the measured length that is nearest.

        Args:
            measured: by `lambda-llm bench --json`.
            prompt_tokens: length of the prompts.
            restore_seconds: see the attribute; the measurement does not tell.

        Raises:
            MeasuredError: it has no prompt or no answer that could tell a speed.
        """
        if not measured.prompts or measured.decode_tokens_per_second is None:
            raise MeasuredError(
                "The measurement has no speeds, since its requests failed or its answers were too short: measure again "
                "with `lambda-llm bench URL --json`."
            )
        nearest = min(measured.prompts, key=lambda prompt: abs(prompt.prompt_tokens - prompt_tokens))
        return cls(nearest.prefill_tokens_per_second.median, measured.decode_tokens_per_second.median, restore_seconds)
