"""Calls of AWS that are refused, or lead nowhere."""

import pytest

from lambda_llm.cli.probes.control_plane import ControlPlane, MissingError, UnknowableError
from support.fake_deployment import Deploy

pytestmark = pytest.mark.usefixtures("no_aws_of_this_machine")


@pytest.mark.parametrize(
    ("code", "error", "said"),
    [
        ("AccessDeniedException", UnknowableError, "The credentials may not call lambda:ListAliases"),
        ("AccessDenied", UnknowableError, "The credentials may not call lambda:ListAliases"),
        ("ResourceNotFoundException", MissingError, "lambda:ListAliases found nothing (why): is the name right"),
        (
            "UnknownOperationException",
            UnknowableError,
            "AWS refused lambda:ListAliases (UnknownOperationException: why)",
        ),
    ],
)
def test_a_refusal_is_one_sentence(deploy: Deploy, code: str, error: type[Exception], said: str) -> None:
    with deploy() as stage:
        stage.aws.answers["ListAliases"] = (code, "why")
        with pytest.raises(error) as raised:
            stage.deployment.aws.call("lambda", "ListAliases", FunctionName="llm")
    assert said in str(raised.value)


def test_without_credentials_nothing_can_be_known() -> None:
    with pytest.raises(UnknowableError, match=r"lambda:ListAliases could not be called .*credentials"):
        ControlPlane("eu-central-1").call("lambda", "ListAliases", FunctionName="llm")
