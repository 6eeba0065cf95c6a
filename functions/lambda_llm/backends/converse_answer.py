"""Answers of Bedrock's Converse and ConverseStream as OpenAI's chat completions.

Reasoning is `reasoning_content`, as DeepSeek's API, vLLM and llama-server have it.

Sources: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
"""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from typing import Any, Final

from lambda_llm.backends.contract import Chunk, Request
from lambda_llm.backends.converse_request import may_call
from lambda_llm.backends.errors import Kind
from lambda_llm.backends.events import aws_events, fields_of
from lambda_llm.backends.http import HTTP, says_too_long
from lambda_llm.backends.openai_http import usage_of

_FINISH_REASONS: Final[Mapping[str, str]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}

_EXCEPTIONS: Final[Mapping[str, Kind]] = {
    "InternalServerException": Kind.UNAVAILABLE,
    "ModelTimeoutException": Kind.TIMEOUT,
    "ServiceUnavailableException": Kind.UNAVAILABLE,
    "ThrottlingException": Kind.THROTTLED,
    "ValidationException": Kind.INVALID,
}


class ConverseAnswer:
    """An answer to one request."""

    def __init__(self, request: Request, model: str, http: HTTP) -> None:
        """Take what is known before the answer.

        Args:
            request: that is answered.
            model: its name in the answer.
            http: that the answer comes from, for errors.
        """
        self._http = http
        self._may_call = may_call(request.body)
        self._head = {
            "id": f"chatcmpl-{request.id}",
            "object": "chat.completion.chunk" if request.stream else "chat.completion",
            "created": int(time.time()),
            "model": model,
        }
        self._calls: dict[int, int] = {}
        """Index of a block, to that of its call."""
        self._without_arguments: set[int] = set()

    def whole(self, content: bytes) -> Chunk:
        """The only chunk of an answer in one piece.

        Raises:
            BackendError: it is no answer of Converse, or the model's output is malformed.
        """
        try:
            return self._whole(json.loads(content))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise self._http.broken("is no answer of Converse") from None

    def _whole(self, answer: dict[str, Any]) -> Chunk:
        finish = self._finish(answer["stopReason"])
        texts, thoughts, calls = [], [], []
        for block in answer["output"]["message"]["content"]:
            match block:
                case {"text": str(text)}:
                    texts.append(text)
                case {"reasoningContent": reasoning}:
                    thoughts.append(reasoning.get("reasoningText", {}).get("text", ""))
                case {"citationsContent": {"content": parts}}:
                    texts += [part["text"] for part in parts]
                case {"toolUse": {"toolUseId": str(call), "name": str(name), "input": arguments}}:
                    self._check_call()
                    function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
                    calls.append({"id": call, "type": "function", "function": function})
                case _:
                    raise self._unknown_part()
        message: dict[str, Any] = {
            "role": "assistant",
            "content": "".join(texts) or (None if calls else ""),
            "refusal": None,
        }
        if thought := "".join(thoughts):
            message["reasoning_content"] = thought
        if calls:
            message["tool_calls"] = calls
        usage = _usage(answer.get("usage"))
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        completion: dict[str, Any] = {**self._head, "choices": [choice]}
        if usage:
            completion["usage"] = usage
        if isinstance(tier := answer.get("serviceTier"), dict) and isinstance(tier.get("type"), str):
            completion["service_tier"] = tier["type"]
        return Chunk(_json(completion), usage=usage_of(usage))

    async def streamed(self, parts: AsyncIterator[bytes]) -> AsyncGenerator[Chunk]:
        """The chunks of a stream of events.

        Args:
            parts: of the stream, cut anywhere.

        Raises:
            BackendError: the stream has an exception, what is no event of ConverseStream, or ends before
                `messageStop`; or the model's output is malformed.
        """
        stopped = False
        async for event, payload in aws_events(parts, self._http, _kind_of):
            if stopped and event != "metadata":
                continue
            try:
                chunks = list(self._chunks(event, fields_of(payload)))
            except (KeyError, TypeError, AttributeError):
                raise self._http.broken("has an event that is none of ConverseStream") from None
            stopped = stopped or event == "messageStop"
            for chunk in chunks:
                yield chunk
        if not stopped:
            raise self._http.broken("ends in the middle")

    def _chunks(self, event: str, fields: Mapping[str, Any]) -> Iterator[Chunk]:
        match event:
            case "messageStart":
                yield self._delta({"role": "assistant", "content": ""})
            case "contentBlockStart":
                yield from self._started(fields["contentBlockIndex"], fields["start"])
            case "contentBlockDelta":
                yield from self._added(fields["contentBlockIndex"], fields["delta"])
            case "contentBlockStop":
                if (block := fields["contentBlockIndex"]) in self._without_arguments:
                    self._without_arguments.remove(block)
                    yield self._call_delta(block, {"function": {"arguments": "{}"}})
            case "messageStop":
                yield self._delta({}, self._finish(fields["stopReason"]))
            case "metadata":
                # It comes last, as the chunk with usage does in OpenAI's streams.
                if usage := _usage(fields["usage"]):
                    data = _json({**self._head, "choices": [], "usage": usage})
                    yield Chunk(data, usage=usage_of(usage), usage_only=True)
            case _:
                raise KeyError(event)

    def _started(self, block: int, start: Mapping[str, Any]) -> Iterator[Chunk]:
        if "toolUse" not in start:
            raise self._unknown_part()
        self._check_call()
        call = start["toolUse"]
        self._calls[block] = len(self._calls)
        self._without_arguments.add(block)
        function = {"name": call["name"], "arguments": ""}
        yield self._call_delta(block, {"id": call["toolUseId"], "type": "function", "function": function})

    def _added(self, block: int, delta: Mapping[str, Any]) -> Iterator[Chunk]:
        match delta:
            case {"text": str(text)}:
                yield self._delta({"content": text})
            case {"reasoningContent": {"text": str(text)}}:
                yield self._delta({"reasoning_content": text})
            case {"toolUse": {"input": str(piece)}}:
                if piece:
                    self._without_arguments.discard(block)
                    yield self._call_delta(block, {"function": {"arguments": piece}})
            case {"reasoningContent": _} | {"citation": _}:
                pass  # a signature of the reasoning; where a text is from, which only documents have
            case _:
                raise self._unknown_part()

    def _call_delta(self, block: int, call: Mapping[str, Any]) -> Chunk:
        return self._delta({"tool_calls": [{"index": self._calls[block], **call}]})

    def _delta(self, delta: Mapping[str, Any], finish: str | None = None) -> Chunk:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return Chunk(_json({**self._head, "choices": [choice]}))

    def _finish(self, reason: str) -> str:
        if reason.startswith("malformed_"):
            raise self._http.broken("is malformed, as Bedrock says")
        if reason not in _FINISH_REASONS:
            raise self._http.broken("ends for a reason that chat completions don't have")
        return _FINISH_REASONS[reason]

    def _check_call(self) -> None:
        if not self._may_call:
            raise self._http.broken("calls a tool, although the request says 'none'")

    def _unknown_part(self) -> Exception:
        return self._http.broken("has a part that chat completions don't have")


def _kind_of(name: str, payload: bytes) -> Kind:
    kind = _EXCEPTIONS.get(name, Kind.BROKEN)
    return Kind.TOO_LONG if kind is Kind.INVALID and says_too_long(payload) else kind


def _usage(usage: Any) -> dict[str, Any] | None:
    """Usage as chat completions have it: Bedrock's `inputTokens` are those that no cache had.

    Source: https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html
    """
    if not isinstance(usage, dict):
        return None
    read, written = (usage.get(f"cache{what}InputTokens") or 0 for what in ("Read", "Write"))
    given = usage["inputTokens"] + read + written
    output = usage["outputTokens"]
    return {
        "prompt_tokens": given,
        "completion_tokens": output,
        "total_tokens": given + output,
        "prompt_tokens_details": {"cached_tokens": read},
    }


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
