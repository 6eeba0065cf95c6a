"""Write docs/router.schema.json, the JSON schema of the router's configuration: `python -m scripts.docs.router_schema`.

Run it after a change of `lambda_llm.router.config`; a test fails until then.
"""

import json
from typing import Final

from lambda_llm.router.schema import schema
from scripts import ROOT

FILE: Final = ROOT / "docs/router.schema.json"


def content() -> str:
    """Return the up-to-date file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(content(), encoding="utf-8")
