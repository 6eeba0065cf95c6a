"""Log probabilities of tokens, in OpenAI's format."""

from collections.abc import Sequence
from typing import Final

from lambda_llm.engine.loaded_model import LoadedModel
from lambda_llm.engine.sampling import Scored
from lambda_llm.openai_types.chat import Logprobs, TokenLogprob, TopLogprob

_LEAST: Final = -9999.0
"""OpenAI's value for a probability of 0: JSON has no number for its logarithm."""


def token_text(model: LoadedModel, token: int) -> str:
    """A token's text; incomplete characters become U+FFFD."""
    return model.piece(token, control=True).decode(errors="replace")


def finite(logprob: float) -> float:
    """A log probability that JSON can represent."""
    return max(logprob, _LEAST)


def logprobs(model: LoadedModel, scored: Sequence[Scored]) -> Logprobs:
    """Log probabilities in the format of chat completions."""

    def top(token: int, logprob: float) -> TopLogprob:
        piece = model.piece(token, control=True)
        return TopLogprob(token=piece.decode(errors="replace"), logprob=finite(logprob), bytes=list(piece))

    return Logprobs(
        content=[
            TokenLogprob(
                **dict(top(each.token, each.logprob)), top_logprobs=[top(token, other) for token, other in each.top]
            )
            for each in scored
        ]
    )
