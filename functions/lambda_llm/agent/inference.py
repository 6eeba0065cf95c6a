"""Requests to the model and its answers, whichever way they travel."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lambda_llm.agent.agent import Agent, Known
from lambda_llm.aws.invoke import event, response

PATH: Final = "/v1/chat/completions"
OK: Final = 200
CALLS: Final = 16
"""Most tool calls of one answer; what is beyond it was not asked for by anybody."""

CALL_CHARACTERS: Final = 64 * 1024
"""Most characters of a call's arguments."""

TEXT_CHARACTERS: Final = 256 * 1024
"""Most characters of an answer."""

CODE: Final = re.compile(r"[A-Za-z0-9_.]{1,64}")
"""An error's code, which is the server's own word; a message may quote the prompt."""

DAY_MS: Final = 24 * 60 * 60 * 1000
"""No answer takes a day, whatever a server says."""

_UNSHOWN: Final = frozenset({"title", "$schema", "additionalProperties"})
"""Keywords that tell a model nothing; arguments are checked against the whole schema."""

BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed later."""


@dataclass(frozen=True)
class Call:
    """One tool call of an answer.

    Attributes:
        id: unique in the execution; ours, because models repeat theirs.
        name: of the tool.
        arguments: JSON text as the model wrote it.
    """

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Thought:
    """An answer of the model.

    Attributes:
        text: what it says; empty if it only calls tools.
        calls: in its order.
        finish: why it stopped: `stop`, `tool_calls`, `length`, `content_filter`.
        refusal: text of a refusal.
        tokens: of prompt and answer.
        at: Unix time at which the server made it.
        seconds: that the server was busy, if it says so.
        input_tokens: of the prompt alone.
        output_tokens: of the answer alone.
    """

    text: str
    calls: tuple[Call, ...]
    finish: str
    refusal: str
    tokens: int
    at: float
    seconds: float
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True)
class Unanswered:
    """A request without an answer.

    Attributes:
        status: of HTTP; 0: none arrived.
        code: the error's, as OpenAI's format has it.
        why: one sentence, without prompts.
        retry_after: seconds, if the server says.
    """

    status: int
    code: str
    why: str
    retry_after: float = 0.0

    @property
    def later(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status == 0 or self.status in BUSY


def body(agent: Agent, tools: Mapping[str, Known], messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The request for an answer."""
    request: dict[str, Any] = {
        **agent.options,
        "model": agent.model,
        "messages": list(messages),
        "max_tokens": agent.max_tokens,
    }
    if tools:
        request["tools"] = [_described(one) for one in tools.values()]
    return request


def payload(request: Mapping[str, Any], request_id: str | None = None, headers: Mapping[str, str] | None = None) -> str:
    """The request as an event of a Function URL, which both front doors of inference take from an invocation.

    Args:
        request: it.
        request_id: for the function's log; the same after a replay.
        headers: likewise, of the trace.
    """
    return event("POST", PATH, json.dumps(request).encode(), request_id, headers).decode()


def parse(text: str | None, prefix: str) -> Thought | Unanswered:
    """What an invocation of inference returned.

    Args:
        text: its result; None: it had none.
        prefix: of the ids of calls.
    """
    try:
        status, content = response((text or "").encode())
    except (ValueError, KeyError, TypeError, RecursionError):
        return Unanswered(502, "", "The inference function's answer is no HTTP response: invoke the alias of one.")
    return parse_body(status, content, prefix)


def parse_body(status: int, content: bytes, prefix: str, retry_after: float = 0.0) -> Thought | Unanswered:
    """What a server answered.

    Args:
        status: of HTTP.
        content: of the answer.
        prefix: of the ids of calls.
        retry_after: seconds that the server named.
    """
    try:
        answer = json.loads(content)
        if status != OK:
            return _unanswered(status, answer, retry_after)
        return _thought(answer, prefix)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        if status != OK:
            return Unanswered(status, "", f"The model's server answered with status {status}.", retry_after)
        return Unanswered(502, "", "The model's server answered something that is no chat completion.")


def _thought(answer: Mapping[str, Any], prefix: str) -> Thought:
    choice = answer["choices"][0]
    message, usage = choice["message"], answer.get("usage") or {}
    calls = message.get("tool_calls") or []
    timings = answer.get("timings") or {}
    return Thought(
        text=_text(message.get("content"))[:TEXT_CHARACTERS],
        calls=tuple(_call(one, f"{prefix}-{place}") for place, one in enumerate(calls[:CALLS])),
        finish=_text(choice.get("finish_reason")),
        refusal=_text(message.get("refusal")),
        tokens=_count(usage.get("total_tokens", 0)),
        at=float(_count(answer.get("created", 0))),
        seconds=(_number(timings.get("prompt_ms", 0)) + _number(timings.get("predicted_ms", 0))) / 1000,
        input_tokens=_count(usage.get("prompt_tokens", 0)),
        output_tokens=_count(usage.get("completion_tokens", 0)),
    )


def _call(call: Mapping[str, Any], identity: str) -> Call:
    function = call["function"]
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return Call(identity, str(function["name"])[:256], text[: CALL_CHARACTERS + 1])


def _unanswered(status: int, answer: Any, retry_after: float) -> Unanswered:
    error = answer["error"]
    said = _text(error.get("code")) or _text(error.get("type"))
    code = said if CODE.fullmatch(said) else ""
    return Unanswered(
        status, code, f"The model's server answered with status {status}{f' ({code})' if code else ''}.", retry_after
    )


def _described(known: Known) -> dict[str, Any]:
    one = known.tool
    return {
        "type": "function",
        "function": {"name": one.name, "description": one.description, "parameters": _shown(one.parameters)},
    }


def _shown(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema as a model needs it: every word of it is in every prompt, and titles only repeat the names."""
    first = {name: schema[name] for name in ("type", "properties", "required") if name in schema}
    shown = {**first, **{name: value for name, value in schema.items() if name not in {*first, *_UNSHOWN}}}
    for name in ("properties", "$defs"):
        if isinstance(named := shown.get(name), Mapping):
            shown[name] = {key: _shown(value) if isinstance(value, Mapping) else value for key, value in named.items()}
    return shown


def _text(value: Any) -> str:
    """Text that can be encoded: a lone surrogate can't be."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else ""


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def _number(value: Any) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < DAY_MS
    return float(value) if good else 0.0
