"""The modules keep to what Terraform 1.9 understands, the oldest version that they allow; nothing newer is in them.

Its functions are those that `terraform metadata functions -json` of 1.9.8 lists; the kinds of blocks and their own
arguments are those of its documentation.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.docs import hcl
from scripts.docs.hcl import Block
from support.modules import MODULES, ROOT, name

FUNCTIONS = set(json.loads((Path(__file__).parent / "terraform_1_9_functions.json").read_text(encoding="utf-8")))
EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/versions.tf"))
FOLDERS = [*MODULES, *EXAMPLES]
CALL = re.compile(r"(?<![\w.\"-])([a-z]\w*(?:::\w+)*)\(")
PIECE = re.compile(r"\$\$\{|%%\{|[$%]\{|<<-?\w+|\w+|\\.|.", re.DOTALL)

BLOCKS = {"terraform", "provider", "variable", "locals", "output", "resource", "data", "module", "moved", "check"}
ARGUMENTS = {
    "variable": {"type", "default", "description", "nullable", "sensitive"},
    "output": {"value", "description", "sensitive", "depends_on"},
    "moved": {"from", "to"},
    "terraform": {"required_version"},
    "lifecycle": {"create_before_destroy", "prevent_destroy", "ignore_changes", "replace_triggered_by"},
}
"""Arguments of blocks that are Terraform's own, by kind."""


def newer(text: str) -> Iterator[str]:
    """What Terraform 1.9 does not know in an expression: functions, and strings' interpolated ones."""
    code = without_strings(text)
    yield from (f"{call}()" for call in CALL.findall(code) if call not in FUNCTIONS)
    if "ephemeral." in code:
        yield "ephemeral"


def without_strings(text: str) -> str:
    """An expression without what is written in its strings; what is interpolated, which may have strings, stays."""
    code, ends = "", ["}"]  # of each string, heredoc and pair of braces around this place
    for piece in PIECE.findall(text):
        in_text = ends[-1] != "}"
        if piece == ends[-1] and len(ends) > 1:
            ends.pop()
        elif in_text and piece in {"${", "%{"}:
            ends.append("}")
        elif not in_text and piece in {'"', "{"}:
            ends.append('"' if piece == '"' else "}")
        elif not in_text and piece.startswith("<<"):
            ends.append(piece.lstrip("<-"))
        code += " " if in_text or piece == '"' else piece
    return code


def found(block: Block) -> Iterator[str]:
    """What is newer in a block and those inside it."""
    if block.kind in ARGUMENTS:
        yield from (f"{block.kind}: {one}" for one in block.attributes if one not in ARGUMENTS[block.kind])
    for argument, expression in block.attributes.items():
        if argument.endswith("_wo"):
            yield argument
        if argument == "type" and block.kind == "variable":
            continue  # a type, whose constructors look like functions
        yield from newer(expression)
    for inner in block.blocks:
        yield from found(inner)


def problems(folder: Path) -> list[str]:
    blocks = hcl.module(folder)
    return [f"{block.kind} block" for block in blocks if block.kind not in BLOCKS] + [
        f"{block.address}: {one}" for block in blocks for one in found(block)
    ]


@pytest.mark.parametrize("folder", FOLDERS, ids=name)
def test_a_configuration_has_nothing_newer(folder: Path) -> None:
    assert problems(folder) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('ephemeral "random_password" "x" {\n}\n', "ephemeral block"),
        ('action "aws_lambda_invoke" "x" {\n}\n', "action block"),
        ('variable "x" {\n  type      = string\n  ephemeral = true\n}\n', "var.x: variable: ephemeral"),
        ('output "x" {\n  value      = 1\n  deprecated = "no"\n}\n', "output.x: output: deprecated"),
        ("locals {\n  x = ephemeralasnull(var.y)\n}\n", "locals: ephemeralasnull()"),
        ('locals {\n  x = "${provider::aws::arn_parse(var.y)}"\n}\n', "locals: provider::aws::arn_parse()"),
        (
            'locals {\n  x = "count() ${join(" or() ", [for y in z : "\\"${new({})}\\" }"])} $${no()}"\n}\n',
            "locals: new()",
        ),
        ("locals {\n  x = <<-EOT\n    count() by EOTs() ${new()}\n  EOT\n}\n", "locals: new()"),
        ('resource "aws_db_instance" "x" {\n  password_wo = var.y\n}\n', "aws_db_instance.x: password_wo"),
    ],
)
def test_what_is_newer_is_found(text: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text(text, encoding="utf-8")
    assert problems(tmp_path) == [expected]
