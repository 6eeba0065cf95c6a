"""`POST /v1/chat/completions`."""

import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from lambda_llm.engine.output_parser import CallArguments, CallStart, Content, Reasoning
from lambda_llm.openai_types.chat import (
    AnsweredCall,
    AnsweredFunction,
    AnswerMessage,
    CallDelta,
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionRequest,
    Choice,
    ChunkChoice,
    Delta,
    Function,
    FunctionDelta,
    Logprobs,
    Timings,
    ToolChoice,
)
from lambda_llm.openai_types.common import limit_of
from lambda_llm.openai_types.errors import ErrorResponse
from lambda_llm.openai_types.responses import InputTokens
from lambda_llm.openai_types.sse import DONE, KEEP_ALIVE, event, quoted
from lambda_llm.serving.answering import Answers, Conversation, Step, schema_of
from lambda_llm.serving.errors import error_event
from lambda_llm.serving.generations import Caller, Limits, planned, sampling_of
from lambda_llm.serving.logprobs import logprobs
from lambda_llm.serving.response_size import bounded, json_response
from lambda_llm.serving.service import Service
from lambda_llm.web.errors import APIError
from lambda_llm.web.streaming import EventStream, while_connected


def router(service: Service) -> APIRouter:
    """The endpoints of this module."""
    routes = APIRouter()

    @routes.post(
        "/v1/chat/completions",
        response_model=ChatCompletion,
        responses={
            200: {"content": {"text/event-stream": {}}, "description": "The completion; events if 'stream' is true"},
            404: {"model": ErrorResponse},
            429: {"model": ErrorResponse},
        },
    )
    async def chat_completions(body: ChatCompletionRequest, request: Request) -> Response:
        service.check_generates(body.model)
        caller = Caller.of(service, body, request)
        answers = await planned(service, request, caller, lambda: _prepare(service, body, caller))
        answer = _Answer(service, answers, with_logprobs=bool(body.logprobs), with_timings=bool(body.timings_per_token))
        if body.stream:
            with_usage = body.stream_options is not None and body.stream_options.include_usage
            return await EventStream.begun(answer.events(with_usage=with_usage), error_event)
        return await while_connected(request, answer.whole())

    @routes.post("/v1/chat/completions/input_tokens")
    async def input_tokens(body: ChatCompletionRequest, request: Request) -> InputTokens:
        service.check_generates(body.model)
        caller = Caller.of(service, body, request)
        answers = await planned(service, request, caller, lambda: _prepare(service, body, caller))
        return InputTokens(input_tokens=len(answers.generations[0].prompt))

    return routes


def _prepare(service: Service, body: ChatCompletionRequest, caller: Caller) -> Answers:
    choice = body.tool_choice
    calls: Any = choice if isinstance(choice, str) else "auto"
    if isinstance(choice, ToolChoice):
        calls = choice.allowed_tools.mode if choice.allowed_tools else "required"
    continues, last = body.continue_final_message is not False, body.messages[-1]
    conversation = Conversation(
        [message.rendered(begun=continues and message is last) for message in body.messages],
        tools=[{"type": "function", "function": _function(tool.function)} for tool in body.tools or ()],
        callable_tools=frozenset(choice.chosen()) if isinstance(choice, ToolChoice) else None,
        calls=calls,
        parallel=body.parallel_tool_calls is not False,
        schema=schema_of(body.response_format),
        continues=continues,
        prediction=body.prediction.text() if body.prediction else "",
        variables={**effort(service, body.reasoning_effort, "reasoning_effort"), **(body.chat_template_kwargs or {})},
    )
    limits = Limits(
        max_tokens=limit_of(body.max_completion_tokens or body.max_tokens),
        stop=body.stops(),
        choices=body.n or 1,
        top_logprobs=(body.top_logprobs or 0) if body.logprobs else None,
    )
    if not body.stream:
        limits = bounded(
            service, limits, 1, "max_tokens" if body.max_completion_tokens is None else "max_completion_tokens"
        )
    return Answers.prepare(service, conversation, sampling_of(service, body), limits, caller)


