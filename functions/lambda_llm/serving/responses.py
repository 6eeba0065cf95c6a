"""`POST /v1/responses`: OpenAI's newer API for conversations, stateless."""

import json
import time
import uuid
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from lambda_llm.engine.output_parser import CallArguments, CallStart, Content, Reasoning
from lambda_llm.openai_types.common import limit_of
from lambda_llm.openai_types.errors import ErrorResponse
from lambda_llm.openai_types.responses import (
    CallItem,
    IncompleteDetails,
    InputPart,
    InputTokens,
    InputTokensDetails,
    Item,
    MessageItem,
    OutputItem,
    OutputText,
    OutputTokensDetails,
    ReasoningItem,
    ReasoningText,
    ResponseError,
    ResponseObject,
    ResponseRequest,
    ResponseUsage,
    ToolChoice,
)
from lambda_llm.openai_types.sse import KEEP_ALIVE, event
from lambda_llm.serving.answering import Answers, Conversation, OutputSchema, Step
from lambda_llm.serving.chat import call_id, effort
from lambda_llm.serving.errors import explain
from lambda_llm.serving.generations import Caller, Limits, planned, sampling_of
from lambda_llm.serving.response_size import bounded, json_response
from lambda_llm.serving.service import Service
from lambda_llm.web.streaming import EventStream, while_connected


def router(service: Service) -> APIRouter:
    """The endpoints of this module."""
    routes = APIRouter()

    @routes.post(
        "/v1/responses",
        response_model=ResponseObject,
        responses={
            200: {"content": {"text/event-stream": {}}, "description": "The response; events if 'stream' is true"},
            404: {"model": ErrorResponse},
            429: {"model": ErrorResponse},
        },
    )
    async def responses(body: ResponseRequest, request: Request) -> Response:
        service.check_generates(body.model)
        caller = Caller.of(service, body, request)
        answers = await planned(service, request, caller, lambda: _prepare(service, body, caller))
        answer = _Answer(service, answers, body)
        if body.stream:
            return await EventStream.begun(answer.events(), answer.failure)
        return await while_connected(request, answer.whole())

    @routes.post("/v1/responses/input_tokens")
    async def input_tokens(body: ResponseRequest, request: Request) -> InputTokens:
        service.check_generates(body.model)
        caller = Caller.of(service, body, request)
        answers = await planned(service, request, caller, lambda: _prepare(service, body, caller))
        return InputTokens(input_tokens=len(answers.generations[0].prompt))

    return routes


# -- the conversation -------------------------------------------------------------------------------


def _prepare(service: Service, body: ResponseRequest, caller: Caller) -> Answers:
    choice = body.tool_choice
    calls: Any = choice if isinstance(choice, str) else "auto"
    if isinstance(choice, ToolChoice):
        calls = choice.mode or "required"
    conversation = Conversation(
        list(_messages(body)),
        param="input",
        tools=[
            {
                "type": "function",
                "function": {
                    "parameters": {"type": "object", "properties": {}},
                    **tool.model_dump(exclude_none=True, exclude={"type"}),
                },
            }
            for tool in body.tools or ()
        ],
        tool_param="tools.{}.parameters",
        callable_tools=frozenset(choice.chosen()) if isinstance(choice, ToolChoice) else None,
        calls=calls,
        parallel=body.parallel_tool_calls is not False,
        schema=_schema(body),
        variables=effort(service, body.reasoning.effort if body.reasoning else None, "reasoning.effort"),
    )
    limits = Limits(max_tokens=limit_of(body.max_output_tokens))
    return Answers.prepare(
        service,
        conversation,
        sampling_of(service, body),
        limits if body.stream else bounded(service, limits, 1, "max_output_tokens"),
        caller,
    )


def _schema(body: ResponseRequest) -> OutputSchema | None:
    wanted = body.text.format if body.text else None
    if wanted is None or wanted.type == "text":
        return None
    if wanted.schema_ is None:
        return OutputSchema({"type": "object"}, strict=True, param="text.format")
    return OutputSchema(wanted.schema_, strict=bool(wanted.strict), param="text.format.schema")


