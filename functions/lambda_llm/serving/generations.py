"""From a request to its generations, in one place for all endpoints."""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import Request

from lambda_llm.engine.cancellation import Cancellation
from lambda_llm.engine.generate import Generation, GenerationRequest
from lambda_llm.engine.prefix_cache import CacheScope
from lambda_llm.engine.sampling import Sampling
from lambda_llm.engine.session_store import SAVE_SECONDS
from lambda_llm.openai_types.common import (
    AcceptedInput,
    CompletionInput,
    CompletionTokensDetails,
    PromptTokensDetails,
    SamplingInput,
    Usage,
)
from lambda_llm.serving.service import Service
from lambda_llm.web.deadline import END_SECONDS, deadline_of
from lambda_llm.web.errors import APIError
from lambda_llm.web.origin import Tenancy, no_tenant, origin_of
from lambda_llm.web.streaming import while_connected

Planned = TypeVar("Planned")


@dataclass(frozen=True)
class Limits:
    """Length and number of the choices.

    Attributes:
        max_tokens: of each choice; None: as many as the context allows.
        stop: stop sequences.
        choices: generations per prompt.
        top_logprobs: see `GenerationRequest`.
    """

    max_tokens: int | None = None
    stop: Sequence[str] = ()
    choices: int = 1
    top_logprobs: int | None = None


@dataclass(frozen=True)
class Caller:
    """The sender of a request.

    Attributes:
        tenant: whose request it is; empty where nobody says.
        session: id of the conversation, if the request gives one.
        max_tokens: longest answer that the front door allows; None: it does not say.
        cancellation: ends everything that the request needs.
    """

    tenant: str
    session: str | None = None
    max_tokens: int | None = None
    cancellation: Cancellation = field(default_factory=Cancellation)

    @classmethod
    def of(cls, service: Service, body: SamplingInput, request: Request) -> "Caller":
        """The caller of a request in OpenAI's API."""
        session = body.prompt_cache_key if isinstance(body, AcceptedInput) else None
        return cls.named(service, body.user, request, session)

    @classmethod
    def named(cls, service: Service, user: str | None, request: Request, session: str | None = None) -> "Caller":
        """The caller of a request, whose deadline begins now.

        Args:
            service: which knows who names tenants.
            user: the request's field `user`.
            request: behind a front door it knows its origin.
            session: id of the conversation.

        Raises:
            APIError: 403, `no_tenant`: the authorizer has to name the tenant, and there was none.
        """
        # Behind the answer the conversation is saved.
        margin = END_SECONDS + (SAVE_SECONDS if service.engine.sessions is not None else 0)
        deadline = deadline_of(request, service.options.answer_seconds, margin)
        origin = origin_of(request.scope)
        tenant = {Tenancy.NONE: "", Tenancy.USER: user or "", Tenancy.AUTHORIZER: origin.tenant}[
            service.options.tenancy
        ]
        if tenant is None:
            raise no_tenant()
        return cls(tenant, session, origin.max_tokens, Cancellation(deadline))

    @property
    def scope(self) -> CacheScope:
        """The scope within which the caller's keys and values may be reused."""
        return CacheScope(tenant=self.tenant, session=self.session)


async def planned(service: Service, request: Request, caller: Caller, job: Callable[[], Planned]) -> Planned:
    """Run a job that prepares a request on a planning thread, as long as its caller is there.

    Raises:
        ClientDisconnect: the caller is not.
        Exception: any that `Worker.plan` raises.
    """
    return await while_connected(request, service.worker.plan(job, caller.cancellation))


def make_generations(
    service: Service,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    limits: Limits,
    caller: Caller,
    *,
    preserved_tokens: Container[int] = (),
    predicted: Sequence[int] = (),
    remember: bool = False,
) -> list[Generation]:
    """Make the generations of one request; they share a `Cancellation`.

    Args:
        service: whose engine runs them.
        prompts: token ids of each.
        sampling: how tokens are chosen.
        limits: length and number of the choices.
        caller: sender of the request.
        preserved_tokens: control tokens that are part of the generated text.
        predicted: tokens that the answers may consist of.
        remember: the prompts are turns of conversations; see `GenerationRequest`.

    Returns:
        The generations, grouped by prompt.

    Raises:
        NotGenerativeError: the model is an encoder.
        ContextOverflowError: a prompt leaves no room for one token.
    """
    allowed = (limits.max_tokens, service.options.max_tokens, caller.max_tokens)
    longest = min((each for each in allowed if each is not None), default=None)
    return [
        service.engine.generate(
            GenerationRequest(
                prompt,
                # With the same seed all choices would be equal.
                replace(sampling, seed=None if sampling.seed is None else sampling.seed + number),
                max_tokens=longest,
                stop=limits.stop,
                top_logprobs=limits.top_logprobs,
                preserved_tokens=preserved_tokens,
                predicted=predicted,
                scope=caller.scope,
                # The next turn follows one choice, unknown yet: save one of them only.
                remember=remember and number == 0,
            ),
            caller.cancellation,
        )
        for prompt in prompts
        for number in range(limits.choices)
    ]


def sampling_of(service: Service, body: SamplingInput) -> Sampling:
    """Sampling parameters from the fields of a request.

    Raises:
        APIError: `logit_bias` has an id that is not a token.
    """
    biases: dict[int, float] = {}
    extra: dict[str, Any] = {}
    if isinstance(body, CompletionInput):
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
        top_k=max(body.top_k or 0, 0),
        min_p=body.min_p or 0.0,
        repeat_penalty=body.repeat_penalty or 1.0,
        **extra,
    )


def check_tokens(service: Service, tokens: Sequence[int] | Mapping[int, Any], param: str) -> None:
    """Refuse ids that are not tokens of the model: llama.cpp does not check them.

    Args:
        service: whose model is meant.
        tokens: ids, or a mapping with ids as keys.
        param: the field of the request.

    Raises:
        APIError: 400, naming the first invalid id.
    """
    size = service.engine.model.vocabulary_size
    if (wrong := next((token for token in tokens if not 0 <= token < size), None)) is not None:
        raise APIError(
            HTTPStatus.BAD_REQUEST,
            f"{param!r} can't be used: {wrong} is not a token of this model, whose ids are 0 to {size - 1}.",
            param=param,
            code="invalid_value",
        )


def usage_of(generations: Sequence[Generation], choices: int, reasoning: int = 0) -> Usage:
    """Token counts of one request.

    Args:
        generations: all of its generations, grouped by prompt.
        choices: generations per prompt; the prompt's tokens count once.
        reasoning: number of reasoning tokens.
    """
    firsts = [each.stats for each in generations[::choices]]
    prompt = sum(stats.prompt_tokens for stats in firsts)
    completion = sum(each.stats.completion_tokens for each in generations)
    guessed = sum(each.stats.guessed_tokens for each in generations)
    accepted = sum(each.stats.accepted_tokens for each in generations)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=sum(stats.cached_tokens for stats in firsts)),
        completion_tokens_details=CompletionTokensDetails(
            reasoning_tokens=reasoning,
            accepted_prediction_tokens=accepted,
            rejected_prediction_tokens=guessed - accepted,
        ),
    )
