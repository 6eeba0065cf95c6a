"""The modules work with AWS provider 5.100 and with 6.x: what they use of it is the same in both.

`terraform test` holds them against whichever is installed; here they are held against what the newest one knows, as
scripts/docs/provider_typings.py wrote it down: names, what is required, types and nesting. Where both know a type, the
installed one's schema is compared with it too.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.docs import hcl, provider_typings
from scripts.docs.hcl import Block
from scripts.docs.provider_typings import WRITTEN, Schema, canonical
from scripts.local_aws import terraform
from support.modules import MODULES, ROOT, TERRAFORM_FROM, initializable, name, too_new

KNOWN = json.loads(WRITTEN.read_text(encoding="utf-8"))
META = {"count", "foreach", "provider", "dependson", "lifecycle"}
"""Terraform's own, in every resource."""

REFERENCE = re.compile(r"\b(data\.)?(aws_\w+)\.\w+(?:\[[^\]]*\])?\.(\w+)")
COMMENT = re.compile(r"^ *#.*$", re.MULTILINE)


def types(module: Path) -> Iterator[Block]:
    for block in hcl.module(module):
        for candidate in [block, *block.inside("data")]:
            if candidate.kind in {"resource", "data"} and candidate.labels[0].startswith("aws_"):
                yield candidate


def unknown(block: Block, schema: Schema, path: str) -> Iterator[str]:
    """Names in a block, at any depth, that the provider does not have."""
    for attribute in block.attributes:
        if canonical(attribute) not in {*schema, *META}:
            yield f"{path}.{attribute}"
    for inner in block.blocks:
        label, body = inner.kind, inner
        if inner.kind == "dynamic":
            (label,), (body,) = inner.labels, inner.inside("content")
        if canonical(label) in META:
            continue
        if schema.get(canonical(label), {}).get("type") != "block":
            yield f"{path}.{label}"
        else:
            yield from unknown(body, schema[canonical(label)]["fields"], f"{path}.{label}")


def within(block: Block, schema: Schema, path: str) -> Iterator[tuple[Block, Schema, str]]:
    """A block and the ones inside it, each with its schema and where it stands."""
    yield block, schema, path
    for inner in block.blocks:
        label, body = inner.kind, inner
        if inner.kind == "dynamic":
            (label,), (body,) = inner.labels, inner.inside("content")
        known = schema.get(canonical(label), {})
        if canonical(label) not in META and known.get("type") == "block":
            yield from within(body, known["fields"], f"{path}.{label}")


def unset(block: Block, schema: Schema, path: str) -> Iterator[str]:
    """Names that the provider requires and a block does not set, at any depth."""
    for body, fields, where in within(block, schema, path):
        inner = {label for one in body.blocks for label in (one.labels if one.kind == "dynamic" else [one.kind])}
        names = {canonical(name) for name in {*body.attributes, *inner}}
        yield from (f"{where}.{name}" for name, known in fields.items() if known.get("required") and name not in names)


LITERALS = {
    "string": re.compile(r'".*"$'),
    "number": re.compile(r"[\d.]+$"),
    "boolean": re.compile(r"(true|false)$"),
    "map": re.compile(r"\{.*\}$"),
}


def literal_type(expression: str) -> str | None:
    """Type of an expression that is a literal; None of any other."""
    if expression.startswith("["):
        return "list" if expression.endswith("]") else None
    return next((kind for kind, pattern in LITERALS.items() if pattern.match(expression)), None)


def mistyped(block: Block, schema: Schema, path: str) -> Iterator[str]:
    """Literals of another type than the provider's, and blocks that stand twice where there may be one."""
    for body, fields, where in within(block, schema, path):
        for argument, expression in body.attributes.items():
            known = fields.get(canonical(argument))
            literal = literal_type(expression)
            if known is None or literal is None:
                continue
            expected = "list" if known.get("list") else known["type"]
            if literal != expected:
                yield f"{where}.{argument} = {expression}: {expected} is expected"
        for kind in {one.kind for one in body.blocks} - {"dynamic"}:
            known = fields.get(canonical(kind), {})
            if known.get("type") == "block" and not known.get("list") and len(body.inside(kind)) > 1:
                yield f"{where}.{kind}: one is expected"


def installed(block: dict[str, Any]) -> Schema:
    """A type's schema as `terraform providers schema -json` tells it, in the form of the newest one's."""
    fields: Schema = {}
    for key, attribute in block.get("attributes", {}).items():
        kind = attribute.get("type", "block")
        several = isinstance(kind, list) and kind[0] in {"list", "set"}
        inner = kind[1] if several else kind
        named = inner if isinstance(inner, str) else {"map": "map", "object": "block"}[inner[0]]
        fields[canonical(key)] = {
            "type": {"bool": "boolean"}.get(named, named),
            **({"list": True} if several else {}),
            **({"fields": {canonical(one): {} for one in inner[1]}} if named == "block" else {}),
            **({} if attribute.get("optional") or attribute.get("required") else {"computed": True}),
        }
    for key, inner in block.get("block_types", {}).items():
        fields[canonical(key)] = {"type": "block", "fields": installed(inner["block"])}
    return fields


def otherwise(block: Block, newest: Schema, known: Schema, path: str) -> Iterator[str]:
    """What a block uses that two versions of the provider understand differently."""
    mine = {where: fields for _, fields, where in within(block, known, path)}
    for body, fields, where in within(block, newest, path):
        for argument in body.attributes:
            key = canonical(argument)
            if key in META:
                continue
            one, other = fields[key], mine.get(where, {}).get(key)
            shape = (one["type"], bool(one.get("list")))
            if other is None or (other["type"], bool(other.get("list"))) != shape:
                yield f"{where}.{argument}: {shape} in the newest provider, {other} in the installed one"


