"""Bedrock's guardrails as a policy for any backend, functions of ours included: ApplyGuardrail.

A guardrail sees the text of a request before any backend does, and the text of an answer before the client does. It
fails closed: what it could not check goes nowhere. It blocks and never changes: where it would mask a part of a text,
the request is refused, as that text is one of many within a body of JSON, and half of it may have been sent already.
What is no text is refused too, as a guardrail for text can't see it. What a guardrail costs is nobody's budget.

A stream comes in windows: as many characters as `window` are held back until they are checked, together with the end of
what went before them, so that what is cut by a window's end is seen all the same.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ApplyGuardrail.html
"""

import hashlib
import json
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Final, Literal
from urllib.parse import quote

import httpx2

from lambda_llm.backends.contract import Chunk, Request
from lambda_llm.backends.errors import BackendError, Kind
from lambda_llm.backends.http import HTTP
from lambda_llm.router import texts

UNIT_CHARACTERS: Final = 1000
"""Characters that are billed as one text unit, of each policy of the guardrail.
Source: https://docs.aws.amazon.com/bedrock/latest/userguide/guardrails-how.html"""

REQUEST_CHARACTERS: Final = 25 * UNIT_CHARACTERS
"""Most characters of one request to a guardrail: what the smallest quota of most regions lets through in a second; a
longer one is refused by its ValidationException."""

OVERLAP_CHARACTERS: Final = 200
"""Of a text's end that are checked again with what follows it."""

_FAILURES: Final = (ValueError, KeyError, TypeError, AttributeError, RecursionError)

Source = Literal["INPUT", "OUTPUT"]

_NAMES: Final[Mapping[Source, str]] = {"INPUT": "request", "OUTPUT": "answer"}


class Guardrail:
    """One guardrail. The router's role needs `bedrock:ApplyGuardrail` on it."""

    def __init__(
        self,
        name: str,
        url: str,
        identifier: str,
        version: str,
        *,
        auth: httpx2.Auth,
        checks: frozenset[Source],
        window: int = UNIT_CHARACTERS,
    ) -> None:
        """Take the address; nothing is sent.

        Args:
            name: for errors.
            url: `endpoints.endpoint("bedrock-runtime", region)`, or that of a VPC endpoint.
            identifier: id or ARN of the guardrail.
            version: number, or `DRAFT`.
            auth: signs each request, for `bedrock`.
            checks: what is checked.
            window: characters of a stream that are checked at once, the end of the window before included.
        """
        self.name = name
        self._http = HTTP(f"guardrail {name}", url, auth)
        self._path = f"/guardrail/{quote(identifier, safe='')}/version/{quote(version, safe='')}/apply"
        self._checks = checks
        self._window = window

    async def check(self, request: Request) -> None:
        """Check a request before a backend gets it.

        Raises:
            BackendError: it is blocked; it has what can't be checked; or the guardrail did not answer.
        """
        if "INPUT" not in self._checks:
            return
        try:
            given = list(texts.asked(request.body))
        except texts.UnseenError as error:
            field = str(error)
            raise BackendError(
                Kind.UNSUPPORTED,
                f"The guardrail {self.name!r} checks text alone, and can't see {field!r}: leave it out, or send text.",
                param=field,
            ) from None
        await self._apply(request, "INPUT", given)

    async def checked(self, request: Request, chunks: AsyncGenerator[Chunk]) -> AsyncGenerator[Chunk]:
        """The same chunks, each after all of its text was checked.

        Args:
            request: that is answered.
            chunks: of the answer; closed at the end.

        Raises:
            BackendError: from `chunks`, after what came before it; or a part is blocked, or was not checked: nothing of
                it was yielded.
        """
        if "OUTPUT" not in self._checks:
            async with aclosing(chunks):
                async for each in chunks:
                    yield each
            return
        held = _Held(self._window if request.stream else None)
        began, more = False, True
        async with aclosing(chunks):
            while more:
                more, failure = await self._held(held, chunks)
                try:
                    await self._apply(request, "OUTPUT", held.texts())
                except BackendError as error:
                    error.started = began
                    raise
                for each in held.released():
                    yield each
                    began = True
                if failure is not None:
                    raise failure

    async def close(self) -> None:
        """Close the connections: a snapshot must not contain an open one."""
        await self._http.close()

    async def _held(self, held: "_Held", chunks: AsyncGenerator[Chunk]) -> tuple[bool, BackendError | None]:
        """Hold chunks until it is time to check them: whether there may be more, and how they ended early."""
        try:
            async for chunk in chunks:
                held.add(chunk)
                if held.full:
                    return True, None
        except BackendError as error:
            return False, error
        except (ValueError, RecursionError):
            return False, BackendError(
                Kind.BROKEN, f"The answer is no JSON, so that the guardrail {self.name!r} can't check it."
            )
        return False, None

    async def _apply(self, request: Request, source: Source, given: Iterable[str]) -> None:
        for text in _parts("\n".join(given)):
            body = json.dumps({"source": source, "content": [{"text": {"text": text}}]}).encode()
            try:
                async with self._http.post(request, self._path, body) as response:
                    content = await self._http.whole(response.aiter_bytes())
                intervened = _intervened(content)
            except BackendError as error:
                raise self._unchecked(source, error) from None
            except _FAILURES:
                raise self._unchecked(source, self._http.broken("is none of ApplyGuardrail")) from None
            if intervened is not None:
                raise BackendError(Kind.BLOCKED, f"The guardrail {self.name!r} {intervened.format(_NAMES[source])}")

    def _unchecked(self, source: Source, error: BackendError) -> BackendError:
        """The error where nobody knows what a guardrail would say: nothing is wrong with the client's request."""
        kind = error.kind if error.kind in {Kind.THROTTLED, Kind.TIMEOUT} else Kind.UNAVAILABLE
        sentence = (
            f"The guardrail {self.name!r} did not check the {_NAMES[source]}, which goes nowhere without: {error}"
        )
        return BackendError(kind, sentence, retry_after=error.retry_after)


