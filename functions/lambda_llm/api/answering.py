"""From a question, whatever endpoint it came by, to generations, and to the parts of their answers."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Literal, NamedTuple

from lambda_llm.api.errors import APIError, explain
from lambda_llm.api.schema import (
    CompletionInput,
    CompletionTokensDetails,
    PromptTokensDetails,
    SamplingInput,
    Usage,
)
from lambda_llm.api.service import Service
from lambda_llm.engine.dialect import END_THINK, Tool
from lambda_llm.engine.errors import ConstraintError, ContextOverflowError, SchemaError, TemplateError
from lambda_llm.engine.generate import FinishReason, Generation
from lambda_llm.engine.json_schema import grammar_of
from lambda_llm.engine.model import Cancellation
from lambda_llm.engine.parse import AnswerParser, Content, Part, Reasoning
from lambda_llm.engine.prefix import Scope
from lambda_llm.engine.sampling import Constraint, Sampling, Scored, check_constraint
from lambda_llm.engine.template import RESERVED, Prompt


class Form(NamedTuple):
    """JSON that the answer must be.

    Attributes:
        schema: JSON Schema.
        strict: nothing of it may be left out.
        param: the field of the request that it came in.
    """

    schema: Any
    strict: bool
    param: str


@dataclass(frozen=True)
class Question:
    """What is asked, in the form that chat templates read.

    Attributes:
        messages: at least one.
        param: the field of the request that they came in.
        tools: in the form of chat completions.
        tool_param: the field in which a tool's parameters came, with `{}` for its number.
        callable_tools: names that may be called; None: all.
        calls: whether the model may call, must, or must not.
        parallel: several calls are fine.
        form: what the answer must look like.
        variables: for the template.
    """

    messages: Sequence[Mapping[str, Any]]
    param: str = "messages"
    tools: Sequence[Mapping[str, Any]] = ()
    tool_param: str = "tools.{}.function.parameters"
    callable_tools: frozenset[str] | None = None
    calls: Literal["none", "auto", "required"] = "auto"
    parallel: bool = True
    form: Form | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Limits:
    """How long answers may be, and how many there are.

    Attributes:
        max_tokens: None: as long as the context allows.
        stop: texts before which an answer ends.
        choices: answers.
        top_logprobs: see `Generation`.
        user: who asks, as the request says.
    """

    max_tokens: int | None = None
    stop: Sequence[str] = ()
    choices: int = 1
    top_logprobs: int | None = None
    user: str | None = None


def sampling_of(service: Service, body: SamplingInput) -> Sampling:
    """How to choose, from the fields of a request.

    Raises:
        APIError: a bias is for a token that there is not.
    """
    biases: dict[int, float] = {}
    if not isinstance(body, CompletionInput):
        extra: dict[str, Any] = {}
    else:
        biases = {int(token): bias for token, bias in (body.logit_bias or {}).items()}
        extra = {
            "seed": body.seed,
            "logit_bias": biases,
            "presence_penalty": body.presence_penalty or 0.0,
            "frequency_penalty": body.frequency_penalty or 0.0,
        }
    check_tokens(service, biases, "logit_bias")
    return Sampling(
        temperature=1.0 if body.temperature is None else body.temperature,
        top_p=1.0 if body.top_p is None else body.top_p,
        top_k=body.top_k or 0,
        min_p=body.min_p or 0.0,
        repeat_penalty=body.repeat_penalty or 1.0,
        **extra,
    )


def check_tokens(service: Service, tokens: Sequence[int] | Mapping[int, Any], param: str) -> None:
    """Refuse ids that are no token.

    Raises:
        APIError: naming the first one.
    """
    size = service.served.model.vocabulary_size
    if (wrong := next((token for token in tokens if not 0 <= token < size), None)) is not None:
        raise APIError(
            HTTPStatus.BAD_REQUEST,
            f"{param!r} can't be used: {wrong} is no token of this model, which has the ids 0 to {size - 1}.",
            param=param,
            code="invalid_value",
        )


class Told(NamedTuple):
    """A step of an answer.

    Attributes:
        choice: the number of the answer, from 0.
        part: what was said.
        scored: the tokens of it, where probabilities were asked for.
        reason: why the answer ended, with its last step, which has no part.
    """

    choice: int
    part: Part | None
    scored: Sequence[Scored] = ()
    reason: Literal["stop", "length", "tool_calls"] | None = None


class Answering:
    """The answers to one question.

    Attributes:
        generations: one for each answer.
    """

    def __init__(self, service: Service, generations: Sequence[Generation], parsers: Sequence[AnswerParser]) -> None:
        self.generations = generations
        self._service = service
        self._parsers = parsers
        self._thoughts: list[str] = []

    @classmethod
    def plan(cls, service: Service, question: Question, sampling: Sampling, limits: Limits) -> "Answering":
        """Render and tokenize; takes long enough for a long question to be worth a thread of its own.

        Raises:
            APIError: the question can't be asked.
        """
        served = service.served
        if reserved := RESERVED & question.variables.keys():
            raise APIError(
                HTTPStatus.BAD_REQUEST,
                f"'chat_template_kwargs' can't be used: {min(reserved)!r} is not for the client to choose.",
                param="chat_template_kwargs",
                code="invalid_value",
            )
        tools = question.tools if question.calls != "none" else ()
        try:
            prompt = served.template.prompt(question.messages, tools, question.variables)
            constraint = _constraint(service, question, prompt)
            cancellation = Cancellation()
            scope = Scope(tenant=(limits.user or "") if served.trust_user else "")
            generations = [
                Generation(
                    served.model,
                    prompt.tokens,
                    _held_to(sampling, constraint, number),
                    max_tokens=limits.max_tokens,
                    stop=limits.stop,
                    cancellation=cancellation,
                    top_logprobs=limits.top_logprobs,
                    scope=scope,
                    # What is said next will follow one of the answers; which one, nobody knows yet.
                    sessions=served.sessions if number == 0 else None,
                    written_out=served.template.marks if tools or served.template.thinks else (),
                )
                for number in range(limits.choices)
            ]
        except (ContextOverflowError, TemplateError) as error:
            raise explain(error, question.param) from error
        names = {tool["function"]["name"] for tool in tools}
        parsers = [
            AnswerParser(
                dialect=served.template.dialect if tools else None,
                tools=names,
                thinks=served.template.thinks,
                thinking=prompt.thinking,
            )
            for _ in generations
        ]
        return cls(service, generations, parsers)

    @asynccontextmanager
    async def run(self, signs_every: float | None = None) -> AsyncIterator[AsyncIterator[Told | None]]:
        """Generate; the context gives the steps, and None as a sign of life. See `Worker.run`."""
        async with self._service.worker.run(self.generations, signs_every) as pieces:
            yield self._told(pieces)

    async def _told(self, pieces: AsyncIterator[Any]) -> AsyncIterator[Told | None]:
        waiting: list[Scored] = []
        async for piece in pieces:
            if piece is None:
                yield None
                continue
            parser = self._parsers[piece.choice]
            waiting += [] if parser.thinking else piece.scored
            parts = parser.feed(piece.text)
            if piece.ended:
                parts += parser.finish()
            for part in parts:
                if isinstance(part, Reasoning):
                    self._thoughts.append(part.text)
                shown = isinstance(part, Content)
                yield Told(piece.choice, part, waiting if shown else ())
                waiting = [] if shown else waiting
            if piece.ended:
                yield Told(piece.choice, None, waiting, self._reason(piece.choice))
                waiting = []

    def _reason(self, choice: int) -> Literal["stop", "length", "tool_calls"]:
        if self.generations[choice].finish_reason is FinishReason.LENGTH:
            return "length"
        return "tool_calls" if self._parsers[choice].calls else "stop"

    def usage(self) -> Usage:
        """Tokens, when all is said."""
        thoughts = "".join(self._thoughts)
        model = self._service.served.model
        reasoning = len(model.tokenize(thoughts, add_special=False)) if thoughts else 0
        return usage_of(self.generations, len(self.generations), reasoning)


def usage_of(generations: Sequence[Generation], choices: int, reasoning: int = 0) -> Usage:
    """Tokens of one request.

    Args:
        generations: all answers, those to one prompt beside each other.
        choices: answers to each prompt, which counts once.
        reasoning: tokens of thoughts.
    """
    firsts = generations[::choices]
    prompt, completion = (
        sum(len(each.prompt) for each in firsts),
        sum(each.completion_tokens for each in generations),
    )
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=sum(each.cached_tokens for each in firsts)),
        completion_tokens_details=CompletionTokensDetails(reasoning_tokens=reasoning),
    )


def _held_to(sampling: Sampling, constraint: Constraint | None, number: int) -> Sampling:
    """The same seed for each answer would give the same answer each time."""
    seed = sampling.seed if sampling.seed is None else sampling.seed + number
    return replace(sampling, constraint=constraint, seed=seed)


def _constraint(service: Service, question: Question, prompt: Prompt) -> Constraint | None:
    """What the answer is held to, checked."""
    served, form = service.served, question.form
    allowed = {
        number: Tool(function["name"], function.get("parameters") or {}, bool(function.get("strict")))
        for number, function in enumerate(tool["function"] for tool in question.tools)
        if question.callable_tools is None or function["name"] in question.callable_tools
    }
    param = form.param if form else "tools"
    at_will = question.calls == "auto"
    try:
        if allowed and question.calls != "none":
            constraint = served.template.dialect.constraint(
                allowed,
                parallel=question.parallel,
                at_will=at_will,
                thinking=prompt.thinking,
                instead=(lambda grammar: grammar.json(form.schema, strict=form.strict)) if form and at_will else None,
            )
        elif form:
            grammar = grammar_of(form.schema, strict=form.strict, after_thoughts=prompt.thinking)
            constraint = Constraint(grammar, (END_THINK,) if prompt.thinking else ())
        else:
            return None
        check_constraint(served.model, constraint)
    except (SchemaError, ConstraintError) as error:
        number = getattr(error, "number", None)
        field_name = param if number is None else question.tool_param.format(number)
        raise APIError(
            HTTPStatus.BAD_REQUEST,
            f"{field_name!r} can't be used: {str(error).removesuffix('.')}.",
            param=field_name,
            code="invalid_schema",
        ) from error
    return constraint
