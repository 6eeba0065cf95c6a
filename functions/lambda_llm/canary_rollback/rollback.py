"""Takes a version's share of an alias's requests away from it."""

from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError
from botocore.session import get_session

STALE: Final = "PreconditionFailedException"
"""Code of a refusal because the revision is not the newest."""


@dataclass(frozen=True)
class Outcome:
    """What was done.

    Attributes:
        rolled_back: whether the version had a share, and has none any more.
        reason: one sentence.
    """

    rolled_back: bool
    reason: str


def roll_back(function: str, alias: str, version: str) -> Outcome:
    """Send all requests of an alias to its main version, if the given one has a share of them.

    Args:
        function: name or ARN, without a version.
        alias: name.
        version: number of the version that alarms.

    Raises:
        botocore.exceptions.ClientError: Lambda refused, with its reason; if the alias was changed meanwhile, twice.
    """
    with closing(get_session().create_client("lambda")) as client:
        try:
            return _once(client, function, alias, version)
        except ClientError as error:
            if error.response["Error"]["Code"] != STALE:
                raise
            # Somebody changed the alias since it was looked at: perhaps there is nothing to do any more.
            return _once(client, function, alias, version)


def _once(client: Any, function: str, alias: str, version: str) -> Outcome:
    found = client.get_alias(FunctionName=function, Name=alias)
    shares = found.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
    main = found["FunctionVersion"]
    if version not in shares:
        return Outcome(
            rolled_back=False,
            reason=f"Version {version} has no share of {alias}'s requests beside version {main}: nothing was changed.",
        )
    client.update_alias(
        FunctionName=function,
        Name=alias,
        RoutingConfig={"AdditionalVersionWeights": {}},
        RevisionId=found["RevisionId"],
    )
    return Outcome(
        rolled_back=True,
        reason=f"Version {version} had {shares[version]:.0%} of {alias}'s requests: version {main} has them all now.",
    )
