"""What the places of AWS have in common: a client that asks once, and failures as sentences."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.eventstream import ParserError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    ProxyConnectionError,
    SSLError,
)
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from lambda_llm.agent.errors import SandboxError, SandboxUnavailableError
from lambda_llm.agent.tools.code.backend import SessionGoneError

_SAID_MOST: Final = 300
_LATER: Final = {"throttling", "servicequotaexceeded", "insufficientcapacity", "toomanyrequests"}
_NOT_SENT: Final = (
    ConnectTimeoutError,
    EndpointConnectionError,
    ParamValidationError,
    ProxyConnectionError,
    SSLError,
)


def client(service: str, *, region: str | None, endpoint: str | None, seconds: float) -> Any:
    """A client that never repeats a request by itself, because code must not run twice.

    Raises:
        SandboxUnavailableError: no region is set.
    """
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=seconds)
    try:
        session: Any = boto3.session.Session()
        return session.client(service, region_name=region, endpoint_url=endpoint, config=config)
    except (NoRegionError, ValueError) as error:
        raise SandboxUnavailableError(f"{service} needs a region: set AWS_REGION, or region of the backend.") from error


@contextmanager
def told(service: str, *, running: bool = False) -> Iterator[None]:
    """Failures of a request as this package's.

    Args:
        service: its name, for people.
        running: whether the request runs code, so that without an answer nobody knows whether it ran.

    Raises:
        SessionGoneError: there is no such session; nothing was run.
        SandboxUnavailableError: the account or its role may not.
        SandboxError: everything else.
    """
    try:
        yield
    except ClientError as error:
        raise _of_service(service, error, running=running) from None
    except NoCredentialsError:
        raise SandboxUnavailableError(f"{service} can't be asked, because there are no AWS credentials.") from None
    except (BotoCoreError, HTTPError, ParserError, ResponseParserError) as error:
        unknown = running and not isinstance(error, _NOT_SENT)
        what = "gave no answer; the code may have run" if unknown else "can't be reached"
        raise SandboxError(f"{service} {what} ({type(error).__name__}).", unknown=unknown) from None


def _of_service(service: str, error: ClientError, *, running: bool) -> Exception:
    """An error that the service told, as a status or within a stream, where its name begins in lower case."""
    answer = error.response
    name = str(answer.get("Error", {}).get("Code", ""))
    said = str(answer.get("Error", {}).get("Message", ""))[:_SAID_MOST]
    kind = name.lower().removesuffix("exception")
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if kind == "resourcenotfound":
        return SessionGoneError(f"The session has ended: {service} does not know it.")
    if kind == "accessdenied":
        return SandboxUnavailableError(f"{service} refused, because the role may not: {said}")
    if kind in _LATER:
        after = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("retry-after", "")
        when = f"after {after} s" if str(after).isdigit() else "in a while"
        return SandboxError(f"{service} is busy ({name}), the code was not run: try again {when}.")
    if kind in ("validation", "conflict"):
        return SandboxError(f"{service} refused ({name}), the code was not run: {said}")
    unknown = running and not (isinstance(status, int) and 400 <= status < 500)  # noqa: PLR2004 - client errors
    what = "failed; the code may have run" if unknown else "failed"
    return SandboxError(f"{service} {what} ({name or status}).", unknown=unknown)
