"""Terraform's plans as `terraform show -json` writes them, OpenTofu's too.

Source: https://developer.hashicorp.com/terraform/internals/json-format
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lambda_llm.errors import LambdaLLMError

FORMAT: Final = "1"
"""Major version of the format that is read; its minor versions only add to it."""

HOW: Final = "run `terraform plan -out=plan.bin` and `terraform show -json plan.bin > plan.json`, and give plan.json"

_ACTIONS: Final = {
    ("no-op",): "no-op",
    ("create",): "create",
    ("update",): "update",
    ("delete",): "delete",
    ("delete", "create"): "replace",
    ("create", "delete"): "replace",
    ("forget",): "forget",
    ("create", "forget"): "forget",
}


class PlanError(LambdaLLMError):
    """A file is no plan, or one that can't be read."""


@dataclass(frozen=True)
class Resource:
    """A resource as it was before a plan is applied, or as it will be after.

    Attributes:
        address: of it.
        module: address of its module, empty for the root.
        type: like `aws_lambda_function`.
        name: within its module.
        values: its attributes; one that is null or not known is left out or None.
        unknown: attributes that are known after the apply only, which are true.
    """

    address: str
    module: str
    type: str
    name: str
    values: Mapping[str, Any]
    unknown: Mapping[str, Any]

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute; the default if it is null or not known."""
        value = self.values.get(name)
        return default if value is None else value

    def blocks(self, name: str) -> list[Mapping[str, Any]]:
        """The blocks of a name."""
        return [block for block in self.get(name, []) if isinstance(block, Mapping)]

    def is_unknown(self, name: str) -> bool:
        """Whether an attribute is known after the apply only."""
        return self.unknown.get(name) is True


@dataclass(frozen=True)
class Change:
    """What a plan does to one resource.

    Attributes:
        action: `create`, `update`, `replace`, `delete`, `forget` (it stays, and Terraform knows it no more) or `no-op`.
        before: the resource; None: there is none.
        after: the same.
    """

    action: str
    before: Resource | None
    after: Resource | None

    @property
    def resource(self) -> Resource:
        """The resource as it will be, or as it was."""
        found = self.after or self.before
        assert found is not None  # noqa: S101 - read() makes no other
        return found


@dataclass(frozen=True)
class Plan:
    """A plan.

    Attributes:
        changes: of every resource, those without a change too.
        configuration: the root module's, with the calls of others.
        notes: sentences about what the plan does not have.
    """

    changes: tuple[Change, ...]
    configuration: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def read(content: bytes) -> Plan:
    """Read a plan.

    Args:
        content: of the file.

    Raises:
        PlanError: it is none.
    """
    data = _json(content)
    _check(data)
    try:
        changes = tuple(_change(each) for each in data.get("resource_changes", []) if each["mode"] == "managed")
        configuration = data.get("configuration", {}).get("root_module", {})
    except (KeyError, TypeError, AttributeError) as error:
        raise PlanError(f"The plan is not as Terraform writes it ({error!r}): {HOW}.") from error
    notes = []
    if data.get("errored"):
        notes.append("Planning failed, so the plan is not whole.")
    elif data.get("complete") is False or data.get("deferred_changes"):
        notes.append("Terraform deferred some changes, which are not counted.")
    return Plan(changes, configuration, tuple(notes))


def _json(content: bytes) -> Any:
    if content.startswith(b"PK\x03\x04"):
        raise PlanError(f"The file is a plan in Terraform's own binary form: {HOW}.")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        begins = content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"\xff\xfe", b"\xfe\xff"))
        what = "JSON that is cut off or damaged" if begins else "no JSON"
        raise PlanError(f"The file is {what} ({error}): {HOW}.") from None


def _check(data: Any) -> None:
    if not isinstance(data, dict):
        raise PlanError(f"The file is JSON, but no plan: {HOW}.")
    if "lineage" in data or ("values" in data and "planned_values" not in data):
        raise PlanError(f"The file is a state, which changes nothing, and no plan: {HOW}.")
    version = data.get("format_version")
    if not isinstance(version, str) or not {"planned_values", "resource_changes"} & set(data):
        raise PlanError(f"The file is JSON, but no plan: {HOW}.")
    if version.partition(".")[0] != FORMAT:
        raise PlanError(
            f"The plan has format_version {version!r} instead of {FORMAT}.x, from another generation of Terraform: "
            f"with Terraform 1.1 or later or OpenTofu, {HOW}."
        )


def _change(item: Mapping[str, Any]) -> Change:
    change = item["change"]
    place = (item["address"], item.get("module_address", ""), item["type"], item["name"])
    if not all(isinstance(part, str) for part in place):
        raise TypeError(place)
    action = _ACTIONS[tuple(change["actions"])]

    def side(values: Any, unknown: Any) -> Resource | None:
        if values is None:
            return None
        known = unknown if isinstance(unknown, Mapping) else {}
        return Resource(*place, {**values}, known)

    before = side(change.get("before"), {})
    after = side(change.get("after"), change.get("after_unknown"))
    if after is None and before is None:
        raise TypeError(item["address"])
    return Change(action, before, before if action == "forget" and after is None else after)
