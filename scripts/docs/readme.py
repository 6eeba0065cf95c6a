"""Write the part of README.md that is generated from the code: the table of settings.

Run it after a change of `lambda_llm.inference.settings`; a test fails until then.
"""

import sys
from enum import StrEnum
from typing import Final

from lambda_llm.inference.settings import PREFIX, Settings
from scripts import ROOT

README: Final = ROOT / "README.md"
BEGIN: Final = "<!-- settings -->\n"
END: Final = "<!-- end of settings -->\n"


def settings_table() -> str:
    """Return a table with a row for each setting: variable, default, meaning."""
    rows = ["| Variable | Default | Meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = field.default.value if isinstance(field.default, StrEnum) else field.default
        shown = "required" if field.is_required() else "" if default in (None, ()) else f"`{default}`"
        rows.append(f"| `{PREFIX}{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(rows) + "\n"


def with_settings(readme: str) -> str:
    """Return the README with an up-to-date table."""
    return with_part(readme, BEGIN, settings_table(), END)


def with_part(text: str, begin: str, part: str, end: str) -> str:
    """Return the text with `part` between the two lines that mark its place."""
    before, _, rest = text.partition(begin)
    after = rest.partition(end)[2] if end in rest else rest
    return f"{before}{begin}\n{part}\n{end}{after}"


def main() -> int:
    """Rewrite the README."""
    README.write_text(with_settings(README.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
