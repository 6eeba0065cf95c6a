"""The settings, read from `LAMBDA_LLM_*` environment variables."""

import os
from collections.abc import Iterable
from difflib import get_close_matches
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableError

from lambda_llm.errors import LambdaLLMError
from lambda_llm.gguf.options import DEFAULT_CONTEXT, Guess, KVType, ModelOptions, Weights
from lambda_llm.limits import TIMEOUT_MAX_SECONDS
from lambda_llm.loading.sources.base import ModelReference
from lambda_llm.web.origin import Tenancy

PREFIX: Final = "LAMBDA_LLM_"

OTHERS: Final = (
    *("URL", "KEY", "PRUNE_FUNCTION", "PRUNE_KEEP_NEWEST"),
    *("QUEUE_FUNCTION", "QUEUE_REQUESTS", "QUEUE_ANSWERS", "QUEUE_ANSWER_SECONDS", "QUEUE_RETRY_SECONDS"),
    *("CANARY_FUNCTION", "CANARY_ALIAS", "CANARY_VERSION"),
    *("AGENT", "AGENT_INFERENCE", "REVISION", "TERRAFORM", "PROVIDER_MIRROR"),
)
"""Variables with the same prefix that others read, and a shell or a function may have beside the settings: callers of
inference functions, the pruner, the queue worker, what rolls canaries back, agents; the Terraform module (`REVISION`)
and the project's own scripts."""

OTHERS_BEGIN: Final = ("STATE", "AUTHORIZER_", "BATCH_", "DOCUMENTS_", "ROUTER_")
"""How those of durable functions, the authorizer, batches, documents, the router and of their commands begin."""

GONE: Final = {"TRUST_USER": "write LAMBDA_LLM_TENANT=user in its place if it was true, else unset it"}
"""Settings of earlier versions, and what to do about them."""


class ContextOverflow(StrEnum):
    """What happens when a conversation exceeds the context.

    `error`: the request is refused, and a response ends where the context does. `shift`: the oldest turns after the
    system prompt are dropped.
    """

    ERROR = "error"
    SHIFT = "shift"


class SettingsError(LambdaLLMError):
    """A `LAMBDA_LLM_*` variable is missing, unknown, or has a value that can't be used."""


