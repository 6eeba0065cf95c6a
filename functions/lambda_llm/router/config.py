"""The router's configuration: one typed file of backends, models and tenants.

YAML or JSON. No secret is in it: a backend's key is a reference, read when it is needed.
"""

import hashlib
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from lambda_llm.backends.contract import Operation
from lambda_llm.limits import APPCONFIG_BYTES
from lambda_llm.router.budget import MICRO, Limit, Limits
from lambda_llm.router.errors import ConfigurationError
from lambda_llm.router.facts import Feature, Place
from lambda_llm.router.guardrail import OVERLAP_CHARACTERS, REQUEST_CHARACTERS, UNIT_CHARACTERS
from lambda_llm.router.policy import Option, Prefer, TimePrice, TokenPrice

ANYBODY: Final = "*"
"""Name of the entry for tenants without one of their own, and of every model."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]
"""Of a backend, or of a model as clients write it."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]
URL = Annotated[str, Field(pattern=r"^https?://[^\s?#@]+$")]
Region = Annotated[str, Field(pattern=r"^[a-z]{2,4}(-[a-z]+)+-\d+$")]
Alias = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:lambda:[^:]+:\d{12}:function:[^:]+:[^:]+$")]

Principal = Annotated[
    str,
    Field(pattern=r"^arn:aws[a-z-]*:(iam::\d{12}:(role/[^/*?]+|user/[^*?]+|root)|sts::\d{12}:federated-user/[^*?]+)$"),
]
"""Of IAM."""

_SECRET: Final = re.compile(r"arn:aws[a-z-]*:(secretsmanager:[^:]+:\d{12}:secret:.+|ssm:[^:]+:\d{12}:parameter/.+)")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class NoAuth(_Part):
    """The server asks for nothing, such as one in the same network."""

    kind: Literal["none"]


class Bearer(_Part):
    """A key, which the server gets with each request.

    Attributes:
        secret: ARN of a secret of Secrets Manager, or of a parameter of SSM, which has the key and nothing else.
        header: that has the key.
        prefix: before the key.
    """

    kind: Literal["bearer"]
    secret: str
    header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")] = "Authorization"
    prefix: str = "Bearer "

    @field_validator("secret")
    @classmethod
    def _is_reference(cls, secret: str) -> str:
        if not _SECRET.fullmatch(secret):
            # Not repeated: it may be the key itself.
            raise ValueError("it must be the ARN of a secret of Secrets Manager or a parameter of SSM, not a key")
        return secret


class SigV4(_Part):
    """A signature with the router's role.

    Attributes:
        service: signing name, such as lambda, bedrock or sagemaker.
        region: of the server.
    """

    kind: Literal["sigv4"]
    service: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]
    region: Region


class TokenPriceEntry(_Part):
    """A price by the token.

    Attributes:
        input: US dollars for a million tokens of a prompt.
        output: US dollars for a million tokens of an answer.
        cached: US dollars for a million of those tokens of a prompt that a cache had; left out: as for `input`.
    """

    input: Price
    output: Price
    cached: Price | None = None

    def price(self) -> TokenPrice:
        """For the policy."""
        return TokenPrice(self.input, self.output, self.cached)


class TimePriceEntry(_Part):
    """A price by time, with the speed that was measured.

    Attributes:
        hourly: US dollars for an hour of a server; left out: a function of ours.
        prefill: tokens of prompts per second, of all requests together.
        decode: tokens of answers per second, likewise.
    """

    hourly: Positive | None = None
    prefill: Positive
    decode: Positive

    def price(self) -> TimePrice:
        """For the policy."""
        return TimePrice(self.hourly, self.prefill, self.decode)


def _kind_of_price(price: Any) -> str:
    """By which an error is told of the one that was meant."""
    if isinstance(price, Mapping):
        return "by_token" if {"input", "output"} & set(price) else "by_time"
    return "by_token" if isinstance(price, TokenPriceEntry) else "by_time"


class _Backend(_Part):
    """What every backend has.

    Attributes:
        place: where it answers: lambda, account or anywhere.
        region: that it is in.
        context: tokens of prompt and answer together.
        features: that it has.
        operations: that it has, by their paths. With /v1/responses, Converse and SageMaker have it over their chat
            completions, in one piece.
        price: of it.
        seconds: longest time for an answer.
    """

    place: Literal["lambda", "account", "anywhere"]
    region: Region | None = None
    context: Annotated[int, Field(gt=0)]
    features: tuple[Feature, ...] = ()
    operations: tuple[Operation, ...] = (Operation.CHAT,)
    price: Annotated[
        Annotated[TokenPriceEntry, Tag("by_token")] | Annotated[TimePriceEntry, Tag("by_time")],
        Discriminator(_kind_of_price),
    ]
    seconds: Positive = 600.0

    @field_validator("features", "operations", mode="before")
    @classmethod
    def _from_names(cls, names: Any, info: ValidationInfo) -> Any:
        # Strict validation wants the members themselves, of which a file has only the values.
        kind: type[Feature | Operation] = Feature if info.field_name == "features" else Operation
        for name in _listed(names):
            if name not in set(kind):
                raise ValueError(f"{name!r} is none of {', '.join(kind)}")
        return tuple(kind(name) for name in names)

    def option(self, name: str) -> Option:
        """For the policy."""
        return Option(
            name,
            frozenset(self.operations),
            self.context,
            frozenset(self.features),
            Place[self.place.upper()],
            self.region,
            self.price.price(),
        )


