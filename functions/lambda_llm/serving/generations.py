"""The one place where a request becomes generations, whatever endpoint it came by."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from lambda_llm.engine.cancellation import Cancellation
from lambda_llm.engine.generate import Generation, GenerationRequest
from lambda_llm.engine.prefix_cache import CacheScope
from lambda_llm.engine.sampling import Sampling
from lambda_llm.openai_types.common import (
    CompletionInput,
    CompletionTokensDetails,
    PromptTokensDetails,
    SamplingInput,
    Usage,
)
from lambda_llm.serving.errors import APIError
from lambda_llm.serving.service import Service


@dataclass(frozen=True)
class Limits:
    """How long answers may be, and how many there are.

    Attributes:
        max_tokens: None: as long as the context allows.
        stop: texts before which an answer ends.
        choices: answers to each prompt.
        top_logprobs: see `GenerationRequest`.
    """

    max_tokens: int | None = None
    stop: Sequence[str] = ()
    choices: int = 1
    top_logprobs: int | None = None


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        user: as the request says; it counts only where the server trusts it.
    """

    user: str | None

    @classmethod
    def of(cls, body: SamplingInput) -> "Caller":
        """The caller that a request names."""
        return cls(body.user)

    def scope(self, service: Service) -> CacheScope:
        """What the caller may reuse of what was evaluated before."""
        return CacheScope(tenant=(self.user or "") if service.options.trust_user else "")


def make_generations(
    service: Service,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    limits: Limits,
    caller: Caller,
    *,
    preserved_tokens: Container[int] = (),
    remember: bool = False,
) -> list[Generation]:
    """Make the generations of one request; they share a `Cancellation`.

    Args:
        service: runs them.
        prompts: token ids of each.
        sampling: how tokens are chosen.
        limits: on the answers.
        caller: whose request it is.
        preserved_tokens: control tokens that are part of an answer's text.
        remember: the prompt is a conversation that may go on.

    Returns:
        The answers to each prompt beside each other.

    Raises:
        ContextOverflowError: a prompt leaves no room for an answer.
    """
    cancellation = Cancellation()
    scope = caller.scope(service)
    return [
        service.engine.generate(
            GenerationRequest(
                prompt,
                # The same seed for each answer would give the same answer each time.
                replace(sampling, seed=None if sampling.seed is None else sampling.seed + number),
                max_tokens=limits.max_tokens,
                stop=limits.stop,
                top_logprobs=limits.top_logprobs,
                preserved_tokens=preserved_tokens,
                scope=scope,
                # The next turn will follow one of the answers; which one, nobody knows yet.
                remember=remember and number == 0,
            ),
            cancellation,
        )
        for prompt in prompts
        for number in range(limits.choices)
    ]


def sampling_of(service: Service, body: SamplingInput) -> Sampling:
    """How to choose tokens, from the fields of a request.

    Raises:
        APIError: a bias is for a token that there is not.
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
    size = service.engine.model.vocabulary_size
    if (wrong := next((token for token in tokens if not 0 <= token < size), None)) is not None:
        raise APIError(
            HTTPStatus.BAD_REQUEST,
            f"{param!r} can't be used: {wrong} is no token of this model, which has the ids 0 to {size - 1}.",
            param=param,
            code="invalid_value",
        )


def usage_of(generations: Sequence[Generation], choices: int, reasoning: int = 0) -> Usage:
    """Tokens of one request.

    Args:
        generations: all answers, those to one prompt beside each other.
        choices: answers to each prompt, which counts once.
        reasoning: tokens of reasoning.
    """
    firsts = [each.stats for each in generations[::choices]]
    prompt = sum(stats.prompt_tokens for stats in firsts)
    completion = sum(each.stats.completion_tokens for each in generations)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=sum(stats.cached_tokens for stats in firsts)),
        completion_tokens_details=CompletionTokensDetails(reasoning_tokens=reasoning),
    )