def _function(function: Function) -> dict[str, Any]:
    """A function as chat templates expect it: always with `parameters`."""
    return {"parameters": {"type": "object", "properties": {}}, **function.model_dump(exclude_none=True)}


def effort(service: Service, wanted: str | None, param: str) -> dict[str, Any]:
    """Template variables for a reasoning effort.

    Args:
        service: whose model reasons.
        wanted: OpenAI's value; None: the model's default.
        param: the field of the request that it came in.

    Raises:
        APIError: the model's template has no variable for it.
    """
    known = service.engine.template.reasoning_variables
    if wanted is None or (wanted == "none" and not service.engine.template.thinks):
        return {}
    if not known:
        raise APIError(
            HTTPStatus.BAD_REQUEST,
            f"{param!r} is not supported by this model: its chat template has no variable for it; leave it out.",
            param=param,
            code="unsupported_parameter",
        )
    variables: dict[str, Any] = {"enable_thinking": wanted != "none", "reasoning_effort": wanted}
    return {name: variables[name] for name in known}


class _Answer:
    """Writes the steps of a conversation's choices in the format of chat completions."""

    def __init__(self, service: Service, answers: Answers, *, with_logprobs: bool, with_timings: bool) -> None:
        self._service = service
        self._answers = answers
        self._choices = range(len(answers.generations))
        self._with_logprobs = with_logprobs
        self._with_timings = with_timings
        self._identity: dict[str, Any] = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": service.options.model_id,
        }

    async def whole(self) -> Response:
        """One response with all choices."""
        steps_of: list[list[Step]] = [[] for _ in self._choices]
        async with self._answers.run() as steps:
            async for step in steps:
                if step is not None:
                    steps_of[step.choice].append(step)
        return await json_response(self._service, lambda: self._complete(steps_of))

    def _complete(self, steps_of: Sequence[Sequence[Step]]) -> dict[str, Any]:
        choices = [
            Choice(
                index=number,
                message=_message(steps),
                logprobs=self._logprobs([scored for step in steps for scored in step.scored]),
                finish_reason=steps[-1].reason or "stop",
            )
            for number, steps in enumerate(steps_of)
        ]
        timings = self._timings(steps_of[0][-1]) if len(steps_of) == 1 and steps_of[0] else None
        completion = ChatCompletion(**self._identity, choices=choices, usage=self._answers.usage(), timings=timings)
        content = completion.model_dump(exclude=None if timings else {"timings"})
        for choice in content["choices"]:
            choice["message"] = {
                name: value
                for name, value in choice["message"].items()
                if value is not None or name in {"content", "refusal"}
            }
        return content

    async def events(self, *, with_usage: bool) -> AsyncGenerator[str, None]:
        """The choices as a stream of events: for each its role, its deltas and its finish reason."""
        writer = _ChunkWriter(self._identity, len(self._choices), with_usage=with_usage)
        async with self._answers.run(self._service.options.keep_alive_seconds) as steps:
            for number in self._choices:
                yield writer.chunk(number, Delta(role="assistant", content=""))
            async for step in steps:
                if step is None:
                    yield KEEP_ALIVE
                elif isinstance(step.part, Content) and not self._with_logprobs and not self._with_timings:
                    yield writer.content(step.choice, step.part.text)
                elif step.reason:
                    yield writer.chunk(step.choice, Delta(), self._per_token(step), finish_reason=step.reason)
                else:
                    logprobs_ = self._logprobs(step.scored)
                    yield writer.chunk(step.choice, _delta(step), self._per_token(step), logprobs=logprobs_)
        if with_usage:
            yield writer.usage(self._answers.usage())
        yield DONE

    def _per_token(self, step: Step) -> Timings | None:
        return self._timings(step) if self._with_timings else None

    def _timings(self, step: Step) -> Timings:
        stats = self._answers.generations[step.choice].stats
        return Timings(
            cache_n=stats.cached_tokens,
            prompt_n=stats.prompt_tokens - stats.cached_tokens,
            prompt_ms=stats.seconds_to_first_token * 1000,
            predicted_n=step.tokens,
            predicted_ms=step.seconds * 1000,
            draft_n=step.guessed,
            draft_n_accepted=step.accepted,
        )

    def _logprobs(self, scored: Sequence[Any]) -> Logprobs | None:
        return logprobs(self._service.engine.model, scored) if self._with_logprobs else None