class OpenAIHTTPEntry(_Backend):
    """A server of OpenAI's API.

    Attributes:
        url: of it, with or without /v1.
        model: as the server calls it.
        auth: how it is authorized.
        fixed: fields that every request gets, over the client's.
        function: ARN of the alias, where it is a function of ours behind its Function URL: for its utilization.
    """

    kind: Literal["openai_http"]
    url: URL
    model: Annotated[str, Field(min_length=1)]
    auth: Annotated[NoAuth | Bearer | SigV4, Field(discriminator="kind")]
    fixed: Mapping[str, Any] = Field(default_factory=dict)
    function: Alias | None = None

    @model_validator(mode="after")
    def _is_private(self) -> Self:
        host = re.match(r"http://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?(/|$)", self.url)
        if self.url.startswith("http://") and not host and self.place == "anywhere":
            raise ValueError("a server outside of this account must have an https address")
        return self


class ConverseEntry(_Backend):
    """A model of Bedrock, through Converse.

    Attributes:
        model: id of the model or of an inference profile.
        guardrail: of Bedrock, as `id:version`.
        service_tier: of Bedrock.
        cache_points: whether prompts are cached up to the end of the tools and of the system prompt.
        url: of a VPC endpoint; left out: the service's own.
    """

    kind: Literal["converse"]
    region: Region
    model: Annotated[str, Field(min_length=1)]
    guardrail: Annotated[str, Field(pattern=r"^[a-z0-9]+:(DRAFT|\d+)$")] | None = None
    service_tier: Literal["priority", "default", "flex", "reserved"] | None = None
    cache_points: bool = False
    url: URL | None = None


class SageMakerEntry(_Backend):
    """An endpoint of SageMaker, whose container speaks OpenAI's API.

    Attributes:
        endpoint: name.
        component: inference component, where the endpoint has several.
        model: as the container calls it.
        url: of a VPC endpoint; left out: the service's own.
    """

    kind: Literal["sagemaker"]
    region: Region
    endpoint: Annotated[str, Field(pattern=r"^[A-Za-z0-9](-?[A-Za-z0-9]){0,62}$")]
    component: Annotated[str, Field(pattern=r"^[A-Za-z0-9](-?[A-Za-z0-9]){0,62}$")] | None = None
    model: Annotated[str, Field(min_length=1)]
    url: URL | None = None


