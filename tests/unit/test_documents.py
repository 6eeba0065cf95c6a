"""Documents lead to what exists: relative links, anchors included, and every decision record in the index."""

import re
from pathlib import Path

import pytest

from scripts import ROOT

DECISIONS = ROOT / "docs/decisions"
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


def anchors(document: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = HEADING.findall(document.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_its_links_lead_to_what_exists(document: Path) -> None:
    for target, anchor in LINK.findall(document.read_text(encoding="utf-8")):
        path = (document.parent / target).resolve() if target else document
        assert path.is_relative_to(ROOT), target
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), f"{target}#{anchor}"


def test_every_decision_is_listed_once_and_in_order() -> None:
    listed = re.findall(r"^\| \[\d+\]\((\d{4}-[\w-]+\.md)\) \|", (DECISIONS / "README.md").read_text(), re.MULTILINE)
    assert listed == sorted(path.name for path in DECISIONS.glob("[0-9]*.md"))
