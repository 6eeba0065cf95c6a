"""All probes against a deployment that is right, and against one that is a process of this machine."""

import re
from pathlib import Path

import pytest

from lambda_llm.cli.probes import delay, streaming
from lambda_llm.cli.probes.base import Finding, Outcome
from lambda_llm.cli.probes.every import PROBES
from support.fake_deployment import Deploy, Stage

ROOT = Path(__file__).parents[4]


def found(stage: Stage) -> dict[str, Finding]:
    return {probe.name: probe.run(stage.deployment) for probe in PROBES}


def outcomes(findings: dict[str, Finding]) -> dict[str, Outcome]:
    return {name: finding.outcome for name, finding in findings.items()}


@pytest.fixture(autouse=True)
def _whatever_the_scheduler_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delay, "DELAY_SECONDS", 10.0)
    monkeypatch.setattr(streaming, "LATE_SECONDS", 10.0)


def test_nothing_is_wrong_with_a_right_deployment_and_all_can_be_known(deploy: Deploy) -> None:
    with deploy() as stage:
        findings = found(stage)
    assert outcomes(findings) == {probe.name: Outcome.OK for probe in PROBES}, findings
    assert all(finding.sentence.endswith(".") for finding in findings.values())
    sent = len(stage.fake.requests) + sum(name == "Invoke" for name, _ in stage.aws.calls)
    assert sent <= sum(probe.requests for probe in PROBES), "people are told how many there will be at most"
    assert len(stage.fake.environments) - 1 <= sum(probe.restores for probe in PROBES)


def test_a_server_of_this_machine_has_no_function_to_ask(deploy: Deploy) -> None:
    with deploy(signed=False, follows=True) as stage:
        findings = found(stage)
    known = {name for name, finding in findings.items() if finding.outcome is Outcome.OK}
    assert known == {"health", "checksum", "memory", "delay", "second_turn", "streaming", "abandoned"}
    assert {finding.outcome for name, finding in findings.items() if name not in known} == {Outcome.UNKNOWN}
    assert stage.aws.calls == []


def test_without_permissions_nothing_is_wrong_and_what_is_missing_is_named(deploy: Deploy) -> None:
    with deploy() as stage:
        for operation in stage.aws.answers:
            stage.aws.answers[operation] = ("AccessDeniedException", "no")
        findings = found(stage)
    assert Outcome.WRONG not in outcomes(findings).values()
    told = {name for name, finding in findings.items() if "The credentials may not call" in finding.sentence}
    assert told == {"snap_start", "alias", "invariants", "role", "invocation", "latest", "abandoned"}


def test_the_document_has_every_probe() -> None:
    document = (ROOT / "docs/verify.md").read_text(encoding="utf-8")
    table = document.partition("## Probes")[2].partition("\n## ")[0]
    documented = re.findall(r"^\| `(\w+)` \| (.+?) \|", table, re.MULTILINE)
    assert documented == [(probe.name, probe.question) for probe in PROBES]
