"""Write docs/api.md, the public surface of the package, from its docstrings: `python -m scripts.docs.api`.

Run it after a change of what `lambda_llm.__all__` exports; a test fails until then.
"""

import inspect
import re
import sys
from typing import Any, Final

import lambda_llm
from scripts import ROOT

PAGE: Final = ROOT / "docs/api.md"
HEAD: Final = """# Public API

What `lambda_llm` exports follows [semantic versioning](https://semver.org/); every other module may change with any
release. All of it works on the base installation, without an extra. This page is made from the docstrings by
`python -m scripts.docs.api`.
"""


def page() -> str:
    """Return the up-to-date page."""
    names = [name for name in lambda_llm.__all__ if not name.startswith("_")]
    return HEAD + "".join(_section(name, getattr(lambda_llm, name)) for name in names)


def _section(name: str, thing: Any) -> str:
    is_error = isinstance(thing, type) and issubclass(thing, Exception)
    title = f"\n## `{name}`\n"
    if is_error:
        return f"{title}\n{_doc(thing)}\n"
    text = f"{title}\n```python\nlambda_llm.{name}{_signature(thing)}\n```\n\n{_doc(thing)}\n"
    if isinstance(thing, type):
        # Without the constructor's own summary: the class has one.
        text += f"\n{_doc(vars(thing)['__init__']).partition(chr(10) * 2)[2]}\n"
    return text


def _signature(thing: Any) -> str:
    """Return the signature with unqualified types, and functions as defaults by name."""
    text = re.sub(r"<function (\w+) at \w+>", r"\1", str(inspect.signature(thing)))
    text = re.sub(r"(: |-> )'([^']+)'", r"\1\2", text)  # of a name that only type checkers import
    return re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", text).removesuffix(" -> None")


def _doc(thing: Any) -> str:
    """Convert a Google-style docstring to Markdown: sections become lists."""
    lines: list[str] = []
    for line in inspect.cleandoc(thing.__doc__ or "").splitlines():
        if line in {"Args:", "Returns:", "Raises:", "Attributes:"}:
            lines += [f"**{line.removesuffix(':')}**", ""]
        elif line.startswith("    ") and not line.startswith("     "):
            name, colon, rest = line.strip().partition(": ")
            lines.append(f"- `{name}`: {rest}" if colon else f"- {name}")
        elif line.startswith("     "):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    return "\n".join(lines)


def main() -> int:
    """Rewrite the page."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
