"""The probe of the alias, and how its function and URL are found."""

import pytest

from lambda_llm.cli.probes.alias import PROBE
from lambda_llm.cli.probes.base import Outcome
from lambda_llm.cli.probes.deployment import connected
from support.fake_deployment import FUNCTION, Deploy
from support.function_url import REGION


def test_an_alias_on_another_version_is_wrong(deploy: Deploy) -> None:
    with deploy() as stage:
        stage.aws.answers["ListAliases"] = {"Aliases": [{"Name": "live", "FunctionVersion": "8"}]}
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.WRONG
    assert "Version 7 answers, and the alias live leads to 8 (100%)" in finding.sentence


def test_a_canary_has_two_versions_with_their_weights(deploy: Deploy) -> None:
    with deploy() as stage:
        canary = {"AdditionalVersionWeights": {"7": 0.1}}
        stage.aws.answers["ListAliases"] = {
            "Aliases": [{"Name": "live", "FunctionVersion": "6", "RoutingConfig": canary}]
        }
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.OK
    assert finding.figures["weights"] == {"6": 0.9, "7": 0.1}
    assert "6 (90%), 7 (10%); version 7 answered" in finding.sentence


def test_an_environment_that_does_not_know_its_version_leaves_it_open(deploy: Deploy) -> None:
    with deploy(own={"version": None}) as stage:
        assert PROBE.run(stage.deployment).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("function", [None, FUNCTION, f"arn:aws:lambda:{REGION}:123456789012:function:{FUNCTION}:live"])
def test_the_function_is_the_given_one_or_the_server_s_word(deploy: Deploy, function: str | None) -> None:
    with deploy() as stage, connected(stage.deployment.url, REGION, function) as deployment:
        assert PROBE.run(deployment).outcome is Outcome.OK
    named = {params["FunctionName"] for _, params in stage.aws.calls}
    assert named == {(function or FUNCTION).removesuffix(":live")}


def test_without_a_name_it_says_which_option_gives_it(deploy: Deploy) -> None:
    with deploy(changes={"environment": "left out"}) as stage:
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.UNKNOWN
    assert "give --function" in finding.sentence


@pytest.mark.parametrize("function", ["another", FUNCTION])
def test_the_url_of_another_function_is_wrong(deploy: Deploy, function: str) -> None:
    with deploy() as stage, connected(f"https://other.lambda-url.{REGION}.on.aws", None, function) as deployment:
        if function == "another":
            stage.aws.answers["ListAliases"] = ("ResourceNotFoundException", "Function not found")
        finding = PROBE.run(deployment)
    assert finding.outcome is Outcome.WRONG
    assert ("lambda:ListAliases found nothing" if function == "another" else "has the URL") in finding.sentence


def test_a_url_that_leads_to_no_alias_is_wrong(deploy: Deploy) -> None:
    with deploy() as stage:
        stage.aws.answers["GetFunctionUrlConfig"] = ("ResourceNotFoundException", "no URL")
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.WRONG
    assert "give the URL of an alias" in finding.sentence
