"""The deployment that is asked: its URL, and what AWS and its own `/health` say of it."""

import contextlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Final

import httpx2
from openai import APIStatusError, OpenAI, OpenAIError

from lambda_llm.aws.function_url import function_url_auth
from lambda_llm.cli.conversation import explained
from lambda_llm.cli.probes.control_plane import ControlPlane, MissingError, UnknowableError
from lambda_llm.errors import LambdaLLMError
from lambda_llm.web.hosts import LOOPBACK

TIMEOUT: Final = httpx2.Timeout(900, connect=10)

__all__ = ["ControlPlane", "Deployment", "MissingError", "RefusedError", "UnknowableError", "connected"]


class RefusedError(LambdaLLMError):
    """The server refused a request, failed at it or can't be reached.

    Attributes:
        status: of its response; None if there was none.
    """

    def __init__(self, sentence: str, status: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status


class Deployment:
    """A server of this package: a function behind its URL, or `lambda-llm serve`.

    Attributes:
        url: without `/v1` and slash.
        http: signs where that is needed.
        region: that requests are signed for; None: they are not signed.
    """

    def __init__(self, url: str, http: httpx2.Client, region: str | None, function: str | None) -> None:
        self.url = url
        self.http = http
        self.region = region
        self._given = function

    @property
    def local(self) -> bool:
        """Whether it is a server on this machine, which asks for no signature."""
        return self.region is None and httpx2.URL(self.url).host in LOOPBACK

    @cached_property
    def health(self) -> Mapping[str, Any]:
        """What the server said of itself when it was first asked."""
        return self.ask_health()

    def ask_health(self) -> Mapping[str, Any]:
        """What it says of itself now.

        Raises:
            RefusedError: it says nothing, or nothing that this package's server would.
        """
        try:
            answer = self.http.get(f"{self.url}/health")
        except httpx2.HTTPError as error:
            raise RefusedError(f"{self.url} can't be reached ({error}): is it running there?") from error
        try:
            said = answer.json()
        except ValueError:
            said = None
        if answer.status_code == httpx2.codes.FORBIDDEN:
            raise RefusedError(
                f"{self.url} refused /health (403): your IAM identity needs lambda:InvokeFunctionUrl and "
                "lambda:InvokeFunction on its alias."
            )
        if not isinstance(said, dict) or "worker" not in said:
            raise RefusedError(
                f"{self.url}/health answered {answer.status_code} and is no server of this package: give the URL that "
                "Terraform or `lambda-llm serve` printed."
            )
        return said

    @property
    def environment(self) -> Mapping[str, Any]:
        """What `/health` said of the function's environment.

        Raises:
            UnknowableError: it says nothing of one.
        """
        return environment_of(self.health)

    @cached_property
    def openai(self) -> OpenAI:
        """The official client, which does not retry: a second request would be another measurement."""
        return OpenAI(base_url=f"{self.url}/v1", api_key="unused", http_client=self.http, max_retries=0)

    @cached_property
    def aws(self) -> ControlPlane:
        """AWS in the function's region.

        Raises:
            UnknowableError: there is none.
        """
        if self.region is None:
            raise UnknowableError("There is no AWS behind this URL: it is no Function URL, and no --region is given.")
        return ControlPlane(self.region)

    @cached_property
    def function(self) -> str:
        """The function's name, as it was given or as the server says.

        Raises:
            UnknowableError: neither.
        """
        _ = self.aws
        name = self._given or (self.health.get("environment") or {}).get("function")
        if not name:
            raise UnknowableError("The function's name is not known, as /health does not tell it: give --function.")
        return str(name).partition(":")[0] if not str(name).startswith("arn:") else ":".join(str(name).split(":")[:7])

    @cached_property
    def _urls(self) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        """The function's aliases that have a URL, and these URLs."""
        found: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = []
        for alias in self.aws.call("lambda", "ListAliases", FunctionName=self.function)["Aliases"]:
            with contextlib.suppress(MissingError):
                found.append(
                    (
                        alias,
                        self.aws.call(
                            "lambda", "GetFunctionUrlConfig", FunctionName=self.function, Qualifier=alias["Name"]
                        ),
                    )
                )
        return found

    @cached_property
    def _url(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The alias that this URL leads to, and its URL: this one, or behind another domain the only one."""
        host = httpx2.URL(self.url).host
        here = [each for each in self._urls if httpx2.URL(each[1]["FunctionUrl"]).host == host]
        if not here and ".lambda-url." not in host and len(self._urls) == 1:
            here = self._urls
        if not here:
            raise MissingError(
                f"No alias of {self.function} has the URL {self.url}: give the URL of an alias, as $LATEST has no "
                "snapshot, and as --function the function that it is of."
            )
        return here[0]

    @property
    def alias(self) -> Mapping[str, Any]:
        """The alias that the URL leads to.

        Raises:
            MissingError: it leads to none of the function's.
        """
        return self._url[0]

    @property
    def url_config(self) -> Mapping[str, Any]:
        """The alias's URL as AWS describes it.

        Raises:
            MissingError: as for `alias`.
        """
        return self._url[1]

    @property
    def weights(self) -> Mapping[str, float]:
        """The versions behind the alias, and the share of requests that each gets."""
        others = (self.alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        return {self.alias["FunctionVersion"]: 1.0 - sum(others.values()), **others}

    @cached_property
    def versions(self) -> Mapping[str, Mapping[str, Any]]:
        """Configuration of each version behind the alias."""
        return {
            version: self.aws.call("lambda", "GetFunctionConfiguration", FunctionName=self.function, Qualifier=version)
            for version in self.weights
        }

    @property
    def configuration(self) -> Mapping[str, Any]:
        """Configuration of the version that most requests go to."""
        return self.versions[max(self.weights, key=lambda version: self.weights[version])]


def environment_of(health: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a response of `/health` says of the function's environment.

    Raises:
        UnknowableError: nothing.
    """
    environment = health.get("environment")
    if not environment:
        raise UnknowableError("The server says nothing of a function's environment: it runs in none, or is older.")
    return dict(environment)


@contextlib.contextmanager
def asking() -> Iterator[None]:
    """Errors of the official client as `RefusedError`."""
    try:
        yield
    except OpenAIError as error:
        status = error.status_code if isinstance(error, APIStatusError) else None
        raise RefusedError(str(explained(error)), status) from error
    except httpx2.HTTPError as error:  # while a stream is read
        raise RefusedError(f"The answer broke off ({error}): read the function's log.") from error


@contextlib.contextmanager
def connected(url: str, region: str | None = None, function: str | None = None) -> Iterator[Deployment]:
    """The deployment at a URL.

    Args:
        url: a Function URL or that of a server, with or without `/v1`.
        region: of the function, where `url` is a custom domain in front of its URL.
        function: its name or ARN; default: as its server says.

    Raises:
        CredentialsError: requests must be signed, and there are no credentials.
    """
    base = url.rstrip("/").removesuffix("/v1")
    auth = function_url_auth(base, region)
    with httpx2.Client(auth=auth, timeout=TIMEOUT) as http:
        yield Deployment(base, http, auth.region if auth else None, function)
