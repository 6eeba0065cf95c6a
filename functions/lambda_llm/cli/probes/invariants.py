"""The one configuration in which a model runs well on Lambda: of the versions, and of the URL."""

import json
from collections.abc import Mapping
from typing import Any, Final

from lambda_llm import limits
from lambda_llm.cli.probes.base import Finding, Probe, ok, wrong
from lambda_llm.cli.probes.deployment import Deployment, MissingError

_AUTH: Final = "lambda:FunctionUrlAuthType"
"""A condition that restricts no caller."""


def _ask(deployment: Deployment) -> Finding:
    problems: list[str] = []
    for version, configuration in deployment.versions.items():
        problems += [f"version {version} has {each}" for each in _of_version(configuration)]
    problems += _provisioned(deployment)
    url = deployment.url_config
    for field, right in {"AuthType": "AWS_IAM", "InvokeMode": "RESPONSE_STREAM"}.items():
        if url.get(field) != right:
            problems.append(f"the URL has {field} {url.get(field)} instead of {right}")
    if open_to_all := _open_statements(deployment):
        problems.append(f"the alias's policy lets everybody call ({', '.join(open_to_all)})")
    configuration = deployment.configuration
    figures = {
        "memory_mb": configuration.get("MemorySize"),
        "runtime": configuration.get("Runtime"),
        "architectures": configuration.get("Architectures"),
        "auth_type": url.get("AuthType"),
        "invoke_mode": url.get("InvokeMode"),
    }
    if problems:
        text = "; ".join(problems)
        return wrong(f"{text[0].upper()}{text[1:]}: deploy it with the module `inference`.", **figures)
    return ok(
        f"{limits.MEMORY_MB:,} MB, {limits.ARCHITECTURE}, {limits.RUNTIME}, {limits.PACKAGE_TYPE}, "
        f"{limits.EPHEMERAL_STORAGE_MB} MB of /tmp, no file system, no provisioned concurrency; the URL takes signed "
        "requests only and streams.",
        **figures,
    )


def _provisioned(deployment: Deployment) -> list[str]:
    try:
        found = deployment.aws.call("lambda", "ListProvisionedConcurrencyConfigs", FunctionName=deployment.function)
    except MissingError:
        return []
    count = len(found["ProvisionedConcurrencyConfigs"])
    return [f"{count} of its qualifiers have provisioned concurrency"] if count else []


def _of_version(configuration: Mapping[str, Any]) -> list[str]:
    wanted = {
        "MemorySize": (configuration.get("MemorySize"), limits.MEMORY_MB),
        "Architectures": (configuration.get("Architectures"), [limits.ARCHITECTURE]),
        "Runtime": (configuration.get("Runtime"), limits.RUNTIME),
        "PackageType": (configuration.get("PackageType", limits.PACKAGE_TYPE), limits.PACKAGE_TYPE),
        "EphemeralStorage": (
            (configuration.get("EphemeralStorage") or {}).get("Size", limits.EPHEMERAL_STORAGE_MB),
            limits.EPHEMERAL_STORAGE_MB,
        ),
        "FileSystemConfigs": (configuration.get("FileSystemConfigs") or [], []),
    }
    return [f"{name} {found} instead of {right}" for name, (found, right) in wanted.items() if found != right]


def _open_statements(deployment: Deployment) -> list[str]:
    """Statements of the alias's policy that allow everybody to call."""
    try:
        policy = deployment.aws.call(
            "lambda", "GetPolicy", FunctionName=deployment.function, Qualifier=deployment.alias["Name"]
        )["Policy"]
    except MissingError:
        return []
    found = []
    for statement in json.loads(policy)["Statement"]:
        principal, conditions = statement.get("Principal"), statement.get("Condition") or {}
        restricted = {key for condition in conditions.values() for key in condition} - {_AUTH}
        everybody = principal in ("*", {"AWS": "*"}, {"AWS": ["*"]})
        if statement["Effect"] == "Allow" and everybody and not restricted:
            found.append(str(statement.get("Sid", "a statement without Sid")))
    return found


PROBE = Probe("invariants", "Is it configured as it must be?", _ask)
