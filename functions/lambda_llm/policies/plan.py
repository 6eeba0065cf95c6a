"""What a plan's file tells and checkov leaves out: values that are not known yet, and references across modules."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

__all__ = ["UNKNOWN_YET", "Plan"]

UNKNOWN_YET: Final = "terraform.known_after_apply"
"""In place of a value that is known after apply, in the form of an expression."""

MODULES: Final = re.compile(r'(?:module\.[^.\[]+(?:\[(?:\d+|"[^"]*")\])?\.)*')
"""The module path of an address."""

CALL: Final = re.compile(r'module\.([^.\[]+)(\[(?:\d+|"[^"]*")\])?')
"""A part of a module path, or the beginning of a reference to an output."""

RESOURCE: Final = re.compile(r"(?:data\.)?aws_\w+\.[\w-]+")

Target = tuple[str, str]
"""Address of a module, "" for the root, and type and name of a resource or data source in it."""


class Plan:
    """The output of `terraform show -json`.

    Args:
        document: Parsed.

    Source: https://developer.hashicorp.com/terraform/internals/json-format
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._root = document.get("configuration", {}).get("root_module", {})
        self._changes = {one["address"]: one.get("change", {}) for one in document.get("resource_changes", [])}

    @classmethod
    def read(cls, file: Path) -> "Plan":
        """Read a file; one that is no plan knows nothing."""
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            document = {}
        return cls(document if isinstance(document, Mapping) else {})

    def unknown(self, address: str) -> list[str]:
        """Arguments that a resource is given, but whose values are known after apply."""
        given = self._changes.get(address, {}).get("after_unknown")
        if not isinstance(given, Mapping):
            return []
        expressions = self._block(module_of(address), address).get("expressions", {})
        return [name for name, value in given.items() if value is True and name in expressions]

    def targets(self, address: str, argument: str) -> Iterator[Target]:
        """Resources and data sources that an argument refers to, through variables and outputs of modules.

        A plan has no locals: what they refer to is not found.
        """
        module = module_of(address)
        block = self._block(module, address)
        expressions = block.get("expressions", {}).get(argument)
        yield from self._all(module, references(expressions), references(block.get("for_each_expression")), set())

    def _all(self, module: str, found: list[str], each: list[str], seen: set[tuple[str, str]]) -> Iterator[Target]:
        for reference in found:
            if (module, reference) in seen:
                continue
            seen.add((module, reference))
            if reference.startswith("each."):
                yield from self._all(module, each, [], seen)
            elif reference.startswith("var."):
                yield from self._passed(module, reference.split(".")[1].partition("[")[0], seen)
            elif match := CALL.match(reference):
                yield from self._returned(module, match, reference[match.end() :], seen)
            elif match := RESOURCE.match(reference):
                yield module, match[0]

    def _passed(self, module: str, variable: str, seen: set[tuple[str, str]]) -> Iterator[Target]:
        """What the call of a module passes for a variable."""
        *outer, call = CALL.finditer(module) if module else [None]
        if call is None:
            return
        caller = ".".join(one[0] for one in outer if one)
        block = self._module(caller).get("module_calls", {}).get(call[1], {})
        given = block.get("expressions", {}).get(variable)
        yield from self._all(caller, references(given), references(block.get("for_each_expression")), seen)

    def _returned(self, module: str, call: re.Match[str], rest: str, seen: set[tuple[str, str]]) -> Iterator[Target]:
        """What an output of a called module refers to."""
        output = rest.removeprefix(".").partition(".")[0].partition("[")[0]
        block = self._module(module).get("module_calls", {}).get(call[1], {})
        given = block.get("module", {}).get("outputs", {}).get(output, {}).get("expression")
        called = ".".join(filter(None, [module, call[0]]))
        yield from self._all(called, references(given), [], seen)

    def _module(self, address: str) -> Mapping[str, Any]:
        """Configuration of the module at an address."""
        found: Mapping[str, Any] = self._root
        for call in CALL.finditer(address):
            found = found.get("module_calls", {}).get(call[1], {}).get("module", {})
        return found

    def _block(self, module: str, address: str) -> Mapping[str, Any]:
        name = re.sub(r"\[.*\]$", "", address[len(module) :].removeprefix("."))
        blocks = self._module(module).get("resources", [])
        return next((block for block in blocks if block.get("address") == name), {})


def module_of(address: str) -> str:
    """Address of the module that a resource's address is in, "" for the root."""
    match = MODULES.match(address)
    return match[0].removesuffix(".") if match else ""


def references(expression: Any) -> list[str]:
    """All references of an argument's expression, or of the blocks that it is made of."""
    if isinstance(expression, list):
        return [found for one in expression for found in references(one)]
    if not isinstance(expression, Mapping):
        return []
    own = expression.get("references")
    if isinstance(own, list) and all(isinstance(one, str) for one in own):
        return own
    return [found for one in expression.values() for found in references(one)]
