"""Guesses of the next tokens of an answer: what followed the same tokens in its prompt, its prediction or itself.

A guess changes only the time: it is evaluated together with the token before it, and kept as far as the sampler then
chooses the same tokens.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from lambda_llm.engine.decoder import Decoder
from lambda_llm.gguf.memory_plan import GUESSED_MAX

MATCHED: Final = (4, 3)
"""Tokens that must be the same, the longest first: behind fewer, guesses are wrong more often than they pay."""

PAUSE_TOKENS: Final = 32
PAUSE_TOKENS_MAX: Final = 512
"""How long nothing is guessed once guesses have stopped to pay; doubled each time that they still don't."""

_WEIGHT: Final = 0.25
"""Of the last guess in the running mean of what guesses gain."""
_LOSS_MAX: Final = 0.25
"""Tokens per guess that they may lose in that mean: one wrong guess is no reason to pause."""

TOKEN_SECONDS_MIN: Final = 0.005
"""Faster tokens are not worth guessing: what Python does for a guess is no longer small beside them."""
COST_MAX: Final = 2.2
"""A token with a whole guess behind it may cost as many tokens: two of three must be right to break even above it."""
_MEASURED: Final = 3


class Lookup:
    """Finds what followed the last tokens where they stood before, in a time that does not grow with their number."""

    def __init__(self, prompt: Sequence[int], predicted: Sequence[int] = ()) -> None:
        """Index the tokens that are known before the answer.

        Args:
            prompt: token ids, behind which the answer follows.
            predicted: what the answer may be, in whole or in parts.
        """
        self._tokens: list[int] = []
        self._places: dict[int, dict[tuple[int, ...], int]] = {length: {} for length in MATCHED}
        for token in chain(predicted, prompt):
            self.add(token)
        if predicted:  # it is expected to begin where the prompt ends
            for length, places in self._places.items():
                for begun in range(length):
                    places[*self._tokens[begun - length :], *predicted[:begun]] = begun

    def __len__(self) -> int:
        return len(self._tokens)

    def add(self, token: int) -> None:
        """Go on by a token of the answer."""
        tokens, place = self._tokens, len(self._tokens)
        for length, places in self._places.items():
            if place >= length:
                places[tuple(tokens[-length:])] = place
        tokens.append(token)

    def following(self, count: int) -> list[int]:
        """Up to `count` tokens that followed the last occurrence of the last tokens; none: there is no such."""
        for length, places in self._places.items():
            place = places.get(tuple(self._tokens[-length:]))
            if place is not None:
                return self._tokens[place : place + count]
        return []


class Guesses:
    """The guesses of one generation, which pause while they don't pay.

    Attributes:
        drafted: tokens that were guessed.
        accepted: those of them that were chosen and needed no evaluation any more.
    """

    def __init__(self, prompt: Sequence[int], predicted: Sequence[int], cost: float) -> None:
        """Begin with the prompt; it is indexed when the first guess is asked for, behind the first token.

        Args:
            prompt: token ids.
            predicted: see `Lookup`.
            cost: of a token with a whole guess behind it, in tokens.
        """
        self.drafted = 0
        self.accepted = 0
        self._known = prompt, predicted
        self._said: list[int] = []
        self._lookup: Lookup | None = None
        self._cost = (cost - 1) / GUESSED_MAX
        self._open: tuple[int, int] | None = None
        self._gain = 0.0
        self._pause = PAUSE_TOKENS
        self._resumes = 0

    def add(self, token: int) -> None:
        """Go on by a token of the answer."""
        if self._lookup is None:
            self._said.append(token)
        else:
            self._lookup.add(token)

    def keep(self, count: int) -> None:
        """So many more tokens of the last guess are right."""
        self.accepted += count
        if self._open and count:
            drafted, accepted = self._open
            self._open = drafted, accepted + count

    def next(self, most: int) -> list[int]:
        """Guess; whatever the last guess has got by now is all that it gets.

        Args:
            most: tokens.
        """
        if self._lookup is None:
            self._lookup = Lookup(*self._known)
            for token in self._said:
                self._lookup.add(token)
        self._judge(len(self._lookup))
        if most < 1 or len(self._lookup) < self._resumes:
            return []
        guess = self._lookup.following(most)
        if guess:
            self.drafted += len(guess)
            self._open = len(guess), 0
        return guess

    def _judge(self, tokens: int) -> None:
        if self._open is None:
            return
        drafted, accepted = self._open
        self._open = None
        self._gain += _WEIGHT * (accepted - drafted * self._cost - self._gain)
        if self._gain > 0:
            self._pause = PAUSE_TOKENS
        elif self._gain < -_LOSS_MAX:
            self._gain = 0.0
            self._resumes = tokens + self._pause
            self._pause = min(2 * self._pause, PAUSE_TOKENS_MAX)


@dataclass(frozen=True)
class Cost:
    """What tokens cost, measured.

    Attributes:
        token_seconds: of one token alone.
        ratio: of a token with a whole guess behind it to that.
    """

    token_seconds: float
    ratio: float

    @property
    def pays(self) -> bool:
        """Whether guesses can save time."""
        return self.token_seconds >= TOKEN_SECONDS_MIN and self.ratio <= COST_MAX


def measured(decoder: Decoder) -> Cost | None:
    """Measure what guesses cost behind the tokens that are evaluated, which stay as they are; hold the decoder's lock.

    Returns:
        The cost; None where nothing can be guessed behind these tokens.

    Raises:
        EngineError: llama.cpp failed.
    """
    count = len(decoder.evaluated)
    if not count or decoder.guess_room(1) < GUESSED_MAX:
        return None
    token = decoder.evaluated[-1]

    def seconds(guess: Sequence[int]) -> float:
        decoder.truncate(count)
        began = time.perf_counter()
        decoder.append(token, guess=guess)
        return time.perf_counter() - began

    for guess in ((), [token] * GUESSED_MAX):  # memory that only the first of its kind touches
        seconds(guess)
    alone, together = (min(seconds(guess) for _ in range(_MEASURED)) for guess in ((), [token] * GUESSED_MAX))
    decoder.truncate(count)
    return Cost(alone, together / alone)
