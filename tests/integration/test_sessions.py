"""Conversations in S3: servers that have nothing in common but a bucket, spoken to by HTTP."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from scripts.local_aws.server import LocalAWS
from support.answers import EXPECTED, LONG_QUESTION, OTHER_EXPECTED, OTHER_QUESTION, QUESTION, user
from support.chat import PATH
from support.gate import Gate
from support.servers import AFTER, BEFORE, LIMIT_SECONDS, SYSTEM_PROMPT, Server, serving, started, until

MODEL_ID = "lambda-llm-demo"
SYSTEM = {"role": "system", "content": SYSTEM_PROMPT}
PREFIX = "state/kv/"


def ask(server: Server, messages: list[dict[str, str]], **changes: Any) -> tuple[str, int]:
    """The answer and how many tokens of the prompt needed no evaluation."""
    body = {"model": MODEL_ID, "messages": messages, "temperature": 0} | changes
    answer = httpx2.post(f"{server.url}{PATH}", json=body, timeout=LIMIT_SECONDS).raise_for_status().json()
    usage = answer["usage"]["prompt_tokens_details"]
    return answer["choices"][0]["message"]["content"], usage["cached_tokens"]


def counts(server: Server) -> dict[str, int]:
    """The store's, from `/health`."""
    told: dict[str, int] = server.health()["sessions"]
    return told


