"""An answer as it arrives, beside the server's own clock."""

import contextlib
import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from lambda_llm.cli.probes.deployment import Deployment, RefusedError, asking

LONG: Final[dict[str, Any]] = {
    "type": "json_schema",
    "json_schema": {
        "name": "numbers",
        "schema": {"type": "array", "items": {"type": "integer"}, "minItems": 1000},
    },
}
"""A format whose answers end only with the tokens that are allowed, whatever the model."""


class Arrival(NamedTuple):
    """A chunk with text.

    Attributes:
        at: when it arrived, as `time.perf_counter` tells it.
        server: seconds from the answer's first token to the chunk's last one by the server's clock; None: not told.
    """

    at: float
    server: float | None


@dataclass
class Answer:
    """An answer so far.

    Attributes:
        began: when the request was sent.
        request_id: Lambda's; empty elsewhere.
        arrivals: every chunk with text.
        timings: of the last chunk: llama-server's names.
        prompt_tokens: of the whole prompt.
        cached_tokens: those of them that were in the KV cache; None until the answer has ended.
        tokens: of the answer; 0 until it has ended.
        text: what has arrived of the content.
        ended: when it had arrived as a whole; None before.
    """

    began: float
    request_id: str = ""
    arrivals: list[Arrival] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    prompt_tokens: int = 0
    cached_tokens: int | None = None
    tokens: int = 0
    text: str = ""
    ended: float | None = None

    @property
    def first_token_seconds(self) -> float:
        """From sending the request to the first chunk with text; 0 before."""
        return self.arrivals[0].at - self.began if self.arrivals else 0.0

    def read(self, lines: Iterator[str], chunks: int | None = None) -> None:
        """Read so many chunks with text, or all.

        Args:
            lines: of the response, which go on where they were left.
            chunks: how many.

        Raises:
            RefusedError: the server failed in the midst of the answer, or it can't be read.
        """
        for line in lines:
            at = time.perf_counter()
            if line.startswith("data: {") and self._take(at, _parsed(line[len("data: ") :])):
                chunks = None if chunks is None else chunks - 1
                if chunks == 0:
                    return
        self.ended = time.perf_counter()

    def _take(self, at: float, chunk: dict[str, Any]) -> bool:
        """Note what a chunk says; returns whether it has text."""
        if error := chunk.get("error"):
            raise RefusedError(f"The answer ended in an error: {error.get('message')}")
        self.timings = chunk.get("timings") or self.timings
        if usage := chunk.get("usage"):
            self.prompt_tokens, self.tokens = usage["prompt_tokens"], usage["completion_tokens"]
            self.cached_tokens = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
        delta = chunk["choices"][0]["delta"] if chunk.get("choices") else {}
        self.text += delta.get("content") or ""
        if not (delta.get("content") or delta.get("reasoning_content")):
            return False
        server = self.timings.get("predicted_ms")
        self.arrivals.append(Arrival(at, None if server is None else server / 1000))
        return True


def _parsed(event: str) -> dict[str, Any]:
    try:
        chunk: dict[str, Any] = json.loads(event)
    except ValueError as error:
        raise RefusedError(f"An event of the answer is no JSON ({error}): something changed it on its way.") from error
    return chunk


@contextlib.contextmanager
def answering(
    deployment: Deployment, *messages: Any, max_tokens: int, long: bool = False
) -> Iterator[tuple[Answer, Iterator[str]]]:
    """Send a chat request; leaving the context before the answer has been read is how its client leaves.

    Args:
        deployment: that is asked.
        messages: of the conversation; default: a question that no cache knows.
        max_tokens: the answer's limit.
        long: whether the answer goes on until then.

    Raises:
        RefusedError: the server refused, also while the answer is read within the context.
    """
    model = deployment.health["model"]
    answer = Answer(time.perf_counter())
    with (
        asking(),
        # Lines, as the client's own chunks would cost more time than a tiny model's tokens.
        deployment.openai.chat.completions.with_streaming_response.create(
            model=model,
            messages=list(messages) or [question()],
            max_tokens=max_tokens,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"timings_per_token": True, **({"response_format": LONG} if long else {})},
        ) as response,
    ):
        answer.request_id = response.headers.get("x-amzn-requestid", "")
        yield answer, response.iter_lines()


def answered(deployment: Deployment, *messages: Any, max_tokens: int, long: bool = False) -> Answer:
    """The same, read to its end."""
    with answering(deployment, *messages, max_tokens=max_tokens, long=long) as (answer, lines):
        answer.read(lines)
    return answer


def next_turn(first: Any, answer: Answer) -> list[Any]:
    """The messages of the next turn of a conversation, which continues what the server has evaluated."""
    return [first, {"role": "assistant", "content": answer.text}, {"role": "user", "content": "Go on."}]


def question(text: str = "Write numbers, one after the other.") -> Any:
    """A user's message that no cache has seen."""
    return {"role": "user", "content": f"{secrets.token_hex(4)}: {text}"}