class Settings(BaseSettings):
    """All settings; each field is the variable `LAMBDA_LLM_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    model: Annotated[str, Field(min_length=1, description="s3://bucket/key, file:///path or a path")]
    model_version_id: str | None = Field(None, description="version of the S3 object; default: the newest")
    model_sha256: str | None = Field(
        None, pattern="^[0-9a-fA-F]{64}$", description="SHA-256 of the model in hex; refused when different"
    )
    model_size: int | None = Field(None, gt=0, description="size of the model in bytes; refused when different")
    model_name: str | None = Field(
        None, description="id under which the API offers the model; spaces become hyphens; default: the model's name"
    )
    model_aliases: tuple[str, ...] = Field((), description="further ids of the model, as a JSON list")
    context: int | None = Field(
        None, ge=8, description=f"context length in tokens; default: the model's, {DEFAULT_CONTEXT:,} at most"
    )
    context_overflow: ContextOverflow = Field(
        ContextOverflow.ERROR,
        description="when a conversation exceeds the context: error, or shift, which drops its oldest turns",
    )
    kv_type: KVType = Field(KVType.F16, description="type of the KV cache: f16, or q8_0 at about half the size")
    weights: Weights = Field(Weights.AUTO, description="auto, copied or mapped")
    threads: int | None = Field(
        None, ge=1, description="threads; default: the CPUs available to the process, fewer for a tiny model"
    )
    guess: Guess = Field(
        Guess.AUTO,
        description="whether tokens that stood behind the same ones before are evaluated together: auto, where a "
        "measurement in the warm-up says that it is faster, on or off; answers are the same",
    )
    memory_mb: int | None = Field(
        None, ge=64, description="memory limit in MB; default: the function's memory, or what is free"
    )
    load_seconds: float = Field(120, gt=0, description="time budget for loading the model, in seconds")
    queue: int = Field(
        16, ge=0, description="requests that may wait while another is processed; more are refused with a 429"
    )
    keepalive_seconds: float = Field(
        10, gt=0, description="seconds without an event after which a stream gets a keep-alive comment"
    )
    max_tokens: int | None = Field(
        None,
        ge=1,
        description="longest answer in tokens, whatever a request says: Lambda does not tell a function that a client "
        "left, so an abandoned answer computes to its end",
    )
    answer_seconds: float = Field(
        TIMEOUT_MAX_SECONDS,
        gt=0,
        description="seconds that a request may take; on Lambda an answer also ends before the function's time-out",
    )
    parse_control_tokens: bool = Field(
        False,  # noqa: FBT003 - a default
        description="whether the text of control tokens in messages means these tokens; by default it is plain text, "
        "so that no user can forge a turn",
    )
    tenant: Tenancy = Field(
        Tenancy.NONE,
        description="who says whose a request is, as tenants share no KV cache and no sessions: none, all callers are "
        "one; user, the request's field `user`, only where no client can set it itself; authorizer, that of the API "
        "Gateway in front, without which every request is refused",
    )
    system_prompt: str | None = Field(
        None,
        description="evaluated before the snapshot and kept in the KV cache; a text, or its s3://bucket/key or file:///path",
    )
    system_prompts: tuple[str, ...] = Field((), description="further system prompts, as a JSON list")
    sessions: str | None = Field(
        None,
        pattern="^s3://[^/]+",
        description="s3://bucket/prefix/ for the KV cache of conversations; default: not stored",
    )
    lines: bool | None = Field(
        None,
        description="whether a line of figures is written for each request; default: on Lambda, not with "
        "`lambda-llm serve`",
    )
    page: bool | None = Field(
        None, description="whether / serves a chat page; default: with `lambda-llm serve`, not on Lambda"
    )

    @model_validator(mode="after")
    def _version_needs_s3(self) -> Self:
        if self.model_version_id is not None and not self.model.startswith("s3://"):
            raise ValueError("model_version_id is for s3:// models only: leave it out, or name an s3:// model")
        return self

    @property
    def reference(self) -> ModelReference:
        """The model and its pins."""
        return ModelReference(self.model, self.model_version_id, self.model_size, self.model_sha256)

    @property
    def options(self) -> ModelOptions:
        """How the model is opened."""
        return ModelOptions(
            context_length=self.context,
            kv_type=self.kv_type,
            placement=self.weights,
            threads=self.threads,
            context_shift=self.context_overflow is ContextOverflow.SHIFT,
            guess=self.guess,
        )

    @classmethod
    def load(cls, **overrides: object) -> Self:
        """Read the environment; `overrides` that are not None take precedence.

        Raises:
            SettingsError: names each wrong or unknown variable and what was expected.
        """
        unknown = _unknown(cls.model_fields, os.environ)
        given = {name: value for name, value in overrides.items() if value is not None}
        try:
            settings = cls(**given)  # type: ignore[arg-type]  # pydantic validates what mypy can't see
        except ValidationError as error:
            wrong = [
                f"{_variable(problem['loc'])} can't be used: {problem['msg']}"
                for problem in error.errors(include_url=False, include_input=False, include_context=False)
            ]
            raise SettingsError("; ".join([*wrong, *unknown])) from None
        except UnreadableError as error:
            name = _variable((str(error).split('"')[1],))
            raise SettingsError(f'{name} can\'t be used: write it as JSON, for example ["one", "two"]') from None
        if unknown:
            raise SettingsError("; ".join(unknown))
        return settings


def _variable(location: tuple[int | str, ...]) -> str:
    return PREFIX + str(location[0]).upper() if location else "a setting"


def _unknown(fields: Iterable[str], environment: Iterable[str]) -> list[str]:
    """A sentence for each variable that looks like a setting and is none."""
    known = [*(field.upper() for field in fields), *OTHERS]
    # Case does not matter, as in pydantic-settings.
    found = sorted(name for name in environment if name.upper().startswith(PREFIX))
    said = []
    for name in found:
        rest = name.upper().removeprefix(PREFIX)
        if rest in known or rest.startswith(OTHERS_BEGIN):
            continue
        near = get_close_matches(rest, known, n=1)
        advice = f"did you mean {PREFIX}{near[0]}?" if near else "unset it; README.md has a table of all settings"
        advice = GONE.get(rest, advice)
        said.append(f"{name} is not a setting: {advice}")
    return said