def _message(steps: Sequence[Step]) -> AnswerMessage:
    """The complete message of one choice."""
    parts = [step.part for step in steps]
    content = "".join(part.text for part in parts if isinstance(part, Content))
    reasoning = "".join(part.text for part in parts if isinstance(part, Reasoning))
    calls = [
        AnsweredCall(
            id=call_id(),
            function=AnsweredFunction(
                name=start.name,
                arguments="".join(
                    part.text for part in parts if isinstance(part, CallArguments) and part.number == start.number
                ),
            ),
        )
        for start in parts
        if isinstance(start, CallStart)
    ]
    return AnswerMessage(
        content=content if content or not calls else None,
        reasoning_content=reasoning or None,
        tool_calls=calls or None,
    )


def call_id() -> str:
    """A new id for a tool call, which its result will refer to."""
    return f"call_{uuid.uuid4().hex[:24]}"


def _delta(step: Step) -> Delta:
    match step.part:
        case Content(text):
            return Delta(content=text)
        case Reasoning(text):
            return Delta(reasoning_content=text)
        case CallStart(number, name):
            function = FunctionDelta(name=name, arguments="")
            return Delta(tool_calls=[CallDelta(index=number, id=call_id(), type="function", function=function)])
        case CallArguments(number, text):
            return Delta(tool_calls=[CallDelta(index=number, function=FunctionDelta(arguments=text))])
    return Delta()


class _ChunkWriter:
    """Writes chunks. Those with content only, one per token, are filled into a JSON frame that is serialized once."""

    def __init__(self, identity: dict[str, Any], choices: int, *, with_usage: bool) -> None:
        self._identity = identity
        self._with_usage = with_usage
        templates = [self._json(ChunkChoice(index=number, delta=Delta(content="\0"))) for number in range(choices)]
        self._frames = [event(each).split(quoted("\0")) for each in templates]

    def content(self, choice: int, text: str) -> str:
        """A chunk that adds content."""
        before, behind = self._frames[choice]
        return f"{before}{quoted(text)}{behind}"

    def chunk(self, choice: int, delta: Delta, timings: Timings | None = None, **more: Any) -> str:
        """A chunk that adds anything."""
        return event(self._json(ChunkChoice(index=choice, delta=delta, **more), timings))

    def usage(self, usage: Any) -> str:
        """The last chunk, which has no choices."""
        chunk = ChatCompletionChunk(**self._identity, choices=[], usage=usage)
        return event(chunk.model_dump_json(exclude={"timings"}, ensure_ascii=True))

    def _json(self, choice: ChunkChoice, timings: Timings | None = None) -> str:
        chunk = ChatCompletionChunk(**self._identity, choices=[choice], timings=timings)
        # A delta has only the fields that it adds, while `finish_reason` is always there, null until the end.
        absent = {name for name, value in choice.delta if value is None}
        calls: Any = {"__all__": {"function": {"name"}} | dict.fromkeys(("id", "type"), True)}
        if choice.delta.tool_calls and choice.delta.tool_calls[0].id:
            calls = {}
        delta: Any = dict.fromkeys(absent, True) | ({"tool_calls": calls} if choice.delta.tool_calls else {})
        leave_out: Any = (
            {"choices": {"__all__": {"delta": delta}}}
            | ({} if self._with_usage else {"usage": True})
            | ({} if timings else {"timings": True})
        )
        return chunk.model_dump_json(exclude=leave_out, ensure_ascii=True)
