"""Responses from a backend that has chat completions alone: translated there and back, in one piece.

What chat completions have no word for is refused by the name of its field, as is what an earlier response would have to
be known for: each request has the whole conversation.

Sources: https://platform.openai.com/docs/api-reference/responses/create,
    https://platform.openai.com/docs/api-reference/chat/create
"""

import json
import time
import uuid
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

from lambda_llm.backends.contract import Backend, Chunk, Operation, Request
from lambda_llm.backends.converse_request import UnsupportedFieldError
from lambda_llm.backends.errors import BackendError, Kind

_SAME: Final = (
    *("model", "temperature", "top_p", "parallel_tool_calls", "service_tier", "user"),
    *("safety_identifier", "prompt_cache_key", "prompt_cache_retention"),
)
"""Fields that chat completions have too."""

_NOTHING: Final[Mapping[str, tuple[Any, ...]]] = {
    "background": (False,),
    "include": ([],),
    "stream": (False,),
    "top_logprobs": (0,),
    "truncation": ("disabled",),
    "store": (False, True),
}
"""Values that ask for nothing of the model."""

_HERE: Final = frozenset(
    {*_SAME, *_NOTHING, "input", "instructions", "max_output_tokens", "metadata", "reasoning", "text", "tools"}
    | {"tool_choice"}
)

_CHAT_NAMES: Final[Mapping[str, str]] = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
    "verbosity": "text.verbosity",
}
"""What chat completions call the fields that are called otherwise here."""

_OF_ITEMS: Final = ("id", "status")
"""What items of earlier responses have besides, and the model does not get."""

