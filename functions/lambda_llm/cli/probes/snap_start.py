"""SnapStart initialized the versions behind the alias, and restored the environment that answers."""

from collections.abc import Mapping
from typing import Any

from lambda_llm import limits
from lambda_llm.cli.probes.base import Finding, Probe, ok, unknown, wrong
from lambda_llm.cli.probes.deployment import Deployment, UnknowableError

INITIALIZATION = "snap-start"


def _ask(deployment: Deployment) -> Finding:
    own = (deployment.health.get("environment") or {}) if deployment.region else deployment.environment
    initialization, restored = own.get("initialization"), own.get("restored")
    figures: dict[str, Any] = {"initialization": initialization, "restored": restored}
    problems = []
    if initialization not in {None, INITIALIZATION}:
        problems.append(f"the environment was initialized as {initialization!r}")
    if initialization == INITIALIZATION and not restored:
        problems.append("the environment was not restored: the web adapter did not call the hook after the restore")
    try:
        for version, configuration in deployment.versions.items():
            state = configuration.get("SnapStart") or {}
            figures[f"version_{version}"] = {**state, "State": configuration.get("State")}
            problems += [f"version {version} has {each}" for each in _problems(configuration)]
    except UnknowableError as error:
        if not problems:
            return unknown(str(error), **figures)
    if problems:
        return wrong(f"{_sentence(problems)}: publish a version with the module `inference`.", **figures)
    word = {None: "it does not tell how it was initialized"}.get(initialization, "its environment was restored")
    return ok(f"Every version behind the alias is active with its snapshot; {word}.", **figures)


def _problems(configuration: Mapping[str, Any]) -> list[str]:
    state = configuration.get("SnapStart") or {}
    wanted = {
        "SnapStart": (state.get("ApplyOn"), limits.SNAPSTART_APPLY_ON),
        "OptimizationStatus": (state.get("OptimizationStatus"), "On"),
        "State": (configuration.get("State"), "Active"),
        "LastUpdateStatus": (configuration.get("LastUpdateStatus"), "Successful"),
    }
    return [f"{name} {found} instead of {right}" for name, (found, right) in wanted.items() if found != right]


def _sentence(problems: list[str]) -> str:
    text = "; ".join(problems)
    return text[0].upper() + text[1:]


PROBE = Probe("snap_start", "Is SnapStart really on?", _ask)
