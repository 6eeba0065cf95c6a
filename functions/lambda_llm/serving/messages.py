"""`POST /v1/messages`: Anthropic's API for conversations."""

import json
import uuid
from collections.abc import AsyncGenerator, Iterator
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from lambda_llm.anthropic_types.errors import ErrorResponse, error_body
from lambda_llm.anthropic_types.messages import (
    AnswerBlock,
    AnswerMessage,
    CountRequest,
    MessagesRequest,
    TextBlock,
    ThinkingBlock,
    TokenCount,
    ToolUseBlock,
    Usage,
    joined,
)
from lambda_llm.engine.output_parser import CallArguments, CallStart, Content, Reasoning
from lambda_llm.engine.sampling import Sampling
from lambda_llm.openai_types.common import limit_of
from lambda_llm.openai_types.sse import event
from lambda_llm.serving.answering import Answers, Conversation, OutputSchema, Step, arguments_of
from lambda_llm.serving.errors import explain
from lambda_llm.serving.generations import Caller, Limits, planned
from lambda_llm.serving.response_size import bounded, json_response
from lambda_llm.serving.service import Service
from lambda_llm.web.streaming import EventStream, while_connected

PATH: Final = "/v1/messages"
_PING: Final = event('{"type": "ping"}', "ping")


def router(service: Service) -> APIRouter:
    """The endpoints of this module."""
    error: dict[str, Any] = {"model": ErrorResponse}
    routes = APIRouter(responses={"4XX": error, 500: error, 503: error, 504: error})

    @routes.post(
        PATH,
        response_model=AnswerMessage,
        responses={
            200: {"content": {"text/event-stream": {}}, "description": "The message; events if 'stream' is true"}
        },
    )
    async def messages(body: MessagesRequest, request: Request) -> Response:
        service.check_generates(body.model)
        caller = _caller(service, body, request)
        limits = Limits(max_tokens=limit_of(body.max_tokens), stop=[each for each in body.stop_sequences or () if each])
        sampling = Sampling(
            temperature=1.0 if body.temperature is None else body.temperature,
            top_p=1.0 if body.top_p is None else body.top_p,
            top_k=max(body.top_k or 0, 0),
        )

        def prepare() -> Answers:
            fitting = limits if body.stream else bounded(service, limits, 1, "max_tokens")
            return Answers.prepare(service, _conversation(service, body), sampling, fitting, caller)

        answer = _Answer(service, await planned(service, request, caller, prepare))
        if body.stream:
            return await EventStream.begun(answer.events(), _failure)
        return await while_connected(request, answer.whole())

    @routes.post(f"{PATH}/count_tokens")
    async def count_tokens(body: CountRequest, request: Request) -> TokenCount:
        service.check_generates(body.model)
        caller = _caller(service, body, request)

        def prepare() -> Answers:
            return Answers.prepare(service, _conversation(service, body), Sampling(), Limits(), caller)

        answers = await planned(service, request, caller, prepare)
        return TokenCount(input_tokens=len(answers.generations[0].prompt))

    return routes


def _caller(service: Service, body: CountRequest, request: Request) -> Caller:
    return Caller.named(service, body.metadata.user_id if body.metadata else None, request)


def _conversation(service: Service, body: CountRequest) -> Conversation:
    choice = body.tool_choice
    calls: Any = {"any": "required", "tool": "required", "none": "none"}.get(choice.type if choice else "", "auto")
    system = joined(body.system or "")
    config = body.output_config
    form = (config.format if config else None) or body.output_format
    return Conversation(
        [
            *([{"role": "system", "content": system}] if system else []),
            *(each for message in body.messages for each in message.rendered(begun=message is body.messages[-1])),
        ],
        tools=[
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description or "",
                    "parameters": tool.input_schema,
                    **({"strict": True} if tool.strict else {}),
                },
            }
            for tool in body.tools or ()
        ],
        tool_param="tools.{}.input_schema",
        callable_tools=frozenset({choice.name}) if choice and choice.type == "tool" and choice.name else None,
        calls=calls,
        parallel=not (choice and choice.disable_parallel_tool_use),
        schema=OutputSchema(form.schema_, strict=False, param="output_config.format.schema") if form else None,
        variables=_reasoning(service, body),
    )