def keys(aws: LocalAWS, bucket: str) -> list[str]:
    with closing(aws.client("s3")) as s3:
        return [each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


@pytest.fixture(scope="module")
def bucket(local_aws: LocalAWS) -> str:
    local_aws.make_bucket("conversations")
    return "conversations"


@pytest.fixture(scope="module")
def environment(pinned: Mapping[str, str], bucket: str) -> dict[str, str]:
    return {**pinned, "LAMBDA_LLM_SESSIONS": f"s3://{bucket}/{PREFIX}"}


@pytest.fixture(scope="module")
def servers(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Two environments of one function."""
    with ExitStack() as running:
        folder = tmp_path_factory.mktemp("sessions")
        yield [running.enter_context(serving(folder, environment)) for _ in range(2)]


def test_the_next_turn_finds_the_conversation_on_another_server(
    servers: list[Server], local_aws: LocalAWS, bucket: str
) -> None:
    here, there = servers
    messages = [SYSTEM, user(LONG_QUESTION)]
    first, _ = ask(here, messages)
    assert counts(here)["saved_entries"] > 2, "written before the answer ended"
    messages += [{"role": "assistant", "content": first}, user(QUESTION)]
    second, cached = ask(there, messages)
    assert EXPECTED in second
    assert cached > 300
    assert counts(there)["hits"] == 1
    assert counts(there)["restored_tokens"] > 300
    messages += [{"role": "assistant", "content": second}, user(OTHER_QUESTION)]
    third, cached = ask(here, messages)
    assert OTHER_EXPECTED in third
    assert cached > 300
    names = keys(local_aws, bucket)
    assert all(re.fullmatch(PREFIX + "([0-9a-f]{64}/[0-9a-f]{64}|writable)", name) for name in names), (
        "names reveal nothing"
    )


def test_a_stream_ends_when_its_conversation_is_kept(servers: list[Server]) -> None:
    here, there = servers
    messages = [SYSTEM, user(QUESTION + " Tell me.")]
    body = {"model": MODEL_ID, "messages": messages, "temperature": 0, "stream": True}
    with httpx2.stream("POST", f"{here.url}{PATH}", json=body, timeout=LIMIT_SECONDS) as response:
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line]
    assert lines.pop() == "[DONE]"
    text = "".join(json.loads(line)["choices"][0]["delta"].get("content", "") for line in lines)
    _, cached = ask(there, [*messages, {"role": "assistant", "content": text}, user(OTHER_QUESTION)])
    system_only = ask(there, [SYSTEM, user("Something else, which is long enough to be looked for. " * 2)])[1]
    assert cached > system_only + 20


def test_a_damaged_bucket_costs_a_prefill(servers: list[Server], local_aws: LocalAWS, bucket: str) -> None:
    here, there = servers
    messages = [SYSTEM, user("Hello. " + LONG_QUESTION)]
    first, _ = ask(here, messages)
    with closing(local_aws.client("s3")) as s3:
        for key in keys(local_aws, bucket):
            body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            s3.put_object(Bucket=bucket, Key=key, Body=body[: len(body) * 2 // 3])
    before = counts(there)
    second, cached = ask(there, [*messages, {"role": "assistant", "content": first}, user(QUESTION)])
    assert EXPECTED in second
    assert cached < 60, "what came with the server"
    assert counts(there)["damaged"] > before["damaged"]
    assert there.requests()["failed"] == 0


def test_no_connection_and_no_credential_is_in_a_snapshot_and_the_store_works_after_it(
    environment: dict[str, str], tmp_path: Path, gate: Gate
) -> None:
    gate.open.set()
    with serving(tmp_path, environment | {"AWS_ENDPOINT_URL": gate.endpoint}) as server:
        ask(server, [SYSTEM, user(LONG_QUESTION)])
        assert httpx2.post(f"{server.url}{BEFORE}", timeout=LIMIT_SECONDS).status_code == 204
        port = int(gate.endpoint.rpartition(":")[2])
        until(lambda: port not in connections(server))
        assert httpx2.post(f"{server.url}{AFTER}", timeout=LIMIT_SECONDS).status_code == 204
        before = counts(server)
        ask(server, [SYSTEM, user("Hi. " + LONG_QUESTION)])
        after = counts(server)
        assert after["saved_entries"] > before["saved_entries"]
        assert after["failures"] == 0


def connections(server: Server) -> set[int]:
    """Ports that the process is connected to."""

    process = psutil.Process(server.process.pid)
    return {
        each.raddr.port
        for member in [process, *process.children(recursive=True)]
        for each in member.net_connections("tcp")
        if each.raddr
    }


def test_a_bucket_that_goes_away_fails_no_request(
    environment: dict[str, str], local_aws: LocalAWS, tmp_path: Path
) -> None:
    local_aws.make_bucket("short-lived")
    with serving(tmp_path, environment | {"LAMBDA_LLM_SESSIONS": "s3://short-lived"}) as server:
        with closing(local_aws.client("s3")) as s3:
            versions = s3.list_object_versions(Bucket="short-lived")["Versions"]
            for each in versions:
                s3.delete_object(Bucket="short-lived", Key=each["Key"], VersionId=each["VersionId"])
            s3.delete_bucket(Bucket="short-lived")
        text, _ = ask(server, [SYSTEM, user(LONG_QUESTION)])
        assert text.endswith("100.")
        assert counts(server)["failures"] >= 1
        assert any("the session store could not" in line["message"] for line in server.lines())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"LAMBDA_LLM_SESSIONS": "s3://no-such-bucket/kv/"}, "Sessions can't be stored in s3://no-such-bucket/kv/"),
        ({"LAMBDA_LLM_SESSIONS": "/tmp/kv"}, "LAMBDA_LLM_SESSIONS can't be used"),  # noqa: S108 - is refused
        ({"LAMBDA_LLM_SYSTEM_PROMPT": "s3://served-models/no-such.txt"}, "no-such.txt"),
        ({"LAMBDA_LLM_SYSTEM_PROMPTS": "not JSON"}, "LAMBDA_LLM_SYSTEM_PROMPTS can't be used: write it as JSON"),
    ],
    ids=["bucket", "form", "prompt", "prompts"],
)
def test_what_can_t_work_is_refused_at_the_start(
    environment: dict[str, str], tmp_path: Path, changes: dict[str, str], says: str
) -> None:
    with started(tmp_path, environment | changes) as server:
        assert server.process.wait(LIMIT_SECONDS) == 1
        (error,) = [line["message"] for line in server.lines() if line["level"] == "ERROR"]
        assert says in error
