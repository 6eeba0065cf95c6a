"""The settings of the router's functions, read from `LAMBDA_LLM_ROUTER_*` environment variables."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from enum import StrEnum
from typing import Final, Self

from lambda_llm.aws.s3_uri import parse_prefix
from lambda_llm.errors import LambdaLLMError

PREFIX: Final = "LAMBDA_LLM_ROUTER_"

_QUEUE: Final = re.compile(r"https?://[^\s/?#@]+/[^\s?#]+")
"""URL of a queue."""

_FIFO: Final = ".fifo"


class Identity(StrEnum):
    """Who says whose a request is."""

    IAM = "iam"
    """The role or user that signed it: a Function URL's IAM authorization names it."""
    AUTHORIZER = "authorizer"
    """The authorizer of the API Gateway in front."""


class SettingsError(LambdaLLMError):
    """A `LAMBDA_LLM_ROUTER_*` variable is missing, unknown, or has a value that can't be used."""


@dataclass(frozen=True)
class Settings:
    """All settings; each field is the variable `LAMBDA_LLM_ROUTER_<FIELD>`.

    Attributes:
        configuration: where it is: `s3://bucket/key`, `appconfig://application/environment/profile`, or a path.
        table: DynamoDB table of the budgets, by name or ARN.
        identity: who says whose a request is.
        results: `s3://bucket/prefix/` of background responses; None: there are none.
        queue: URL of the SQS queue of background responses; None exactly if `results` is.
    """

    configuration: str
    table: str
    identity: Identity
    results: str | None = None
    queue: str | None = None

    @classmethod
    def load(cls, environment: Mapping[str, str]) -> Self:
        """Read the environment.

        Args:
            environment: the process's variables.

        Raises:
            SettingsError: names what is wrong and what was expected.
            S3URIError: LAMBDA_LLM_ROUTER_RESULTS has another form.
        """
        known = [field.name.upper() for field in fields(cls)]
        for name in sorted(environment):
            rest = name.removeprefix(PREFIX)
            if name.startswith(PREFIX) and rest not in known:
                near = get_close_matches(rest, known, n=1)
                advice = f"did you mean {PREFIX}{near[0]}?" if near else f"unset it, or write {', '.join(known)}."
                raise SettingsError(f"{name} is not a setting: {advice}")
        given = {name: environment.get(PREFIX + name, "") for name in known}
        results, queue = given["RESULTS"] or None, given["QUEUE"] or None
        if (results is None) is not (queue is None):
            there, gone = ("RESULTS", "QUEUE") if queue is None else ("QUEUE", "RESULTS")
            raise SettingsError(
                f"{PREFIX}{there} is set without {PREFIX}{gone}: background responses need both, so set both or unset "
                "both."
            )
        if results is not None:
            parse_prefix(results)
        if queue is not None and (not _QUEUE.fullmatch(queue) or queue.endswith(_FIFO)):
            raise SettingsError(f"{PREFIX}QUEUE is {queue!r}: set it to the URL of an SQS queue of the standard type.")
        return cls(
            configuration=_text(given, "CONFIGURATION", "where the configuration is, such as s3://BUCKET/KEY"),
            table=_text(given, "TABLE", "the DynamoDB table of the budgets"),
            identity=_identity(_text(given, "IDENTITY", f"who says whose a request is: {' or '.join(Identity)}")),
            results=results,
            queue=queue,
        )


def _text(given: Mapping[str, str], name: str, meaning: str) -> str:
    if not given[name]:
        raise SettingsError(f"{PREFIX}{name} is not set: set it to {meaning}.")
    return given[name]


def _identity(said: str) -> Identity:
    if said not in set(Identity):
        raise SettingsError(f"{PREFIX}IDENTITY is {said!r}: set it to {' or '.join(Identity)}.")
    return Identity(said)
