"""Write modules/inference/settings.json: which settings a stack may give a function, and which values each takes.

The module refuses misspelt settings in the plan; without it they fail the function's init. Run it after a change of
`lambda_llm.inference.settings`; a test fails until then.
"""

import json
import sys
from typing import Any, Final

from lambda_llm.inference.settings import PREFIX, Settings
from scripts import ROOT

WRITTEN: Final = ROOT / "modules/inference/settings.json"

NUMBERS: Final = {
    "integer": ("^[0-9]{1,15}$", "a whole number"),
    "number": ("^[0-9]{1,15}([.][0-9]{1,9})?$", "a number"),
}
"""Patterns without a sign, because no setting may be negative, and short enough for HCL's numbers."""


def setting(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return what a value must be: `pattern` and, of numbers, `least` or `above`; `list` for a JSON list of strings.

    Args:
        schema: JSON schema of the field.
        definitions: that the schema refers to.
    """
    (given,) = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    if "$ref" in given:
        given = definitions[given["$ref"].rpartition("/")[2]]
    if "enum" in given:
        return {"pattern": f"^({'|'.join(given['enum'])})$", "expected": f"one of {', '.join(given['enum'])}"}
    if given["type"] in NUMBERS:
        pattern, expected = NUMBERS[given["type"]]
        least, above = given.get("minimum"), given.get("exclusiveMinimum")
        bound = f", at least {least}" if least is not None else f" above {above}"
        return {"pattern": pattern, "least": least, "above": above, "expected": expected + bound}
    if given["type"] == "boolean":
        return {"pattern": "^(true|false)$", "expected": "true or false"}
    if given["type"] == "array":
        return {"pattern": "^\\[", "list": True, "expected": 'a JSON list of strings, such as jsonencode(["one"])'}
    pattern = given.get("pattern", ".")
    return {"pattern": pattern, "expected": "not empty" if pattern == "." else f"text that matches {pattern}"}


def settings() -> dict[str, dict[str, Any]]:
    """Return what each setting's value must be, by the name of its variable."""
    schema = Settings.model_json_schema()
    return {
        f"{PREFIX}{name.upper()}": setting(field, schema.get("$defs", {}))
        for name, field in schema["properties"].items()
    }


def text() -> str:
    """Return the file's text."""
    return json.dumps(settings(), indent=2) + "\n"


def main() -> int:
    """Write the file."""
    WRITTEN.write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