def _reasoning(service: Service, body: CountRequest) -> dict[str, Any]:
    """Template variables for what the request says about thinking; clients say it of every model."""
    known, wanted = service.engine.template.reasoning_variables, dict[str, Any]()
    if body.thinking and body.thinking.type != "adaptive":
        wanted["enable_thinking"] = body.thinking.type == "enabled"
    if body.output_config and body.output_config.effort:
        wanted["reasoning_effort"] = body.output_config.effort
    return {name: value for name, value in wanted.items() if name in known}


class _Answer:
    """Writes the steps of a generation in the format of messages."""

    def __init__(self, service: Service, answers: Answers) -> None:
        self._service = service
        self._answers = answers
        self._block: AnswerBlock | None = None
        self._arguments = ""
        self._message = AnswerMessage(
            id=f"msg_{uuid.uuid4().hex}",
            model=service.options.model_id,
            usage=Usage(input_tokens=len(answers.generations[0].prompt), cache_read_input_tokens=0, output_tokens=0),
        )

    async def whole(self) -> Response:
        """The complete message."""
        async with self._answers.run() as steps:
            async for step in steps:
                if step is not None:
                    for _ in self._events(step):
                        pass
        return await json_response(self._service, self._message.model_dump)

    async def events(self) -> AsyncGenerator[str, None]:
        """The message as a stream of events, in Anthropic's order."""
        async with self._answers.run(self._service.options.keep_alive_seconds) as steps:
            yield _event("message_start", message=self._message.model_dump())
            async for step in steps:
                if step is None:
                    yield _PING
                    continue
                for each in self._events(step):
                    yield each
        yield _event(
            "message_delta",
            delta={"stop_reason": self._message.stop_reason, "stop_sequence": self._message.stop_sequence},
            usage=self._message.usage.model_dump(),
        )
        yield _event("message_stop")

    def _events(self, step: Step) -> Iterator[str]:
        """Add a step to the message; yields its events."""
        match step.part:
            case Content(text):
                block = yield from self._require(TextBlock)
                block.text += text
                yield self._delta({"type": "text_delta", "text": text})
            case Reasoning(text):
                block = yield from self._require(ThinkingBlock)
                block.thinking += text
                yield self._delta({"type": "thinking_delta", "thinking": text})
            case CallStart(_, name):
                yield from self._begin(ToolUseBlock(id=f"toolu_{uuid.uuid4().hex[:24]}", name=name))
            case CallArguments(_, text):
                self._arguments += text
                yield self._delta({"type": "input_json_delta", "partial_json": text})
        if step.reason:
            yield from self._end()
            self._finish(step.reason)

    def _require(self, kind: Any) -> Any:
        """Make the current block one of a kind; its events are yielded, the block is returned."""
        if not isinstance(self._block, kind):
            yield from self._begin(kind())
        return self._block

    def _begin(self, block: AnswerBlock) -> Iterator[str]:
        yield from self._end()
        self._block, self._arguments = block, ""
        self._message.content.append(block)
        yield _event("content_block_start", index=len(self._message.content) - 1, content_block=block.model_dump())

    def _delta(self, delta: dict[str, Any]) -> str:
        return _event("content_block_delta", index=len(self._message.content) - 1, delta=delta)

    def _end(self) -> Iterator[str]:
        """End the current block, if there is one."""
        if self._block is None:
            return
        if isinstance(self._block, ToolUseBlock):
            self._block.input = arguments_of(self._arguments)
        self._block = None
        yield _event("content_block_stop", index=len(self._message.content) - 1)

    def _finish(self, reason: str) -> None:
        stats = self._answers.generations[0].stats
        message = self._message
        message.stop_sequence = stats.stop_sequence
        message.stop_reason = (
            "max_tokens"
            if reason == "length"
            else "tool_use"
            if reason == "tool_calls"
            else "stop_sequence"
            if stats.stop_sequence is not None
            else "end_turn"
        )
        message.usage = Usage(
            input_tokens=stats.prompt_tokens - stats.cached_tokens,
            cache_read_input_tokens=stats.cached_tokens,
            output_tokens=stats.completion_tokens,
        )


def _failure(error: Exception) -> str:
    answer = explain(error)
    return event(json.dumps(error_body(answer.status, str(answer))), "error")


def _event(kind: str, **fields: Any) -> str:
    return event(json.dumps({"type": kind, **fields}), kind)
