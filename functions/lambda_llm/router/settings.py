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

_MACHINE: Final = re.compile(r"arn:aws[a-z-]*:states:[^:]+:\d{12}:stateMachine:[^:]+")

_PAIRS: Final = (("RESULTS", "QUEUE", "background responses"), ("BATCHES", "BATCH_MACHINE", "batches"))
"""Settings of which one is nothing without the other, and what they are for."""


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
        batches: `s3://bucket/prefix/` of the store of files and batches; None: there are none.
        batch_machine: ARN of the state machine of batches; None exactly if `batches` is.
    """

    configuration: str
    table: str
    identity: Identity
    results: str | None = None
    queue: str | None = None
    batches: str | None = None
    batch_machine: str | None = None

    @classmethod
    def load(cls, environment: Mapping[str, str]) -> Self:
        """Read the environment.

        Args:
            environment: the process's variables.

        Raises:
            SettingsError: names what is wrong and what was expected.
            S3URIError: LAMBDA_LLM_ROUTER_RESULTS or LAMBDA_LLM_ROUTER_BATCHES has another form.
        """
        known = [field.name.upper() for field in fields(cls)]
        for name in sorted(environment):
            rest = name.removeprefix(PREFIX)
            if name.startswith(PREFIX) and rest not in known:
                near = get_close_matches(rest, known, n=1)
                advice = f"did you mean {PREFIX}{near[0]}?" if near else f"unset it, or write {', '.join(known)}."
                raise SettingsError(f"{name} is not a setting: {advice}")
        given = {name: environment.get(PREFIX + name, "") for name in known}
        for one, other, meaning in _PAIRS:
            if bool(given[one]) is not bool(given[other]):
                there, gone = (one, other) if given[one] else (other, one)
                raise SettingsError(
                    f"{PREFIX}{there} is set without {PREFIX}{gone}: {meaning} need both, so set both or unset both."
                )
        for each in filter(None, (given["RESULTS"], given["BATCHES"])):
            parse_prefix(each)
        queue, machine = given["QUEUE"], given["BATCH_MACHINE"]
        if queue and (not _QUEUE.fullmatch(queue) or queue.endswith(_FIFO)):
            raise SettingsError(f"{PREFIX}QUEUE is {queue!r}: set it to the URL of an SQS queue of the standard type.")
        if machine and not _MACHINE.fullmatch(machine):
            raise SettingsError(f"{PREFIX}BATCH_MACHINE is {machine!r}: set it to the ARN of a state machine.")
        return cls(
            configuration=_text(given, "CONFIGURATION", "where the configuration is, such as s3://BUCKET/KEY"),
            table=_text(given, "TABLE", "the DynamoDB table of the budgets"),
            identity=_identity(_text(given, "IDENTITY", f"who says whose a request is: {' or '.join(Identity)}")),
            results=given["RESULTS"] or None,
            queue=queue or None,
            batches=given["BATCHES"] or None,
            batch_machine=machine or None,
        )


def _text(given: Mapping[str, str], name: str, meaning: str) -> str:
    if not given[name]:
        raise SettingsError(f"{PREFIX}{name} is not set: set it to {meaning}.")
    return given[name]


def _identity(said: str) -> Identity:
    if said not in set(Identity):
        raise SettingsError(f"{PREFIX}IDENTITY is {said!r}: set it to {' or '.join(Identity)}.")
    return Identity(said)