def _messages(body: ResponseRequest) -> Iterator[dict[str, Any]]:
    """The conversation in the format of chat completions, where reasoning, content and calls are one message."""
    if body.instructions:
        yield {"role": "system", "content": body.instructions}
    if isinstance(body.input, str):
        yield {"role": "user", "content": body.input}
        return
    turn: dict[str, Any] = {}
    for item in body.input:
        addition = _model_output(item, begun=item is body.input[-1])
        if turn and (not addition or _starts_turn(turn, addition)):
            yield _complete(turn)
            turn = {}
        if addition:
            calls = turn.get("tool_calls", []) + addition.pop("tool_calls", [])
            turn = {"role": "assistant", "content": None} | turn | addition | ({"tool_calls": calls} if calls else {})
        elif item.type == "function_call_output":
            yield {"role": "tool", "tool_call_id": item.call_id, "content": _text(item.output)}
        else:
            yield {"role": "system" if item.role == "developer" else item.role, "content": _text(item.content)}
    if turn:
        yield _complete(turn)


def _starts_turn(turn: dict[str, Any], addition: dict[str, Any]) -> bool:
    """Whether an addition starts a new turn: within one, reasoning, content and calls come once and in this order."""
    has_output = turn["content"] is not None or "tool_calls" in turn
    return ("reasoning_content" in addition) or ("content" in addition and has_output)


def _model_output(item: Item, *, begun: bool) -> dict[str, Any]:
    """What an item adds to the model's turn; empty for items of others.

    Args:
        item: any.
        begun: the response continues it: its parts are one text.
    """
    if item.type == "function_call":
        function = {"name": item.name, "arguments": item.arguments}
        return {"tool_calls": [{"id": item.call_id, "type": "function", "function": function}]}
    if item.type == "reasoning":
        return {"reasoning_content": _text(item.content or item.summary)}
    return {"content": _text(item.content, "" if begun else "\n")} if item.role == "assistant" else {}


def _complete(turn: dict[str, Any]) -> dict[str, Any]:
    return turn if turn.get("tool_calls") else turn | {"content": turn["content"] or ""}


def _text(content: str | Sequence[InputPart] | None, between: str = "\n") -> str:
    return content if isinstance(content, str) else between.join(part.text for part in content or ())


# -- the response -----------------------------------------------------------------------------------


