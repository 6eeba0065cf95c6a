"""docs/observability.md says of lines what `telemetry.lines` says, and names queries and alarms that there are."""

import json
import re

from scripts import ROOT
from scripts.docs import hcl, observability

TEXT = observability.DOCUMENT.read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_code() -> None:
    assert observability.with_tables(TEXT) == TEXT, "run `python -m scripts.docs.observability`"


def test_it_names_saved_queries_that_there_are() -> None:
    queries = (ROOT / "modules/observability/queries.tf").read_text(encoding="utf-8")
    saved = set(re.findall(r"^    ([\w-]+) = \{$", queries, re.MULTILINE))
    named = set(re.findall(r"`([a-z]+(?:-[a-z]+)+|slowest|errors|tools|fallbacks|batches)`", TEXT))
    assert {"slowest", "dearest-tenants", "restores-by-cpu", "errors", "fallbacks", "spend-by-day"} <= named & saved


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http|#)([^)#]+)", TEXT):
        assert (observability.DOCUMENT.parent / target).exists(), target


def test_every_module_says_its_component_and_a_plane_of_the_document() -> None:
    for module in sorted((ROOT / "modules").glob("*/tags.tf")):
        found = re.search(
            r'"lambda-llm:plane" = "(\w+)", "lambda-llm:component" = "([\w-]+)"', module.read_text("utf-8")
        )
        if module.parent.name == "function":
            continue  # by the mark
        assert found, module
        (row,) = re.findall(rf"^\| `{found[1]}` .*$", TEXT, re.MULTILINE)
        assert found[2] == module.parent.name
        assert found[2] in row


def test_whatever_takes_tags_has_those_for_bills() -> None:
    """By the provider's own schema. What an S3 object costs is its bucket's."""
    known = json.loads((ROOT / "tests/terraform/aws_provider.json").read_text(encoding="utf-8"))["types"]
    looked_at = 0
    for folder in [ROOT, *(path.parent for path in (ROOT / "modules").glob("*/versions.tf"))]:
        for block in hcl.module(folder):
            kind = " ".join([block.kind, *block.labels[:1]])
            if block.kind != "resource" or "tags" not in known.get(kind, {}) or block.labels[0] == "aws_s3_object":
                continue
            given = block.attributes.get("tags", "")
            assert re.match(r"(merge\()?local\.tags|module\.\w+(\[\S+\])?\.tags", given), (folder.name, block.address)
            looked_at += 1
    assert looked_at > 30
