"""Prefixes of prompts that stay evaluated in this process, whatever is asked in between."""

from collections.abc import Sequence
from dataclasses import dataclass

from lambda_llm.engine.cancellation import Cancellation
from lambda_llm.engine.decoder import Decoder, common_prefix


@dataclass(frozen=True)
class CacheScope:
    """Who may reuse what is evaluated for a request, besides the request itself.

    Attributes:
        tenant: the caller, as the server trusts to know it; nothing is ever shared between two tenants.
        session: the client's own name for a conversation: it shares nothing with others of the same tenant. None:
            conversations of one tenant that begin alike share their prefix.
    """

    tenant: str = ""
    session: str | None = None


@dataclass(frozen=True)
class _Pinned:
    tokens: Sequence[int]
    state: bytearray


class PrefixCache:
    """Chooses which known prefix a prompt's evaluation starts from: a pinned one, or what was evaluated last."""

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
        """Memory that they take, besides the KV cache."""
        return sum(len(prefix.state) for prefix in self._pinned)

    def pin(self, tokens: Sequence[int], cancellation: Cancellation | None = None) -> None:
        """Evaluate the prefix of prompts to come and keep a copy of its keys and values; hold the decoder's lock.

        Raises:
            EngineError: llama.cpp failed.
        """
        self._decoder.evaluate(tokens, cancellation)
        self._pinned.append(_Pinned(tuple(tokens), self._decoder.read_state(0, len(tokens))))

    def pinned_length(self, prompt: Sequence[int]) -> int:
        """How many tokens of a prompt a pinned prefix covers; it is the same in every process with these prefixes."""
        return max((self._usable(prefix.tokens, prompt) for prefix in self._pinned), default=0)

    def load(self, prompt: Sequence[int], scope: CacheScope) -> int:
        """Have the KV cache begin with as much of a prompt as this process knows; hold the decoder's lock.

        What was evaluated for another scope counts for nothing: how long an answer takes must not reveal what others
        have asked.

        Returns:
            How many tokens that is.

        Raises:
            EngineError: llama.cpp failed.
        """
        if scope != self._scope:
            self._decoder.truncate(self.pinned_length(self._decoder.evaluated))
            self._scope = scope
        cached = self._usable(self._decoder.evaluated, prompt)
        best = max(self._pinned, key=lambda prefix: self._usable(prefix.tokens, prompt), default=None)
        if best is None or (usable := self._usable(best.tokens, prompt)) <= cached:
            return cached
        self._decoder.truncate(0)
        self._decoder.append_state(best.tokens, best.state)
        return usable

    def _usable(self, tokens: Sequence[int], prompt: Sequence[int]) -> int:
        # The last token is always evaluated, for its logits.
        common = common_prefix(tokens, prompt[:-1])
        return common if self._decoder.model.divisible or common == len(tokens) else 0
