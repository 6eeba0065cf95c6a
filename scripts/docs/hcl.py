"""Read the blocks of Terraform files as text, with their attributes and line numbers.

It relies on the layout of `terraform fmt`, which a test checks, and keeps expressions as written: tables in the docs
show them, and an HCL parser would lose them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HEADER = re.compile(r'( *)(\w+)((?: "[^"]*")*) \{(\}?)$')
ATTRIBUTE = re.compile(r"( *)([\w-]+) += (.*)$")


@dataclass
class Block:
    """One block.

    Attributes:
        file: that contains it.
        line: of its header, from 1.
        end: of its closing brace.
        kind: such as `variable` or `dynamic`.
        labels: in quotes after the kind.
        attributes: expressions as written, lines joined by one space.
        blocks: nested ones, in order.
    """

    file: Path
    line: int
    kind: str
    labels: list[str]
    end: int = 0
    attributes: dict[str, str] = field(default_factory=dict)
    blocks: list["Block"] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Return how other blocks refer to it: `var.name`, `check.snap_start`, `aws_iam_role.this`."""
        prefix = {"variable": ["var"], "resource": [], "data": ["data"]}.get(self.kind, [self.kind])
        return ".".join([*prefix, *self.labels])

    def inside(self, kind: str) -> list["Block"]:
        """Return the nested blocks of one kind, at any depth."""
        return [found for block in self.blocks for found in ([block] * (block.kind == kind) + block.inside(kind))]

    @property
    def source(self) -> str:
        """Its source text."""
        return "".join(self.file.read_text(encoding="utf-8").splitlines(keepends=True)[self.line - 1 : self.end])

    def text(self, name: str) -> str:
        """Return the value of an attribute that is a plain string."""
        return self.attributes[name][1:-1].replace('\\"', '"').replace("$${", "${")


def blocks(file: Path) -> list[Block]:
    """Return the top-level blocks of a file, with their nested ones."""
    lines = enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
    top = Block(file, 0, "file", [])
    _read(top, lines, "")
    return top.blocks


def module(folder: Path) -> list[Block]:
    """Return the top-level blocks of all files of a module."""
    return [block for file in sorted(folder.glob("*.tf")) for block in blocks(file)]


def _read(into: Block, lines: Iterator[tuple[int, str]], indentation: str) -> None:
    name = None
    for number, line in lines:
        if line == indentation[2:] + "}" and into.line:
            into.end = number
            return
        if (header := HEADER.match(line)) and header[1] == indentation:
            block = Block(into.file, number, header[2], re.findall(r'"([^"]*)"', header[3]), end=number)
            if not header[4]:
                _read(block, lines, indentation + "  ")
            into.blocks.append(block)
            name = None
        elif (attribute := ATTRIBUTE.match(line)) and attribute[1] == indentation:
            name = attribute[2]
            into.attributes[name] = attribute[3]
        elif name and line.strip() and not line.strip().startswith("#"):
            into.attributes[name] += " " + line.strip()
