"""Conversations: rendered, constrained, generated, and parsed into reasoning, content and tool calls."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Literal, NamedTuple

from lambda_llm.engine.chat_template import RESERVED, Prompt
from lambda_llm.engine.constraints import Constraint, schema_constraint
from lambda_llm.engine.errors import (
    ConstraintError,
    ContextOverflowError,
    InputTooLongError,
    SchemaError,
    TemplateError,
    UnknownTextError,
)
from lambda_llm.engine.generate import FinishReason, Generation
from lambda_llm.engine.matcher import compiled
from lambda_llm.engine.output_parser import Content, OutputParser, Part, Reasoning
from lambda_llm.engine.sampling import Sampling, Scored
from lambda_llm.engine.tool_call_formats.base import END_THINK, AnySchema, Tool
from lambda_llm.openai_types.common import Usage
from lambda_llm.openai_types.response_format import ResponseFormat
from lambda_llm.serving.errors import explain
from lambda_llm.serving.generations import Caller, Limits, make_generations, usage_of
from lambda_llm.serving.service import Service
from lambda_llm.web.errors import APIError


class OutputSchema(NamedTuple):
    """A JSON Schema that the content is constrained by.

    Attributes:
        schema: JSON Schema.
        strict: refuse keywords that can't be enforced.
        param: the field of the request that it came in.
    """

    schema: Any
    strict: bool
    param: str


def schema_of(wanted: ResponseFormat | None) -> OutputSchema | None:
    """The schema of a `response_format`; None: the text is not constrained."""
    if wanted is None or wanted.type == "text":
        return None
    if wanted.json_schema is not None and wanted.json_schema.schema_ is not None:
        schema = wanted.json_schema
        return OutputSchema(schema.schema_, strict=bool(schema.strict), param="response_format.json_schema.schema")
    if wanted.schema_ is not None:
        return OutputSchema(wanted.schema_, strict=False, param="response_format.schema")
    return OutputSchema({"type": "object"}, strict=True, param="response_format")


@dataclass(frozen=True)
class Conversation:
    """A request's conversation, in the form that chat templates expect.

    Attributes:
        messages: at least one.
        param: the field of the request that they came in.
        tools: in the format of chat completions.
        tool_param: the field that a tool's parameters came in, with `{}` for its index.
        callable_tools: names of the tools that may be called; None: all.
        calls: whether the model may, must or must not call tools.
        parallel: allow several calls.
        schema: that the content is constrained by.
        continues: whether a last message of the assistant is continued, instead of being followed by another.
        prediction: a text that the answer may repeat.
        variables: for the template.
    """

    messages: Sequence[Mapping[str, Any]]
    param: str = "messages"
    tools: Sequence[Mapping[str, Any]] = ()
    tool_param: str = "tools.{}.function.parameters"
    callable_tools: frozenset[str] | None = None
    calls: Literal["none", "auto", "required"] = "auto"
    parallel: bool = True
    schema: OutputSchema | None = None
    continues: bool = True
    prediction: str = ""
    variables: Mapping[str, Any] = field(default_factory=dict)


class Step(NamedTuple):
    """One step of a choice.

    Attributes:
        choice: index of the choice.
        part: a part of its output; None in the last step.
        scored: tokens of the content with log probabilities, if they were requested.
        reason: why the choice ended; in the last step only.
        tokens: how many the choice had when its text went this far.
        seconds: from its first token until then.
        guessed: tokens that were guessed until then.
        accepted: those of them that were chosen.
    """

    choice: int
    part: Part | None
    scored: Sequence[Scored] = ()
    reason: Literal["stop", "length", "tool_calls"] | None = None
    tokens: int = 0
    seconds: float = 0.0
    guessed: int = 0
    accepted: int = 0


class Answers:
    """The choices generated for one conversation.

    Attributes:
        generations: one per choice.
    """

    def __init__(self, service: Service, generations: Sequence[Generation], parsers: Sequence[OutputParser]) -> None:
        self.generations = generations
        self._service = service
        self._parsers = parsers
        self._reasoning: list[str] = []

    @classmethod
    def prepare(
        cls, service: Service, conversation: Conversation, sampling: Sampling, limits: Limits, caller: Caller
    ) -> "Answers":
        """Render, tokenize and constrain; slow enough for long conversations to keep it off the event loop.

        Raises:
            APIError: the conversation can't be used.
        """
        template = service.engine.template
        if reserved := RESERVED & conversation.variables.keys():
            raise APIError(
                HTTPStatus.BAD_REQUEST,
                f"'chat_template_kwargs' can't be used: {min(reserved)!r} is set by the server; leave it out.",
                param="chat_template_kwargs",
                code="invalid_value",
            )
        tools = conversation.tools if conversation.calls != "none" else ()
        try:
            prompt = template.prompt(
                conversation.messages,
                tools,
                conversation.variables,
                continues=conversation.continues,
                parse_control=service.options.parse_control,
                at_most=service.engine.decoder.context_length,
                cancellation=caller.cancellation,
            )
            generations = make_generations(
                service,
                [prompt.tokens],
                replace(sampling, constraint=_constraint(service, conversation, prompt)),
                limits,
                caller,
                predicted=_predicted(service, conversation.prediction),
                preserved_tokens=template.preserved_tokens if tools or template.thinks else (),
                remember=True,
            )
        except (ContextOverflowError, TemplateError) as error:
            raise explain(error, conversation.param) from error
        names = {tool["function"]["name"] for tool in tools}
        parsers = [
            OutputParser(
                form=template.tool_call_format if tools else None,
                tools=names,
                thinks=template.thinks,
                thinking=prompt.thinking,
            )
            for _ in generations
        ]
        return cls(service, generations, parsers)

    @classmethod
    def raw(
        cls,
        service: Service,
        prompt: str,
        schema: OutputSchema | None,
        sampling: Sampling,
        limits: Limits,
        caller: Caller,
    ) -> "Answers":
        """The same for a prompt that no template renders, and an output that is content only.

        Raises:
            APIError: the prompt can't be used.
        """
        try:
            tokens = service.engine.model.prompt_tokens(prompt, at_most=service.engine.decoder.context_length)
            constrained = replace(sampling, constraint=constraint_of(service, schema))
            generations = make_generations(service, [tokens], constrained, limits, caller)
        except ContextOverflowError as error:
            raise explain(error, "prompt") from error
        return cls(service, generations, [OutputParser() for _ in generations])

    @asynccontextmanager
    async def run(self, keep_alive_seconds: float | None = None) -> AsyncIterator[AsyncIterator[Step | None]]:
        """Generate; the context yields the steps, and None where a keep-alive is due. See `Worker.run`."""
        async with self._service.worker.run(self.generations, keep_alive_seconds) as pieces:
            yield self._steps(pieces)

    async def _steps(self, pieces: AsyncIterator[Any]) -> AsyncIterator[Step | None]:
        pending: list[Scored] = []
        async for piece in pieces:
            if piece is None:
                yield None
                continue
            parser = self._parsers[piece.choice]
            pending += piece.scored
            parts, spans = parser.feed(piece.text), parser.spans
            if piece.ended:
                parts += parser.finish()
                spans += parser.spans
            for part, (start, end) in zip(parts, spans, strict=True):
                if isinstance(part, Reasoning):
                    self._reasoning.append(part.text)
                inside, pending = _split(pending, start, end)
                scored = inside if isinstance(part, Content) else ()
                yield Step(piece.choice, part, scored, None, *piece.counts)
            if piece.ended:
                yield Step(piece.choice, None, (), self._reason(piece.choice), *piece.counts)
                pending = []

    def _reason(self, choice: int) -> Literal["stop", "length", "tool_calls"]:
        if self.generations[choice].stats.finish_reason is FinishReason.LENGTH:
            return "length"
        return "tool_calls" if self._parsers[choice].calls else "stop"

    def usage(self) -> Usage:
        """Token counts, once every choice has ended."""
        text = "".join(self._reasoning)
        model = self._service.engine.model
        reasoning = len(model.tokenize(text, add_special=False)) if text else 0
        return usage_of(self.generations, len(self.generations), reasoning)


def _split(scored: Sequence[Scored], start: int, end: int) -> tuple[list[Scored], list[Scored]]:
    """The tokens of the text from `start` to `end`, and those behind it.

    Args:
        scored: tokens in the order of their text; those before `start` are left out.
        start: in characters.
        end: as `start`.
    """
    ends = [*(each.at for each in scored[1:]), end]
    inside = [each for each, until in zip(scored, ends, strict=False) if each.at < end and until > start]
    return inside, [each for each in scored if each.at >= end]


def arguments_of(arguments: str) -> dict[str, Any]:
    """A call's arguments; empty where the model wrote no JSON object, or only the beginning of one."""
    try:
        parsed = json.loads(arguments)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _constraint(service: Service, conversation: Conversation, prompt: Prompt) -> Constraint | None:
    """The constraint of a conversation's tools and schema, compiled; None: unconstrained.

    Raises:
        APIError: 400, `invalid_schema`.
    """
    wanted = conversation.schema
    engine = service.engine
    allowed = {
        number: Tool(function["name"], function.get("parameters") or {}, bool(function.get("strict")))
        for number, function in enumerate(tool["function"] for tool in conversation.tools)
        if conversation.callable_tools is None or function["name"] in conversation.callable_tools
    }
    optional = conversation.calls == "auto"
    calls = bool(allowed) and conversation.calls != "none"
    param = wanted.param if wanted else "tools"
    try:
        schema = AnySchema.of(wanted.schema, strict=wanted.strict) if wanted else None
        if calls:
            param = "tools"
            constraint = engine.template.tool_call_format.constraint(
                allowed,
                parallel=conversation.parallel,
                optional=optional,
                thinking=prompt.thinking,
                markers=engine.template.markers,
                alternative=schema if optional else None,
            )
        elif schema:
            constraint = schema_constraint(schema.exact, schema.wider, (END_THINK,) if prompt.thinking else ())
        else:
            return None
        return compiled(constraint, engine.decoder.trie)
    except (SchemaError, ConstraintError) as error:
        number = getattr(error, "number", None)
        raise _unusable(param if number is None else conversation.tool_param.format(number), error) from error