def test_the_newest_provider_is_one_that_the_modules_allow() -> None:
    assert KNOWN["provider"].startswith("6.")
    assert provider_typings.used() == sorted(KNOWN["types"]), "run python -m scripts.docs.provider_typings"


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_every_argument_and_block_exists_in_the_newest_provider(module: Path) -> None:
    for block in types(module):
        schema = KNOWN["types"][f"{block.kind} {block.labels[0]}"]
        assert list(unknown(block, schema, block.address)) == []


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_what_the_newest_provider_requires_is_set_with_the_right_types(module: Path) -> None:
    for block in types(module):
        schema = KNOWN["types"][f"{block.kind} {block.labels[0]}"]
        assert [*unset(block, schema, block.address), *mistyped(block, schema, block.address)] == []


def test_what_the_readmes_show_of_newer_providers_is_theirs() -> None:
    blocks = provider_typings.documented()
    assert {block.labels[0] for block in blocks} >= {
        "aws_bedrockagentcore_gateway",
        "aws_bedrockagentcore_gateway_target",
        "aws_bedrockagentcore_code_interpreter",
    }
    for block in blocks:
        schema = KNOWN["types"][f"{block.kind} {block.labels[0]}"]
        problems = [of(block, schema, block.address) for of in (unknown, unset, mistyped)]
        assert [list(each) for each in problems] == [[], [], []]


@pytest.fixture(scope="module")
def provider(initialized: Callable[[Path], Path]) -> dict[str, Any]:
    """Schemas of the installed provider."""
    told = json.loads(terraform.run(initialized(ROOT), "providers", "schema", "-json"))
    (schemas,) = (schemas for name, schemas in told["provider_schemas"].items() if name.endswith("hashicorp/aws"))
    found: dict[str, Any] = schemas
    return found


@pytest.mark.needs("terraform", get=TERRAFORM_FROM)
@pytest.mark.parametrize("module", initializable(), ids=name)
def test_the_installed_provider_understands_what_is_used_as_the_newest_does(
    module: Path, provider: dict[str, Any], initialized: Callable[[Path], Path]
) -> None:
    for block in types(initialized(module) if too_new(module) else module):
        kind = "data_source" if block.kind == "data" else "resource"
        known = installed(provider[f"{kind}_schemas"][block.labels[0]]["block"])
        newest = KNOWN["types"][f"{block.kind} {block.labels[0]}"]
        assert list(otherwise(block, newest, known, block.address)) == []


DEPRECATED = {"aws_region": {"name", "id"}}
"""Attributes that give a warning with the newest provider and have no other name in the oldest."""


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_no_deprecated_attribute_is_asked_for(module: Path) -> None:
    for file in module.glob("*.tf"):
        asked = REFERENCE.findall(COMMENT.sub("", file.read_text(encoding="utf-8")))
        assert [one for one in asked if one[2] in DEPRECATED.get(one[1], set())] == []


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_every_attribute_that_is_asked_for_exists_in_the_newest_provider(module: Path) -> None:
    for file in module.glob("*.tf"):
        text = COMMENT.sub("", file.read_text(encoding="utf-8"))
        for data, kind, attribute in REFERENCE.findall(text):
            schema = KNOWN["types"][f"{'data' if data else 'resource'} {kind}"]
            assert canonical(attribute) in schema, f"{data}{kind}: {attribute}"


def test_what_it_lacks_is_found(tmp_path: Path) -> None:
    file = tmp_path / "main.tf"
    file.write_text(
        'resource "aws_lambda_alias" "this" {\n  name = "live"\n  colour = "red"\n\n'
        '  dynamic "routing_config" {\n    for_each = []\n\n    content {\n      weight = 1\n    }\n  }\n\n'
        "  parade {\n  }\n}\n",
        encoding="utf-8",
    )
    (block,) = hcl.blocks(file)
    missing = list(unknown(block, KNOWN["types"]["resource aws_lambda_alias"], "alias"))
    assert missing == ["alias.colour", "alias.routing_config.weight", "alias.parade"]


def test_what_is_left_out_or_of_another_type_is_found(tmp_path: Path) -> None:
    file = tmp_path / "main.tf"
    file.write_text(
        'resource "aws_lambda_function" "this" {\n  function_name = "chat"\n  memory_size = "10240"\n'
        '  publish = 1\n  layers = "one"\n\n  vpc_config {\n    subnet_ids = []\n  }\n\n'
        "  environment {\n  }\n\n  environment {\n  }\n}\n",
        encoding="utf-8",
    )
    (block,) = hcl.blocks(file)
    schema = KNOWN["types"]["resource aws_lambda_function"]
    assert sorted(unset(block, schema, "f")) == ["f.role", "f.vpc_config.securitygroupids"]
    assert sorted(mistyped(block, schema, "f")) == [
        "f.environment: one is expected",
        'f.layers = "one": list is expected',
        'f.memory_size = "10240": number is expected',
        "f.publish = 1: boolean is expected",
    ]


def test_what_two_providers_understand_differently_is_found(tmp_path: Path) -> None:
    file = tmp_path / "main.tf"
    file.write_text('resource "aws_lambda_function" "this" {\n  layers = []\n  timeout = 3\n}\n', encoding="utf-8")
    (block,) = hcl.blocks(file)
    schema = {"attributes": {"layers": {"type": ["map", "string"], "optional": True}, "timeout": {"type": "number"}}}
    newest = KNOWN["types"]["resource aws_lambda_function"]
    (found,) = otherwise(block, newest, installed(schema), "f")
    assert found.startswith("f.layers: ('string', True) in the newest provider")