class _Answer:
    """Writes the steps of a generation in the format of responses."""

    def __init__(self, service: Service, answers: Answers, body: ResponseRequest) -> None:
        self._service = service
        self._answers = answers
        self._number = 0
        self._item: OutputItem | None = None
        choice = body.tool_choice
        self._response = ResponseObject(
            id=f"resp_{uuid.uuid4().hex}",
            created_at=int(time.time()),
            instructions=body.instructions,
            max_output_tokens=body.max_output_tokens,
            model=service.options.model_id,
            parallel_tool_calls=body.parallel_tool_calls is not False,
            reasoning={"effort": None, "summary": None} | (_given(body.reasoning) if body.reasoning else {}),
            temperature=1.0 if body.temperature is None else body.temperature,
            text={"format": _given(body.text.format) if body.text and body.text.format else {"type": "text"}},
            tool_choice=_given(choice) if isinstance(choice, ToolChoice) else choice or "auto",
            tools=[{"strict": None, "parameters": None} | _given(tool) for tool in body.tools or ()],
            top_p=1.0 if body.top_p is None else body.top_p,
            metadata=body.metadata or {},
            truncation=body.truncation or "disabled",
            user=body.user,
        )

    async def whole(self) -> Response:
        """The complete response."""
        async with self._answers.run() as steps:
            async for step in steps:
                if step is not None:
                    for _ in self._events(step):
                        pass
        return await json_response(self._service, self._response.model_dump)

    async def events(self) -> AsyncGenerator[str, None]:
        """The response as a stream of events, in OpenAI's order."""
        async with self._answers.run(self._service.options.keep_alive_seconds) as steps:
            yield self._event("response.created", response=self._response)
            yield self._event("response.in_progress", response=self._response)
            async for step in steps:
                if step is None:
                    yield KEEP_ALIVE
                    continue
                for each in self._events(step):
                    yield each
        yield self._event(f"response.{self._response.status}", response=self._response)

    def failure(self, error: Exception) -> str:
        """The last event of a stream that failed."""
        reason = explain(error).body.error
        self._response.status = "failed"
        self._response.error = ResponseError(code=reason.code or "server_error", message=reason.message)
        return self._event("response.failed", response=self._response)

    def _events(self, step: Step) -> Iterator[str]:
        """Add a step to the response; yields its events."""
        match step.part:
            case Content(text):
                yield from self._require_item(MessageItem)
                yield self._delta("response.output_text", text)
            case Reasoning(text):
                yield from self._require_item(ReasoningItem)
                yield self._delta("response.reasoning_text", text)
            case CallStart(_, name):
                yield from self._end_item("completed")
                yield from self._begin_item(CallItem(id=_new_id("fc"), call_id=call_id(), name=name))
            case CallArguments(_, text):
                yield self._delta("response.function_call_arguments", text)
        if step.reason:
            cut = step.reason == "length"
            yield from self._end_item("incomplete" if cut else "completed")
            self._response.status = "incomplete" if cut else "completed"
            self._response.incomplete_details = IncompleteDetails() if cut else None
            self._response.usage = self._usage()

    def _require_item(self, kind: type[MessageItem] | type[ReasoningItem]) -> Iterator[str]:
        """Make the current item one of a kind: end any other, and begin a new one."""
        if isinstance(self._item, kind):
            return
        yield from self._end_item("completed")
        item = kind(id=_new_id("msg" if kind is MessageItem else "rs"))
        yield from self._begin_item(item)
        part = OutputText() if isinstance(item, MessageItem) else ReasoningText()
        item.content = [part]  # type: ignore[assignment] # of its own kind
        yield self._event("response.content_part.added", **self._place(), part=part)

    def _begin_item(self, item: OutputItem) -> Iterator[str]:
        self._item = item
        self._response.output.append(item)
        yield self._event("response.output_item.added", output_index=len(self._response.output) - 1, item=item)

    def _delta(self, kind: str, text: str) -> str:
        """Add text to the current item; returns the event."""
        item = self._item
        if isinstance(item, CallItem):
            item.arguments += text
        elif item:
            item.content[0].text += text
        more = {"logprobs": list[Any]()} if isinstance(item, MessageItem) else {}
        return self._event(f"{kind}.delta", **self._place(), delta=text, **more)

    def _end_item(self, status: Any) -> Iterator[str]:
        """End the current item, if there is one."""
        item = self._item
        if item is None:
            return
        item.status = status
        place = self._place()
        if isinstance(item, CallItem):
            yield self._event(
                "response.function_call_arguments.done", **place, arguments=item.arguments, name=item.name
            )
        elif isinstance(item, MessageItem):
            yield self._event("response.output_text.done", **place, text=item.content[0].text, logprobs=[])
            yield self._event("response.content_part.done", **place, part=item.content[0])
        else:
            yield self._event("response.reasoning_text.done", **place, text=item.content[0].text)
            yield self._event("response.content_part.done", **place, part=item.content[0])
        yield self._event("response.output_item.done", output_index=place["output_index"], item=item)
        self._item = None

    def _place(self) -> dict[str, Any]:
        item = self._response.output[-1]
        content = {} if isinstance(item, CallItem) else {"content_index": 0}
        return {"item_id": item.id, "output_index": len(self._response.output) - 1, **content}

    def _event(self, kind: str, **fields: Any) -> str:
        content = {
            name: value.model_dump() if isinstance(value, BaseModel) else value for name, value in fields.items()
        }
        data = json.dumps({"type": kind, "sequence_number": self._number, **content})
        self._number += 1
        return event(data, kind)

    def _usage(self) -> ResponseUsage:
        usage = self._answers.usage()
        return ResponseUsage(
            input_tokens=usage.prompt_tokens,
            input_tokens_details=InputTokensDetails(cached_tokens=usage.prompt_tokens_details.cached_tokens),
            output_tokens=usage.completion_tokens,
            output_tokens_details=OutputTokensDetails(
                reasoning_tokens=usage.completion_tokens_details.reasoning_tokens
            ),
            total_tokens=usage.total_tokens,
        )


def _given(part: BaseModel) -> dict[str, Any]:
    """A part of the request, to be returned unchanged."""
    return part.model_dump(by_alias=True, exclude_none=True)


def _new_id(kind: str) -> str:
    return f"{kind}_{uuid.uuid4().hex}"
