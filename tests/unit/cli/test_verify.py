"""`lambda-llm verify` as a person calls it."""

import json
import re

import pytest

from lambda_llm.cli.probes import delay, streaming
from lambda_llm.cli.probes.every import PROBES
from support.command_line import Run
from support.fake_deployment import Deploy
from support.function_url import REGION
from support.servers import Server


@pytest.fixture(autouse=True)
def _whatever_the_scheduler_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delay, "DELAY_SECONDS", 10.0)
    monkeypatch.setattr(streaming, "LATE_SECONDS", 10.0)


def test_a_right_deployment_is_a_table_and_status_0(deploy: Deploy, run: Run) -> None:
    with deploy() as stage:
        told = run("verify", f"{stage.deployment.url}/v1", "--region", REGION)
    assert told.status == 0, told.out
    rows = re.findall(r"^(\w+) +ok ", told.out, re.MULTILINE)
    assert rows == [probe.name for probe in PROBES]
    assert told.out.endswith(f"{len(PROBES)} ok, 0 wrong, 0 can't be known here.\n")
    assert "restore 4 environments at $0.0014 each" in told.err
    requests = sum(probe.requests for probe in PROBES)
    assert told.err.startswith(f"Sends {requests} requests at most, with ")


def test_a_wrong_one_is_status_1_with_every_probe_in_json(deploy: Deploy, run: Run) -> None:
    with deploy(changes={"checksums": []}) as stage:
        stage.aws.answers["SimulatePrincipalPolicy"] = ("AccessDenied", "no")
        told = run("verify", stage.deployment.url, "--region", REGION, "--json")
    assert told.status == 1
    said = json.loads(told.out)
    assert {"lambda_llm", "date", "url", "region", "model", "ok", "wrong", "unknown", "probes"} == set(said)
    assert (said["url"], said["region"], said["model"]) == (stage.deployment.url, REGION, "demo")
    assert (said["ok"], said["wrong"], said["unknown"]) == (len(PROBES) - 2, 1, 1)
    assert [each["name"] for each in said["probes"]] == [probe.name for probe in PROBES]
    by_name = {each["name"]: each for each in said["probes"]}
    assert by_name["checksum"] == {
        "name": "checksum",
        "question": "What was the model verified by?",
        "outcome": "wrong",
        "sentence": "The model was verified by its header alone: pin its SHA-256 with LAMBDA_LLM_MODEL_SHA256.",
        "figures": {"verified_by": [], "s3_checksum_type": "FULL_OBJECT", "s3_crc64nvme": "AAAAAAAAAAA="},
    }
    assert by_name["role"]["outcome"] == "unknown"


def test_the_markdown_block_has_a_row_for_each_probe_and_no_address(deploy: Deploy, run: Run) -> None:
    with deploy(signed=False, follows=True) as stage:
        told = run("verify", stage.deployment.url, "--markdown")
    assert (told.status, told.err) == (0, "")
    first, empty, head, rule, *rows = told.out.splitlines()
    assert first.startswith("`lambda-llm verify` ")
    assert first.endswith(", on this machine: 7 ok, 0 wrong, 9 can't be known here.")
    assert (empty, head, rule) == ("", "| Probe | Outcome | Found | Figures |", "|---|---|---|---|")
    assert [row.split(" | ")[0] for row in rows] == [f"| `{probe.name}`" for probe in PROBES]
    assert all(row.count(" | ") == 3 for row in rows)
    assert stage.deployment.url not in told.out


def test_a_real_server_is_right(demo_server: Server, run: Run) -> None:
    told = run("verify", demo_server.url, "--json")
    assert told.status == 0, told.out
    probes = {probe["name"]: probe for probe in json.loads(told.out)["probes"]}
    known = {name for name, probe in probes.items() if probe["outcome"] == "ok"}
    # A tiny model may have answered before the server could see that its client left.
    assert known - {"abandoned"} == {"health", "checksum", "memory", "delay", "second_turn", "streaming"}
    assert probes["checksum"]["figures"]["verified_by"] == ["CRC64NVME", "SHA-256"]
    assert probes["streaming"]["figures"]["chunks"] == 1024


@pytest.mark.parametrize("arguments", [["nowhere"], ["http://127.0.0.1:1", "--json", "--markdown"]])
def test_what_can_t_be_asked_is_a_usage_error(run: Run, arguments: list[str]) -> None:
    told = run("verify", *arguments)
    assert (told.status, told.out) == (2, "")
    assert "is not a URL" in told.err or "exclude each other" in told.err


@pytest.mark.usefixtures("no_aws_of_this_machine")
@pytest.mark.parametrize("command", ["verify", "bench"])
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:1", "http://127.0.0.1:1 can't be reached"),
        ("https://abc.lambda-url.us-east-1.on.aws", "there are no AWS credentials"),
    ],
)
def test_a_deployment_that_is_not_there_is_one_sentence(run: Run, command: str, url: str, said: str) -> None:
    told = run(command, url)
    assert (told.status, told.out) == (1, "")
    assert told.err.startswith("Error: ")
    assert said in told.err
    assert told.err.count("\n") == 1


@pytest.mark.parametrize("command", ["verify", "bench"])
def test_whoever_may_not_call_is_told_what_it_takes(deploy: Deploy, run: Run, command: str) -> None:
    with deploy() as stage:
        told = run(command, stage.deployment.url, "--region", "eu-north-1")  # signed for another region
    assert told.status == 1
    assert "refused /health (403): your IAM identity needs lambda:InvokeFunctionUrl" in told.err
