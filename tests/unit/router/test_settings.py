"""Settings of the router's functions."""

import subprocess
import sys

import pytest

from lambda_llm.aws.errors import S3URIError
from lambda_llm.router.settings import Identity, Settings, SettingsError

NEEDED = {
    "LAMBDA_LLM_ROUTER_CONFIGURATION": "s3://bucket/router.yaml",
    "LAMBDA_LLM_ROUTER_TABLE": "llm-budgets",
    "LAMBDA_LLM_ROUTER_IDENTITY": "iam",
}
BACKGROUND = {
    "LAMBDA_LLM_ROUTER_RESULTS": "s3://bucket/results/",
    "LAMBDA_LLM_ROUTER_QUEUE": "https://sqs.eu-central-1.amazonaws.com/123456789012/background",
}
BATCHES = {
    "LAMBDA_LLM_ROUTER_BATCHES": "s3://bucket/batches/",
    "LAMBDA_LLM_ROUTER_BATCH_MACHINE": "arn:aws:states:eu-central-1:123456789012:stateMachine:batch",
}


def test_what_is_there_is_read() -> None:
    others = {"LAMBDA_LLM_URL": "https://example.com", "AWS_REGION": "eu-central-1"}
    assert Settings.load(NEEDED | others) == Settings("s3://bucket/router.yaml", "llm-budgets", Identity.IAM)
    settings = Settings.load(NEEDED | BACKGROUND | {"LAMBDA_LLM_ROUTER_IDENTITY": "authorizer"})
    assert settings.identity is Identity.AUTHORIZER
    assert [settings.results, settings.queue] == list(BACKGROUND.values())
    assert [settings.batches, settings.batch_machine] == [None, None]
    settings = Settings.load(NEEDED | BATCHES)
    assert [settings.batches, settings.batch_machine] == list(BATCHES.values())
    assert [settings.results, settings.queue] == [None, None]


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("name", NEEDED)
def test_what_is_missing_is_named(name: str, *, empty: bool) -> None:
    given = {**NEEDED, name: ""} if empty else {each: value for each, value in NEEDED.items() if each != name}
    with pytest.raises(SettingsError, match=f"{name} is not set: set it to "):
        Settings.load(given)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"LAMBDA_LLM_ROUTER_IDENTITY": "header"}, "IDENTITY is 'header': set it to iam or authorizer"),
        ({"LAMBDA_LLM_ROUTER_TABEL": "x"}, "TABEL is not a setting: did you mean LAMBDA_LLM_ROUTER_TABLE"),
        ({"LAMBDA_LLM_ROUTER_XYZ_1234567890": "x"}, "unset it, or write CONFIGURATION, TABLE"),
        ({"LAMBDA_LLM_ROUTER_QUEUE": ""}, "RESULTS is set without LAMBDA_LLM_ROUTER_QUEUE"),
        ({"LAMBDA_LLM_ROUTER_RESULTS": ""}, "QUEUE is set without LAMBDA_LLM_ROUTER_RESULTS"),
        ({"LAMBDA_LLM_ROUTER_BATCH_MACHINE": ""}, "BATCHES is set without LAMBDA_LLM_ROUTER_BATCH_MACHINE: batches"),
        (
            {"LAMBDA_LLM_ROUTER_BATCHES": ""},
            "BATCH_MACHINE is set without LAMBDA_LLM_ROUTER_BATCHES: batches need both",
        ),
        (
            {"LAMBDA_LLM_ROUTER_BATCH_MACHINE": "batch"},
            "BATCH_MACHINE is 'batch': set it to the ARN of a state machine",
        ),
        ({"LAMBDA_LLM_ROUTER_QUEUE": "background"}, "QUEUE is 'background': set it to the URL of an SQS queue"),
        ({"LAMBDA_LLM_ROUTER_QUEUE": "https://sqs.example.com/1/a.fifo"}, "SQS queue of the standard type"),
    ],
)
def test_what_is_wrong_is_one_sentence(changes: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        Settings.load(NEEDED | BACKGROUND | BATCHES | changes)


@pytest.mark.parametrize("name", ["RESULTS", "BATCHES"])
def test_results_and_batches_are_below_a_prefix_in_s3(name: str) -> None:
    with pytest.raises(S3URIError, match=r"'results/' names no prefix in S3"):
        Settings.load(NEEDED | BACKGROUND | BATCHES | {f"LAMBDA_LLM_ROUTER_{name}": "results/"})


def test_reading_them_loads_no_sdk() -> None:
    """The function imports them before its snapshot, whose size counts."""
    code = "import sys, lambda_llm.router.settings; print({'boto3', 'botocore', 'httpx2', 'yaml'} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"
