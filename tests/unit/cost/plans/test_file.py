"""What is a plan, and what is told of a file that is none."""

import json
from pathlib import Path
from typing import Any

import pytest

from lambda_llm.cost.plans.file import PlanError, read

PLANS = Path(__file__).parent / "recorded"
CREATED = (PLANS / "created.json").read_bytes()
HCL = b'resource "aws_lambda_function" "chat" {\n  memory_size = 10240\n}\n'


def plan(*changes: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"format_version": "1.2", "resource_changes": changes, **more}).encode()


def change(actions: list[str], before: Any = None, after: Any = None, **more: Any) -> dict[str, Any]:
    item = {"address": "aws_kms_key.a", "mode": "managed", "type": "aws_kms_key", "name": "a", **more}
    return {**item, "change": {"actions": actions, "before": before, "after": after, "after_unknown": {}}}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"PK\x03\x04tfplan", "Terraform's own binary form"),
        (HCL, "no JSON"),
        (b"", "no JSON"),
        (CREATED[: len(CREATED) // 2], "cut off or damaged"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "JSON, but no plan"),
        (b'{"name": "x"}', "JSON, but no plan"),
        (b'{"format_version": "1.0", "terraform_version": "1.11.4"}', "JSON, but no plan"),
        (b'{"format_version": "1.0", "values": {"root_module": {}}}', "a state"),
        (b'{"version": 4, "serial": 1, "lineage": "a", "resources": []}', "a state"),
        (b'{"format_version": "2.0", "resource_changes": []}', "format_version '2.0' instead of 1.x"),
        (b'{"format_version": "0.2", "resource_changes": []}', "format_version '0.2' instead of 1.x"),
        (plan({"mode": "managed"}), "not as Terraform writes it"),
        (plan(change(["dance"], {}, {})), "not as Terraform writes it"),
        (plan(change(["create"])), "not as Terraform writes it"),
        (b'{"format_version": "1.2", "resource_changes": 7}', "not as Terraform writes it"),
    ],
)
def test_what_is_no_plan_is_told_with_the_command_that_makes_one(content: bytes, says: str) -> None:
    with pytest.raises(PlanError) as refused:
        read(content)
    sentence = str(refused.value)
    assert says in sentence
    assert "terraform show -json plan.bin > plan.json" in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_plan_is_read_as_shells_write_it(encoding: str) -> None:
    """PowerShell's `>` writes UTF-16."""
    content = CREATED.decode().encode(encoding)
    assert read(content) == read(CREATED)


def test_a_plan_without_resources_is_one() -> None:
    assert read(b'{"format_version": "1.2", "planned_values": {}}').changes == ()


@pytest.mark.parametrize(
    ("actions", "action"),
    [
        (["no-op"], "no-op"),
        (["create"], "create"),
        (["update"], "update"),
        (["delete"], "delete"),
        (["delete", "create"], "replace"),
        (["create", "delete"], "replace"),
    ],
)
def test_actions_have_names(actions: list[str], action: str) -> None:
    before: dict[str, Any] | None = None if action == "create" else {}
    after: dict[str, Any] | None = None if action == "delete" else {}
    (found,) = read(plan(change(actions, before, after))).changes
    assert found.action == action
    assert (found.before is None, found.after is None) == (before is None, after is None)
    assert found.resource.address == "aws_kms_key.a"


def test_what_terraform_forgets_stays() -> None:
    (found,) = read(plan(change(["forget"], {"x": 1}))).changes
    assert (found.action, found.after) == ("forget", found.before)
    assert found.after is not None


def test_data_sources_are_no_resources() -> None:
    assert read(plan(change(["read"], None, {}, mode="data"))).changes == ()
    assert b'"mode": "data"' in CREATED
    assert not any(".data." in one.resource.address for one in read(CREATED).changes)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"errored": True, "complete": False}, "Planning failed"),
        ({"complete": False}, "deferred"),
        ({"deferred_changes": [{}]}, "deferred"),
    ],
)
def test_a_plan_that_is_not_whole_says_so(more: dict[str, Any], says: str) -> None:
    (note,) = read(plan(**more)).notes
    assert says in note
