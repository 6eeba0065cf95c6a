"""The line of a run, of versions on a local AWS."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from lambda_llm.pruner import handler
from lambda_llm.telemetry.lines import PRUNE
from scripts.local_aws.server import ACCOUNT, REGION, LocalAWS
from support.written_lines import Written, metrics


def code(number: int) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("code.py", f"def handle(event, context):\n    return {number}\n")
    return written.getvalue()


@pytest.fixture
def name(local_aws: LocalAWS, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A function of five versions, the third of which has an alias."""
    for variable, value in local_aws.environment.items():
        if variable.startswith("AWS_"):
            monkeypatch.setenv(variable, value)
    name = f"pruned-{uuid4().hex[:12]}"
    monkeypatch.setenv(handler.FUNCTION, f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}")
    monkeypatch.setenv(handler.KEEP_NEWEST, "1")
    with closing(local_aws.client("lambda")) as client:
        client.create_function(
            FunctionName=name,
            Role=f"arn:aws:iam::{ACCOUNT}:role/any",
            Runtime="python3.13",
            Handler="code.handle",
            Code={"ZipFile": code(0)},
            Publish=True,
        )
        client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
        for number in range(1, 5):
            client.update_function_code(FunctionName=name, Publish=True, ZipFile=code(number))
        client.create_alias(FunctionName=name, Name="live", FunctionVersion="3")
        yield name
        client.delete_function(FunctionName=name)


@pytest.mark.parametrize(("event", "pruned", "unused"), [({"dry_run": True}, 0, 4), ({}, 3, 1)])
def test_a_run_says_what_nobody_uses_after_it(
    name: str, capsys: pytest.CaptureFixture[str], event: Any, pruned: int, unused: int
) -> None:
    """A dry run has deleted nothing, whatever it answers."""
    assert handler.handle(event, None) == {"deleted": ["1", "2", "4"], "kept": ["3", "5"]}
    line = Written(capsys).one(PRUNE)
    assert (line["target"], line["pruned"], line["UnusedVersions"]) == (name, pruned, unused)
    assert metrics(line) == {"UnusedVersions"}


def test_a_run_that_fails_has_none(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(handler.FUNCTION, f"{name}-other")
    with pytest.raises(ClientError):
        handler.handle({}, None)
    assert Written(capsys).of(PRUNE) == []
