"""Prefix cache: reuse of keys and values within this process, with pinned prefixes that other requests don't evict."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from lambda_llm.engine.cancellation import Cancellation
from lambda_llm.engine.decoder import Decoder, common_prefix
from lambda_llm.engine.errors import EngineError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CacheScope:
    """Which other requests may reuse the keys and values of a request: those of an equal scope.

    Attributes:
        tenant: the caller's identity, where the server trusts it; two tenants never share anything.
        session: id of a conversation, which then shares nothing with the tenant's other ones.
            None: conversations of one tenant share their common prefix.
    """

    tenant: str = ""
    session: str | None = None


@dataclass(frozen=True)
class _Pinned:
    tokens: Sequence[int]
    state: bytearray


class PrefixCache:
    """Finds the longest prefix of a prompt that needs no prefill: a pinned one, or one left in the KV cache."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._pinned: list[_Pinned] = []
        self._scope = CacheScope()

    @property
    def count(self) -> int:
        """How many prefixes are pinned."""
        return len(self._pinned)

    @property
    def bytes(self) -> int:
        """Memory of pinned prefixes, in addition to the KV cache."""
        return sum(len(prefix.state) for prefix in self._pinned)

    def pin(self, tokens: Sequence[int], cancellation: Cancellation | None = None) -> None:
        """Evaluate a prefix of future prompts and keep a copy of its keys and values; hold the decoder's lock.

        Args:
            tokens: the prefix, at least one token.
            cancellation: ends the evaluation.

        Raises:
            CancelledError: `cancellation` was called; nothing was pinned.
            EngineError: llama.cpp failed; nothing was pinned.
        """
        self._decoder.evaluate(tokens, cancellation)
        self._pinned.append(_Pinned(tuple(tokens), self._decoder.read_state(0, len(tokens))))

    def pinned_length(self, prompt: Sequence[int]) -> int:
        """How many tokens of a prompt a pinned prefix covers; equal in every process with the same pinned prefixes."""
        return max((self._usable(prefix.tokens, prompt) for prefix in self._pinned), default=0)

    def load(self, prompt: Sequence[int], scope: CacheScope) -> int:
        """Make the KV cache start with the longest known prefix of a prompt; hold the decoder's lock.

        Tokens evaluated for another scope are dropped first: the time to first token must not reveal the prompts of
        others.

        Args:
            prompt: token ids, at least one.
            scope: of the request.

        Returns:
            Length of that prefix, in tokens.
        """
        if scope != self._scope:
            self._decoder.truncate(self.pinned_length(self._decoder.evaluated))
            self._scope = scope
        cached = self._usable(self._decoder.evaluated, prompt)
        best = max(self._pinned, key=lambda prefix: self._usable(prefix.tokens, prompt), default=None)
        if best is None or (usable := self._usable(best.tokens, prompt)) <= cached:
            return cached
        self._decoder.truncate(0)
        try:
            self._decoder.append_state(best.tokens, best.state)
        except EngineError as error:
            logger.warning("a pinned prefix is evaluated again: %s", error)
            return 0
        return usable

    def _usable(self, tokens: Sequence[int], prompt: Sequence[int]) -> int:
        # The last token is always evaluated: its logits are needed.
        common = common_prefix(tokens, prompt[:-1])
        return common if self._decoder.model.divisible or common == len(tokens) else 0
