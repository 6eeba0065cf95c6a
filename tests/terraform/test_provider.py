"""The modules work with AWS provider 5.100 and with 6.x: what they use of it exists in both.

`terraform test` holds them against whichever is installed; here they are held against what the newest one knows, as
scripts/docs/provider_typings.py wrote it down.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.docs import hcl, provider_typings
from scripts.docs.hcl import Block
from scripts.docs.provider_typings import WRITTEN, Schema, canonical
from support.modules import MODULES, name

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
        if canonical(label) not in schema:
            yield f"{path}.{label}"
        else:
            yield from unknown(body, schema[canonical(label)], f"{path}.{label}")


def test_the_newest_provider_is_one_that_the_modules_allow() -> None:
    assert KNOWN["provider"].startswith("6.")
    assert provider_typings.used() == sorted(KNOWN["types"]), "run python -m scripts.docs.provider_typings"


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_every_argument_and_block_exists_in_the_newest_provider(module: Path) -> None:
    for block in types(module):
        schema = KNOWN["types"][f"{block.kind} {block.labels[0]}"]
        assert list(unknown(block, schema, block.address)) == []


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
