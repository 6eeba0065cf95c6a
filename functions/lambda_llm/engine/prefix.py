"""Beginnings of prompts that stay evaluated in this process, whatever is asked in between."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lambda_llm.engine.model import Cancellation, Model


@dataclass(frozen=True)
class Scope:
    """Who may find what was evaluated for this request, besides the request itself.

    Attributes:
        tenant: the caller, as the server trusts to know it; nothing is ever shared between two tenants.
        session: the client's own name for a conversation: it shares nothing with others of the same tenant. None:
            conversations of one tenant that begin alike share their beginning.
    """

    tenant: str = ""
    session: str | None = None


@dataclass(frozen=True)
class _Prefix:
    tokens: Sequence[int]
    state: bytearray


class PrefixCache:
    """Chooses with which known beginning a prompt's evaluation starts: a kept one, or what was evaluated last."""

    def __init__(self, model: "Model") -> None:
        self._model = model
        self._prefixes: list[_Prefix] = []
        self._scope = Scope()

    @property
    def count(self) -> int:
        """How many beginnings are kept."""
        return len(self._prefixes)

    @property
    def bytes(self) -> int:
        """Memory that they take, besides the KV cache."""
        return sum(len(prefix.state) for prefix in self._prefixes)

    def keep(self, tokens: Sequence[int], cancellation: "Cancellation | None" = None) -> None:
        """Evaluate the beginning of prompts to come and keep a copy of its keys and values.

        The caller holds the model's lock.

        Raises:
            EngineError: llama.cpp failed.
        """
        self._model.evaluate(tokens, cancellation)
        self._prefixes.append(_Prefix(tuple(tokens), self._model.cached(0, len(tokens))))

    def covers(self, prompt: Sequence[int]) -> int:
        """How many tokens of a prompt every process with these prefixes knows."""
        return max((self._useful(prefix.tokens, prompt) for prefix in self._prefixes), default=0)

    def recall(self, prompt: Sequence[int], scope: Scope) -> int:
        """Have the KV cache begin with as much of a prompt as this process knows; the caller holds the model's lock.

        What was evaluated for another scope counts for nothing: how long an answer takes must not tell what others
        have asked.

        Returns:
            How many tokens that is.

        Raises:
            EngineError: llama.cpp failed.
        """
        if scope != self._scope:
            self._model.cut(self.covers(self._model.evaluated))
            self._scope = scope
        known = self._useful(self._model.evaluated, prompt)
        best = max(self._prefixes, key=lambda prefix: self._useful(prefix.tokens, prompt), default=None)
        if best is None or (useful := self._useful(best.tokens, prompt)) <= known:
            return known
        self._model.cut(0)
        self._model.restore(best.tokens, best.state)
        return useful

    def _useful(self, tokens: Sequence[int], prompt: Sequence[int]) -> int:
        # The last token is always evaluated, for its logits.
        common = common_prefix(tokens, prompt[:-1])
        return common if self._model.divisible or common == len(tokens) else 0


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two sequences have in common at their beginning."""
    return next(
        (index for index, (one, other) in enumerate(zip(first, second, strict=False)) if one != other),
        min(len(first), len(second)),
    )