class SageMakerAsyncEntry(_Backend):
    """An asynchronous endpoint of SageMaker, for requests that are not streamed.

    Attributes:
        endpoint: name.
        model: as the container calls it.
        inputs: `s3://bucket/prefix/` for requests of more than 128,000 bytes; left out: they are refused.
        url: of a VPC endpoint; left out: the service's own.
    """

    kind: Literal["sagemaker_async"]
    region: Region
    endpoint: Annotated[str, Field(pattern=r"^[A-Za-z0-9](-?[A-Za-z0-9]){0,62}$")]
    model: Annotated[str, Field(min_length=1)]
    inputs: Annotated[str, Field(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?$")] | None = None
    url: URL | None = None


class LambdaInvokeEntry(_Backend):
    """A function of ours, or one with a GPU, through Lambda's Invoke.

    Attributes:
        function: ARN of the alias.
        model: as the function calls it.
        url: of a VPC endpoint; left out: the service's own.
    """

    kind: Literal["lambda_invoke"]
    region: Region
    function: Alias
    model: Annotated[str, Field(min_length=1)]
    url: URL | None = None


BackendEntry = Annotated[
    OpenAIHTTPEntry | ConverseEntry | SageMakerEntry | SageMakerAsyncEntry | LambdaInvokeEntry,
    Field(discriminator="kind"),
]


class GuardrailEntry(_Part):
    """A guardrail of Bedrock, for any backend.

    Attributes:
        id: of it, or its ARN.
        version: number, or DRAFT.
        region: that it is in.
        input: whether requests are checked, before a backend gets them.
        output: whether answers are checked, before the client gets them.
        window: characters of a streamed answer that are held back and checked at once; a thousand are one text unit.
        on_failure: what becomes of a request that could not be checked.
        url: of a VPC endpoint; left out: the service's own.
    """

    id: Annotated[
        str, Field(pattern=r"^([a-z0-9]+|arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}:[0-9]{12}:guardrail/[a-z0-9]+)$")
    ]
    version: Annotated[str, Field(pattern=r"^([1-9][0-9]{0,7}|DRAFT)$")]
    region: Region
    input: bool = True
    output: bool = True
    window: Annotated[int, Field(ge=2 * OVERLAP_CHARACTERS, le=REQUEST_CHARACTERS)] = UNIT_CHARACTERS
    on_failure: Literal["closed"] = "closed"
    url: URL | None = None

    @model_validator(mode="after")
    def _checks_something(self) -> Self:
        if not (self.input or self.output):
            raise ValueError("a guardrail must check input, output or both")
        return self


class ModelEntry(_Part):
    """A model as clients name it.

    Attributes:
        backends: that may answer for it.
        prefer: what comes first.
        max_tokens: longest answer, and what is reserved for a request that names none.
        guardrail: that checks its requests and answers, whichever backend answers.
        hedge_seconds: after which another backend is asked for a stream too, once, while none has begun to answer; the
            first that begins answers, and the other costs the prompt all the same. Left out: never.
    """

    backends: Annotated[tuple[Name, ...], Field(min_length=1)]
    prefer: Prefer = Prefer.ORDER
    max_tokens: Annotated[int, Field(gt=0)] = 4096
    guardrail: Name | None = None
    hedge_seconds: Positive | None = None

    @field_validator("backends", mode="before")
    @classmethod
    def _from_list(cls, names: Any) -> Any:
        return tuple(_listed(names))

    @field_validator("prefer", mode="before")
    @classmethod
    def _from_name(cls, name: Any) -> Any:
        if name not in set(Prefer):
            raise ValueError(f"{name!r} is none of {', '.join(Prefer)}")
        return Prefer(name)


class Budget(_Part):
    """What a tenant may use in a time; what is left out has no limit.

    Attributes:
        tokens: of prompts and answers.
        dollars: in US dollars.
    """

    tokens: Annotated[int, Field(ge=0, le=10**18)] | None = None
    dollars: Annotated[float, Field(ge=0, le=10**12, allow_inf_nan=False)] | None = None

    def limit(self) -> Limit:
        """For the ledger: rounded down, as what is charged is rounded up."""
        return Limit(self.tokens, None if self.dollars is None else int(Decimal(str(self.dollars)) * MICRO))


class TenantEntry(_Part):
    """What a tenant may do.

    Attributes:
        models: that it may use; `*`: all.
        place: farthest place that its data may go to.
        region: that its requests must be answered in.
        minute: budget.
        day: budget, of a day in UTC.
        month: budget, of a month in UTC.
        principals: ARNs of the roles (without their path) and users whose requests are this tenant's, where IAM says
            who asks.
        guardrail: that checks its requests and answers, besides that of the model.
        batch_dollars: most US dollars of one batch, beside which no budget counts; left out: it may have no batches.
    """

    models: tuple[Annotated[str, Field(min_length=1)], ...]
    place: Literal["lambda", "account", "anywhere"] = "account"
    region: Region | None = None
    minute: Budget = Budget()
    day: Budget = Budget()
    month: Budget = Budget()
    principals: tuple[Principal, ...] = ()
    guardrail: Name | None = None
    batch_dollars: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None

    @field_validator("models", "principals", mode="before")
    @classmethod
    def _from_list(cls, names: Any) -> Any:
        return tuple(_listed(names))

    @model_validator(mode="after")
    def _batches_keep_its_rules(self) -> Self:
        for name in ("guardrail", "region"):
            if self.batch_dollars is not None and getattr(self, name) is not None:
                raise ValueError(f"a tenant with batch_dollars can't have a {name}, which batches would not keep")
        return self

    def limits(self) -> Limits:
        """The tenant's budgets, for the ledger."""
        return Limits(self.minute.limit(), self.day.limit(), self.month.limit())

    def may_use(self, model: str) -> bool:
        """Whether the tenant may use a model."""
        return ANYBODY in self.models or model in self.models


class Configuration(_Part):
    """The whole file.

    Attributes:
        version: of its format.
        backends: by name.
        models: by the name that clients use.
        tenants: by name; `*`: those without an entry of their own, who are refused if it is not there.
        guardrails: by name.
    """

    version: Literal[1]
    backends: Annotated[Mapping[Name, BackendEntry], Field(min_length=1)]
    models: Annotated[Mapping[Name, ModelEntry], Field(min_length=1)]
    tenants: Annotated[Mapping[Annotated[str, Field(min_length=1, max_length=128)], TenantEntry], Field(min_length=1)]
    guardrails: Mapping[Name, GuardrailEntry] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        for model, entry in self.models.items():
            for backend in entry.backends:
                if backend not in self.backends:
                    raise ValueError(f"the model {model!r} names the backend {backend!r}, which is not there")
            if len(set(entry.backends)) != len(entry.backends):
                raise ValueError(f"the model {model!r} names a backend twice")
        for tenant, rights in self.tenants.items():
            for model in rights.models:
                if model not in (ANYBODY, *self.models):
                    raise ValueError(f"the tenant {tenant!r} names the model {model!r}, which is not there")
        return self

    @model_validator(mode="after")
    def _principals_are_of_one_tenant(self) -> Self:
        owners: dict[str, str] = {}
        for tenant, rights in self.tenants.items():
            if tenant == ANYBODY and rights.principals:
                raise ValueError(f"the tenant {ANYBODY!r} has principals, who would share one budget: give them a name")
            for principal in rights.principals:
                owner = owners.setdefault(principal, tenant)
                if owner != tenant:
                    raise ValueError(f"the principal {principal} is of the tenants {owner!r} and {tenant!r}")
        return self

    @model_validator(mode="after")
    def _guardrails_are_known(self) -> Self:
        named = [
            *((f"model {name!r}", model.guardrail) for name, model in self.models.items()),
            *((f"tenant {name!r}", tenant.guardrail) for name, tenant in self.tenants.items()),
        ]
        for who, guardrail in named:
            if guardrail is not None and guardrail not in self.guardrails:
                raise ValueError(f"the {who} names the guardrail {guardrail!r}, which is not there")
        return self

    def tenant(self, name: str) -> TenantEntry | None:
        """What a tenant may do; None: it is not known."""
        return self.tenants.get(name) or self.tenants.get(ANYBODY)

    def tenant_of(self, principal: str) -> str:
        """The tenant whose a principal's requests are; one without an entry is a tenant of its own."""
        return next((name for name, rights in self.tenants.items() if principal in rights.principals), principal)

    def guardrails_of(self, model: str, tenant: str) -> list[str]:
        """Names of the guardrails for a tenant's requests to a model: the tenant's own first, each once."""
        rights = self.tenant(tenant)
        named = (None if rights is None else rights.guardrail, self.models[model].guardrail)
        return list(dict.fromkeys(name for name in named if name is not None))

    def options(self, model: str) -> list[Option]:
        """The backends of a model, in order, for the policy."""
        return [self.backends[name].option(name) for name in self.models[model].backends]


def parse(content: bytes) -> Configuration:
    """Read a configuration.

    Args:
        content: the file, YAML or JSON, in UTF-8.

    Raises:
        ConfigurationError: the file is too long, no YAML, or something in it is wrong; names the first place.
    """
    if len(content) > APPCONFIG_BYTES:
        raise ConfigurationError(f"The configuration has {len(content):,} bytes, and {APPCONFIG_BYTES:,} are allowed.")
    try:
        parsed = yaml.load(content, _Loader)  # noqa: S506 - a safe loader, which refuses more
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" in line {where.line + 1}" if where else ""
        raise ConfigurationError(
            f"The configuration is no YAML or JSON{line}: {getattr(error, 'problem', None) or 'it can not be read'}."
        ) from None
    if not isinstance(parsed, dict):
        raise ConfigurationError("The configuration must be a mapping with version, backends, models and tenants.")
    try:
        return Configuration.model_validate(parsed)
    except ValidationError as error:
        raise ConfigurationError(_sentence(error)) from None
    except RecursionError:
        raise ConfigurationError("The configuration is nested too deeply.") from None


def digest(content: bytes) -> str:
    """Name of a configuration's content, for logs."""
    return hashlib.sha256(content).hexdigest()[:12]


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """Safe YAML without aliases, which can make a small file a large one, and without keys that come twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for number, key in enumerate(keys):
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"a key must be text, and {key!r} is not: quote it", node.value[number][0].start_mark
                )
            if key in keys[:number]:
                mark = node.value[number][0].start_mark
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} comes twice", mark)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


_Loader.add_implicit_resolver(  # JSON's numbers with an exponent, which YAML 1.1 takes for text without a point
    "tag:yaml.org,2002:float", re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?[eE][-+]?[0-9]+$"), list("-0123456789")
)


def _listed(names: Any) -> list[Any]:
    if not isinstance(names, list | tuple):
        raise ValueError("it must be a list")  # noqa: TRY004 - what pydantic makes an error of
    return list(names)


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(step) for step in first["loc"])
    what = first["msg"].removeprefix("Value error, ")
    return f"The configuration can't be used: {f'{place}: ' if place else ''}{what}."