class _Held:
    """Chunks of an answer that are not checked yet, and the end of the text before them."""

    def __init__(self, window: int | None) -> None:
        self._window = window
        self._chunks: list[Chunk] = []
        self._pending: dict[str, str] = {}
        self._tails: dict[str, str] = {}
        self._digests: dict[str, Any] = {}

    def add(self, chunk: Chunk) -> None:
        """Hold a chunk; raises ValueError or RecursionError: it is no JSON."""
        found = list(texts.answered(chunk.data))
        for name, text in found:
            if len(text) > OVERLAP_CHARACTERS and self._known(text):
                continue  # Responses says a text again, whole, once all of its pieces have come
            self._pending[name] = self._pending.get(name, "") + text
            self._digests.setdefault(name, hashlib.sha256()).update(_bytes(text))
        self._chunks.append(chunk)

    @property
    def full(self) -> bool:
        """Whether it is time to check."""
        if self._window is None:
            return False
        size = sum(len(self._tails.get(name, "")) + len(text) for name, text in self._pending.items())
        return size >= self._window or len(self._chunks) >= self._window

    def texts(self) -> list[str]:
        """What is to be checked."""
        return [self._tails.get(name, "") + text for name, text in self._pending.items()]

    def released(self) -> Iterator[Chunk]:
        """The chunks, once they are checked."""
        for name, text in self._pending.items():
            self._tails[name] = (self._tails.get(name, "") + text)[-OVERLAP_CHARACTERS:]
        self._pending = {}
        chunks, self._chunks = self._chunks, []
        yield from chunks

    def _known(self, text: str) -> bool:
        digest = hashlib.sha256(_bytes(text)).digest()
        return any(each.digest() == digest for each in self._digests.values())


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _parts(text: str) -> Iterator[str]:
    """A text in parts that one request takes; each begins with the end of the one before. None: it is blank."""
    start = 0
    while text[start:].strip():
        yield text[start : start + REQUEST_CHARACTERS]
        if start + REQUEST_CHARACTERS >= len(text):
            return
        start += REQUEST_CHARACTERS - OVERLAP_CHARACTERS


def _intervened(content: bytes) -> str | None:
    """What a guardrail did, to be formatted with what it was asked about; None: nothing.

    Its answer has the words that it found. They stay here.
    """
    answer = json.loads(content)
    if answer["action"] == "NONE":
        return None
    if answer["action"] != "GUARDRAIL_INTERVENED":
        raise ValueError
    actions: dict[str, set[str]] = {}
    for assessment in answer.get("assessments", ()):
        for policy, found in assessment.items():
            if policy.endswith("Policy"):
                actions.setdefault(policy, set()).update(_actions(found))
    blocking = sorted(policy for policy, done in actions.items() if "BLOCKED" in done)
    if not blocking and any("ANONYMIZED" in done for done in actions.values()):
        return "would mask a part of the {}, which the router does not do: leave out what is sensitive in it."
    return f"blocked the {{}}{' by its ' + ' and '.join(blocking) if blocking else ''}."


def _actions(found: Any) -> Iterator[str]:
    """The actions of what a policy found, whatever the lists are called."""
    if isinstance(found, Mapping):
        if isinstance(found.get("action"), str):
            yield found["action"]
        for each in found.values():
            yield from _actions(each)
    elif isinstance(found, list):
        for each in found:
            yield from _actions(each)