_INCOMPLETE: Final[Mapping[str, str]] = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why a response is incomplete, by what ended the chat completion."""


class ResponsesOverChat:
    """See the module."""

    def __init__(self, name: str, chat: Backend) -> None:
        """Take the backend.

        Args:
            name: of it, for errors.
            chat: that has chat completions; every other operation is left to it.
        """
        self._name = name
        self._chat = chat

    def unsupported(self, request: Request) -> str | None:
        """See `contract.Backend`."""
        if request.operation is not Operation.RESPONSES:
            return self._chat.unsupported(request)
        try:
            field = self._chat.unsupported(_translated(request))
        except UnsupportedFieldError as error:
            return str(error)
        # Positions are others here: instructions are a message, and several items may be one.
        first = (field or "").partition(".")[0]
        return _CHAT_NAMES.get(first, field)

    async def open(self, request: Request) -> AsyncGenerator[Chunk]:
        """See `contract.Backend`."""
        try:
            responses = request.operation is Operation.RESPONSES
            asked = _translated(request) if responses else request
        except UnsupportedFieldError as error:
            raise BackendError(
                Kind.UNSUPPORTED,
                f"The backend {self._name!r} has chat completions alone, which have no {str(error)!r}: leave it out, "
                "or choose another model.",
                param=str(error),
            ) from None
        async with aclosing(self._chat.open(asked)) as chunks:
            async for chunk in chunks:
                yield replace(chunk, data=self._answered(request, chunk.data)) if responses else chunk

    async def close(self) -> None:
        """See `contract.Backend`."""
        await self._chat.close()

    def _answered(self, request: Request, content: bytes) -> bytes:
        try:
            response = response_of(json.loads(content), request.body)
        except (KeyError, IndexError, TypeError, AttributeError):
            raise BackendError(
                Kind.BROKEN, f"The answer of the backend {self._name!r} is no chat completion."
            ) from None
        return json.dumps(response, separators=(",", ":")).encode()


def echoed(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a response repeats of its request.

    Args:
        body: of the request.
    """
    text = body.get("text")
    return {
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": body.get("metadata") or {},
        "model": body.get("model"),
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "previous_response_id": None,
        "reasoning": body.get("reasoning"),
        "temperature": body.get("temperature"),
        "text": text if text is not None else {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p"),
        "truncation": body.get("truncation") or "disabled",
        "user": body.get("user"),
    }


# -- the request ------------------------------------------------------------------------------------


def _translated(request: Request) -> Request:
    return replace(request, operation=Operation.CHAT, body=chat_request(request.body))


def chat_request(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a request for a chat completion.

    Args:
        body: of a request for a response.

    Raises:
        UnsupportedFieldError: chat completions can't honour a field, or it is no such request.
    """
    given = {name: value for name, value in body.items() if value is not None}
    for name, value in given.items():
        if name not in _HERE or (
            name in _NOTHING and not any(value is each or value == each for each in _NOTHING[name])
        ):
            raise UnsupportedFieldError(name)
    text, reasoning = _object(given.get("text", {}), "text"), _object(given.get("reasoning", {}), "reasoning")
    _only(text, ("format", "verbosity"), "text")
    _only(reasoning, ("effort",), "reasoning")
    translated = {
        "messages": list(_messages(given)),
        "max_tokens": given.get("max_output_tokens"),
        "response_format": _format(text.get("format")),
        "verbosity": text.get("verbosity"),
        "reasoning_effort": reasoning.get("effort"),
        "tools": [_tool(tool, f"tools.{number}") for number, tool in enumerate(_list(given.get("tools", []), "tools"))],
        "tool_choice": _choice(given.get("tool_choice")),
        **{name: given.get(name) for name in _SAME},
    }
    return {name: value for name, value in translated.items() if value not in (None, [])}


def _messages(given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The conversation, in which reasoning, text and calls of one turn of the model are one message."""
    if (instructions := given.get("instructions")) is not None:
        yield {"role": "system", "content": _texts(instructions, "instructions")}
    items = given.get("input")
    if isinstance(items, str):
        yield {"role": "user", "content": items}
        return
    turn: dict[str, Any] = {}
    for number, item in enumerate(_list(items, "input")):
        message = _message(_object(item, f"input.{number}"), f"input.{number}")
        if turn and (message["role"] != "assistant" or _begins(turn, message)):
            yield turn
            turn = {}
        if message["role"] != "assistant":
            yield message
            continue
        calls = [*turn.get("tool_calls", []), *message.get("tool_calls", [])]
        turn = {"content": None} | turn | message | ({"tool_calls": calls} if calls else {})
    if turn:
        yield turn


def _begins(turn: Mapping[str, Any], message: Mapping[str, Any]) -> bool:
    """Whether a part of a turn begins the next one: reasoning, text and calls come once in each, in this order."""
    beyond = turn["content"] is not None or "tool_calls" in turn
    return "reasoning_content" in message or ("content" in message and beyond)


def _message(item: Mapping[str, Any], path: str) -> dict[str, Any]:
    match item:
        case {"type": "function_call", "call_id": str(call_id), "name": str(name), "arguments": str(arguments), **rest}:
            _only(rest, _OF_ITEMS, path)
            function = {"name": name, "arguments": arguments}
            return {"role": "assistant", "tool_calls": [{"id": call_id, "type": "function", "function": function}]}
        case {"type": "function_call_output", "call_id": str(call_id), "output": output, **rest}:
            _only(rest, _OF_ITEMS, path)
            return {"role": "tool", "tool_call_id": call_id, "content": _texts(output, f"{path}.output")}
        case {"type": "reasoning", **rest}:
            _only(rest, (*_OF_ITEMS, "summary", "content"), path)
            name = "content" if item.get("content") else "summary"
            return {"role": "assistant", "reasoning_content": _texts(item.get(name) or [], f"{path}.{name}")}
        case {"role": "user" | "assistant" | "system" | "developer" as role, "content": content, **rest}:
            _only(rest, (*_OF_ITEMS, "type"), path)
            if rest.get("type", "message") == "message":
                return _said(role, content, f"{path}.content")
    raise UnsupportedFieldError(path)


def _said(role: str, content: Any, path: str) -> dict[str, Any]:
    if role == "user" and isinstance(content, list):
        return {"role": role, "content": [_part(part, f"{path}.{number}") for number, part in enumerate(content)]}
    return {"role": "system" if role == "developer" else role, "content": _texts(content, path)}


def _part(part: Any, path: str) -> dict[str, Any]:
    match part:
        case {"type": "input_text" | "text", "text": str(text)}:
            return {"type": "text", "text": text}
        case {"type": "input_image", "image_url": str(url), **rest} if not {*rest} - {"detail"}:
            detail = rest.get("detail")
            return {"type": "image_url", "image_url": {"url": url, **({"detail": detail} if detail else {})}}
    raise UnsupportedFieldError(path)


def _texts(content: Any, path: str) -> str:
    """Texts as one; of a refusal, what it says."""
    if isinstance(content, str):
        return content
    texts = []
    for number, part in enumerate(_list(content, path)):
        match part:
            case {"type": "input_text" | "output_text" | "text" | "summary_text" | "reasoning_text", "text": str(text)}:
                texts.append(text)
            case {"type": "refusal", "refusal": str(text)}:
                texts.append(text)
            case _:
                raise UnsupportedFieldError(f"{path}.{number}")
    return "\n".join(texts)


def _format(given: Any) -> dict[str, Any] | None:
    match given:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return {"type": "json_object"}
        case {"type": "json_schema", **schema}:
            return {"type": "json_schema", "json_schema": schema}
    raise UnsupportedFieldError("text.format")


def _tool(tool: Any, path: str) -> dict[str, Any]:
    match tool:
        case {"type": "function", **function}:
            said = {name: value for name, value in function.items() if value is not None}
            return {"type": "function", "function": said}
    raise UnsupportedFieldError(path)


def _choice(given: Any) -> Any:
    match given:
        case None | "none" | "auto" | "required":
            return given
        case {"type": "function", "name": str(name)}:
            return {"type": "function", "function": {"name": name}}
    raise UnsupportedFieldError("tool_choice")


def _only(given: Mapping[str, Any], names: tuple[str, ...], path: str) -> None:
    for name, value in given.items():
        if name not in names and value is not None:
            raise UnsupportedFieldError(f"{path}.{name}")


def _object(given: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise UnsupportedFieldError(path)
    return given


def _list(given: Any, path: str) -> list[Any]:
    if not isinstance(given, list):
        raise UnsupportedFieldError(path)
    return given


# -- the answer -------------------------------------------------------------------------------------


def response_of(completion: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """The response that a chat completion is.

    Args:
        completion: of the backend, in one piece.
        body: of the request for the response.

    Raises:
        KeyError, IndexError, TypeError, AttributeError: it is no chat completion.
    """
    choice = completion["choices"][0]
    reason = _INCOMPLETE.get(str(choice.get("finish_reason")))
    status = "completed" if reason is None else "incomplete"
    return {
        "id": f"resp_{uuid.uuid4().hex}",
        "object": "response",
        "created_at": int(time.time()),
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None if reason is None else {"reason": reason},
        "output": list(_items(choice["message"], status)),
        "store": False,
        "usage": _usage(completion.get("usage")),
        **echoed(body),
    }


def _items(message: Mapping[str, Any], status: str) -> Iterator[dict[str, Any]]:
    thoughts = message.get("reasoning_content") or message.get("reasoning")
    if thoughts:
        content = [{"type": "reasoning_text", "text": thoughts}]
        yield {"id": _id("rs"), "type": "reasoning", "status": status, "summary": [], "content": content}
    parts: list[dict[str, Any]] = []
    if text := message.get("content"):
        parts.append({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
    if refusal := message.get("refusal"):
        parts.append({"type": "refusal", "refusal": refusal})
    calls = message.get("tool_calls") or []
    if parts or not calls:
        yield {"id": _id("msg"), "type": "message", "status": status, "role": "assistant", "content": parts}
    for call in calls:
        function = call["function"]
        said = {"call_id": call["id"], "name": function["name"], "arguments": function["arguments"]}
        yield {"id": _id("fc"), "type": "function_call", "status": status, **said}


def _usage(usage: Any) -> dict[str, Any] | None:
    if not isinstance(usage, Mapping):
        return None
    given, output = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
    read = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    thought = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    return {
        "input_tokens": given,
        "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": read},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": given + output,
    }


def _id(kind: str) -> str:
    return f"{kind}_{uuid.uuid4().hex}"
