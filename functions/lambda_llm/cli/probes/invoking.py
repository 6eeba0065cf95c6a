"""Invoking the function directly, as a Function URL would."""

import json
from typing import Any, NamedTuple

from lambda_llm.aws.invoke import SEPARATOR, event, response
from lambda_llm.cli.probes.deployment import Deployment


class Invoked(NamedTuple):
    """What an invocation came to.

    Attributes:
        version: that ran.
        error: of the function; empty if there was none.
        status: of the HTTP response; 0 if there was none.
        health: the response's JSON; empty if it is none.
        form: `prelude` or `JSON`, in which the response came.
    """

    version: str
    error: str
    status: int
    health: dict[str, Any]
    form: str


def invoked(deployment: Deployment, qualifier: str) -> Invoked:
    """Ask a version or an alias for its `/health`.

    Raises:
        UnknowableError: the invocation was refused.
        MissingError: it has no such version.
    """
    answer = deployment.aws.call(
        "lambda",
        "Invoke",
        FunctionName=deployment.function,
        Qualifier=qualifier,
        Payload=event("GET", "/health"),
    )
    payload: bytes = answer["Payload"].read()
    version = str(answer.get("ExecutedVersion", ""))
    if answer.get("FunctionError"):
        return Invoked(version, _json(payload).get("errorMessage") or answer["FunctionError"], 0, {}, "JSON")
    try:
        status, content = response(payload)
    except (ValueError, KeyError, TypeError, RecursionError):
        status, content = 0, b""
    return Invoked(version, "", status, _json(content), "prelude" if SEPARATOR in payload else "JSON")


def _json(content: bytes) -> dict[str, Any]:
    try:
        said = json.loads(content)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
