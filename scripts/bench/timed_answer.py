"""One answer of a decoder, timed, with its evaluations counted."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from unittest.mock import patch

from lambda_llm.engine.decoder import Decoder
from lambda_llm.engine.generate import Generation
from lambda_llm.engine.sampling import Sampler


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        seconds: from its first token to its end.
        cpu: seconds of CPU time, summed over the process's threads, with what comes before the first token.
        tokens: with the end of the turn.
        evaluations: calls of llama_decode.
        guessed: tokens that were guessed.
        accepted: those of them that were right.
    """

    seconds: float
    cpu: float
    tokens: int
    evaluations: int
    guessed: int
    accepted: int


def timed(going: Generation, decoder: Decoder, *, together: bool) -> tuple[str, Answer]:
    """Generate an answer; returns its text, too.

    Args:
        going: the generation, not begun yet.
        decoder: of the generation.
        together: whether tokens that a constraint forces are evaluated together.
    """
    evaluations = 0
    append = decoder.append

    def counted(*tokens: int, guess: Sequence[int] = ()) -> None:
        nonlocal evaluations
        evaluations += 1
        append(*tokens, guess=guess)

    never = nullcontext() if together else patch.object(Sampler, "forced", return_value=[])
    with never, patch.object(decoder, "append", counted):
        began = time.process_time()
        text = "".join(going)
        cpu = time.process_time() - began
    stats = going.stats
    counts = stats.completion_tokens, evaluations, stats.guessed_tokens, stats.accepted_tokens
    return text, Answer(stats.decode_seconds, cpu, *counts)