def constraint_of(service: Service, wanted: OutputSchema | None) -> Constraint | None:
    """The constraint of an output that is JSON from its first character on, compiled; None: unconstrained.

    Raises:
        APIError: 400, `invalid_schema`.
    """
    if wanted is None:
        return None
    try:
        schema = AnySchema.of(wanted.schema, strict=wanted.strict)
        return compiled(schema_constraint(schema.exact, schema.wider), service.engine.decoder.trie)
    except (SchemaError, ConstraintError) as error:
        raise _unusable(wanted.param, error) from error


def _predicted(service: Service, text: str) -> list[int]:
    """The tokens of a prediction.

    Raises:
        APIError: 400; it is longer than any answer, or no text of this model.
    """
    engine = service.engine
    try:
        return engine.model.tokenize(
            text, add_special=False, parse_special=False, at_most=engine.decoder.context_length
        )
    except ContextOverflowError as error:
        longest = InputTooLongError("'prediction'", error.prompt_tokens, error.context_length)
        raise explain(longest, "prediction") from error
    except UnknownTextError as error:
        raise explain(error, "prediction") from error


def _unusable(param: str, error: Exception) -> APIError:
    return APIError(
        HTTPStatus.BAD_REQUEST,
        f"{param!r} can't be used: {str(error).removesuffix('.')}.",
        param=param,
        code="invalid_schema",
    )
