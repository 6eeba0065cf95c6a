"""The backends of a configuration."""

from collections.abc import Callable

import httpx2

from lambda_llm.aws.signing import SigV4Auth
from lambda_llm.backends.auth import BearerAuth, Key
from lambda_llm.backends.bounded import Bounded
from lambda_llm.backends.contract import Backend, Operation
from lambda_llm.backends.conventions import PROVIDERS
from lambda_llm.backends.converse import Converse
from lambda_llm.backends.converse_request import ConverseOptions
from lambda_llm.backends.endpoints import endpoint
from lambda_llm.backends.lambda_invoke import LambdaInvoke
from lambda_llm.backends.openai_http import OpenAIHTTP
from lambda_llm.backends.responses_chat import ResponsesOverChat
from lambda_llm.backends.sagemaker import Endpoint, SageMaker
from lambda_llm.backends.sagemaker_async import AsyncEndpoint, SageMakerAsync
from lambda_llm.router.config import (
    BackendEntry,
    Bearer,
    Configuration,
    ConverseEntry,
    GuardrailEntry,
    LambdaInvokeEntry,
    NoAuth,
    SageMakerAsyncEntry,
    SageMakerEntry,
    SigV4,
)
from lambda_llm.router.guardrail import Guardrail, Source
from lambda_llm.telemetry.genai import OURS


def backends(
    configuration: Configuration, key: Callable[[str], Key], without: frozenset[str] = frozenset()
) -> dict[str, Backend]:
    """Make a configuration's backends; none is asked, and no key is read.

    Args:
        configuration: names them.
        key: gives what gives a key, by the ARN of its secret: `secrets.Secrets.key`.
        without: names of those that are not made.

    Raises:
        CredentialsError: a backend is authorized with IAM, and there are no credentials.
    """
    entries = ((name, entry) for name, entry in configuration.backends.items() if name not in without)
    return {name: _bounded(name, entry, SigV4Auth, key) for name, entry in entries}


def strangers(configuration: Configuration) -> dict[str, Backend]:
    """The same for who has no credentials and no key: each should refuse."""
    entries = configuration.backends.items()
    return {name: _bounded(name, entry, lambda *_: httpx2.Auth(), None) for name, entry in entries}


def providers(configuration: Configuration) -> dict[str, str]:
    """Whose the models of the backends are, as spans name them."""
    return {
        name: OURS if entry.place == "lambda" else PROVIDERS[entry.kind]
        for name, entry in configuration.backends.items()
    }


def guardrails(configuration: Configuration) -> dict[str, Guardrail]:
    """Make a configuration's guardrails; none is asked.

    Args:
        configuration: names them.

    Raises:
        CredentialsError: there is one, and there are no credentials.
    """
    return {name: _guardrail(name, entry) for name, entry in configuration.guardrails.items()}


def _guardrail(name: str, entry: GuardrailEntry) -> Guardrail:
    sources: tuple[tuple[bool, Source], ...] = ((entry.input, "INPUT"), (entry.output, "OUTPUT"))
    return Guardrail(
        name,
        entry.url or endpoint("bedrock-runtime", entry.region),
        entry.id,
        entry.version,
        auth=SigV4Auth("bedrock", entry.region),
        checks=frozenset(source for wanted, source in sources if wanted),
        window=entry.window,
    )


def _bounded(
    name: str, entry: BackendEntry, sign: Callable[[str, str], httpx2.Auth], key: Callable[[str], Key] | None
) -> Backend:
    """A backend within its limit of time, and with responses over its chat completions where it has none of its own."""
    backend: Backend = Bounded(_backend(name, entry, sign, key), entry.seconds)
    translates = isinstance(entry, ConverseEntry | SageMakerEntry | SageMakerAsyncEntry)
    return ResponsesOverChat(name, backend) if translates and Operation.RESPONSES in entry.operations else backend


def _backend(
    name: str, entry: BackendEntry, sign: Callable[[str, str], httpx2.Auth], key: Callable[[str], Key] | None
) -> Backend:
    match entry:
        case ConverseEntry():
            guardrail = None if entry.guardrail is None else entry.guardrail.partition(":")
            options = ConverseOptions(
                guardrail=None if guardrail is None else (guardrail[0], guardrail[2]),
                service_tier=entry.service_tier,
                cache_points=entry.cache_points,
            )
            url = entry.url or endpoint("bedrock-runtime", entry.region)
            return Converse(name, url, entry.model, auth=sign("bedrock", entry.region), options=options)
        case SageMakerEntry():
            url = entry.url or endpoint("runtime.sagemaker", entry.region)
            where = Endpoint(entry.endpoint, entry.component)
            return SageMaker(name, url, where, entry.model, auth=sign("sagemaker", entry.region))
        case SageMakerAsyncEntry():
            url = entry.url or endpoint("runtime.sagemaker", entry.region)
            queued = AsyncEndpoint(
                entry.endpoint, entry.region, entry.inputs, frozenset(entry.operations) | {Operation.CHAT}
            )
            return SageMakerAsync(name, url, queued, entry.model, auth=sign("sagemaker", entry.region))
        case LambdaInvokeEntry():
            return LambdaInvoke(
                name,
                entry.url or endpoint("lambda", entry.region),
                entry.function,
                entry.model,
                auth=sign("lambda", entry.region),
                operations=frozenset(entry.operations),
            )
        case _:
            return OpenAIHTTP(
                name,
                entry.url,
                entry.model,
                auth=_auth(entry.auth, sign, key),
                operations=frozenset(entry.operations),
                fixed=entry.fixed,
            )


def _auth(
    auth: NoAuth | Bearer | SigV4, sign: Callable[[str, str], httpx2.Auth], key: Callable[[str], Key] | None
) -> httpx2.Auth | None:
    match auth:
        case Bearer():
            return None if key is None else BearerAuth(key(auth.secret), auth.header, auth.prefix)
        case SigV4():
            return sign(auth.service, auth.region)
        case _:
            return None
