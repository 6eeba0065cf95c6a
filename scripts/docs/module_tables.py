"""Write the tables of inputs and outputs into each Terraform module's README, from its variables and outputs.

Run it after a change of a module; a test fails until then.
"""

import re
import sys
from pathlib import Path
from typing import Final

from scripts import ROOT
from scripts.docs import hcl
from scripts.docs.hcl import Block
from scripts.docs.readme import with_part

BEGIN: Final = "<!-- inputs and outputs -->\n"
END: Final = "<!-- end of inputs and outputs -->\n"


def folders() -> list[Path]:
    """Return the folder of every module whose README has the tables: those below modules/."""
    return sorted(path.parent for path in (ROOT / "modules").glob("*/versions.tf"))


def tables(module: Path) -> str:
    """Return both tables: inputs and outputs."""
    found = hcl.module(module)
    rows = ["## Inputs", "", "| Name | Type | Default | Meaning |", "|---|---|---|---|"]
    rows += [_input(block) for block in found if block.kind == "variable"]
    rows += ["", "## Outputs", "", "| Name | Meaning |", "|---|---|"]
    rows += [f"| `{block.labels[0]}` | {block.text('description')} |" for block in found if block.kind == "output"]
    return "\n".join(rows) + "\n"


def with_tables(module: Path) -> str:
    """Return the module's README with up-to-date tables."""
    return with_part((module / "README.md").read_text(encoding="utf-8"), BEGIN, tables(module), END)


def main() -> int:
    """Rewrite every README."""
    for module in folders():
        (module / "README.md").write_text(with_tables(module), encoding="utf-8")
    return 0


def _input(variable: Block) -> str:
    default = variable.attributes.get("default")
    shown = "required" if default is None else "" if default == "null" else f"`{default}`"
    kind = re.sub(r" +(=)", r" \1", variable.attributes["type"])
    # `terraform fmt` puts each field on a line of its own; on one line they need commas.
    kind = re.sub(r"(\)|[a-z]) (?=\w+ = )", r"\1, ", kind).replace("({ ", "({").replace(" })", "})")
    return f"| `{variable.labels[0]}` | `{kind}` | {shown} | {variable.text('description')} |"


if __name__ == "__main__":
    sys.exit(main())
