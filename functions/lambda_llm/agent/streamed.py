"""Inference over HTTP, streamed, for a person who watches: each piece of text is shown as it arrives.

The orchestrator stays awake meanwhile. An execution that nobody watches is suspended instead: see `durable.py`.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx2

from lambda_llm.agent.inference import OK, PATH
from lambda_llm.telemetry.context import correlation
from lambda_llm.telemetry.propagation import carried

SILENCE_SECONDS: Final = 120
"""Longest silence; the server sends a comment every few seconds."""

MOST_BYTES: Final = 16 * 1024 * 1024
"""Most that an answer may have, as events."""


class HTTPInference:
    """A server of OpenAI's API, asked with `stream`."""

    def __init__(
        self,
        url: str,
        auth: httpx2.Auth | None = None,
        shown: Callable[[str], None] | None = None,
    ) -> None:
        """Take the address; no request is sent.

        Args:
            url: of the server, with or without `/v1`.
            auth: signs the requests.
            shown: gets each piece of text.
        """
        self._url = url.rstrip("/").removesuffix("/v1") + PATH
        self._client = httpx2.Client(auth=auth, timeout=httpx2.Timeout(SILENCE_SECONDS, connect=10))
        self._shown = shown or (lambda _: None)

    def ask(self, request: Mapping[str, Any]) -> tuple[int, bytes, float]:
        """See `durable.Streamed.ask`."""
        asked = {**request, "stream": True, "stream_options": {"include_usage": True}}
        request_id = correlation().get("request_id")
        headers = {**carried(), **({} if request_id is None else {"x-request-id": request_id})}
        try:
            with self._client.stream("POST", self._url, json=asked, headers=headers) as response:
                if response.status_code != OK:
                    return response.status_code, response.read()[:MOST_BYTES], _seconds(response.headers)
                return OK, json.dumps(self._assembled(response)).encode(), 0.0
        except (httpx2.HTTPError, httpx2.SSEError, ValueError, KeyError, TypeError, IndexError):
            return 0, b"", 0.0

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _assembled(self, response: httpx2.Response) -> dict[str, Any]:
        """The completion that the chunks add up to.

        Raises:
            ValueError: the stream ended early, or has more than `MOST_BYTES`.
        """
        text: list[str] = []
        calls: dict[int, dict[str, str]] = {}
        last: dict[str, Any] = {}
        finish, size = "", 0
        for event in httpx2.EventSource(response):
            size += len(event.data)
            if size > MOST_BYTES:
                raise ValueError
            if event.data == "[DONE]":
                break
            chunk = json.loads(event.data)
            last = {**last, **{name: chunk[name] for name in ("created", "usage", "timings") if chunk.get(name)}}
            for choice in chunk["choices"]:
                delta = choice["delta"]
                if piece := delta.get("content"):
                    text.append(piece)
                    self._shown(piece)
                for call in delta.get("tool_calls") or ():
                    _add(calls.setdefault(call["index"], {"name": "", "arguments": ""}), call["function"])
                finish = choice.get("finish_reason") or finish
        if not finish:
            raise ValueError
        if text:
            self._shown("\n")
        message = {"content": "".join(text), "tool_calls": [{"function": calls[index]} for index in sorted(calls)]}
        return {**last, "choices": [{"message": message, "finish_reason": finish}]}


def _add(call: dict[str, str], delta: Mapping[str, Any]) -> None:
    call["name"] += delta.get("name") or ""
    call["arguments"] += delta.get("arguments") or ""


def _seconds(headers: httpx2.Headers) -> float:
    said = headers.get("retry-after", "")
    return float(said) if said.isascii() and said.isdigit() else 0.0
