"""Each rule has a page: what it says is what the rule says, and its examples are the fixtures."""

import re

import pytest

from lambda_llm.policies.every import RULES
from lambda_llm.policies.rules import Rule
from support.policies import HERE, ROOT

PAGES = ROOT / "docs/policies"
README = (PAGES / "README.md").read_text(encoding="utf-8")

each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)


@each_rule
def test_a_page_says_what_the_rule_says(rule: Rule) -> None:
    page = (PAGES / f"{rule.id}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {rule.id}: {rule.sentence}\n\nSeverity: {rule.severity}. Reported at: ")
    assert re.findall("`(.*?)`", page.split("\n\n")[1]) == list(rule.resources)
    assert re.findall("^## (.*)$", page, re.MULTILINE) == ["Why", "How to fix it", "Passes", "Fails"]
    assert all(len(part) > 40 for part in page.split("## ")[1:3])


@each_rule
def test_its_examples_are_the_fixtures(rule: Rule) -> None:
    page = (PAGES / f"{rule.id}.md").read_text(encoding="utf-8")
    fixtures = [(HERE / f"fixtures/{rule.id}/{name}/main.tf").read_text(encoding="utf-8") for name in ("pass", "fail")]
    assert re.findall("^```hcl\n(.*?)^```", page, re.MULTILINE | re.DOTALL) == fixtures


def test_a_report_points_at_the_page() -> None:
    assert [rule.page for rule in RULES] == [(PAGES / f"{rule.id}.md").as_uri() for rule in RULES]


def test_the_table_lists_every_rule_once() -> None:
    in_order = sorted(RULES, key=lambda rule: int(rule.id.rpartition("_")[2]))
    rows = [f"| [{rule.id}]({rule.id}.md) | {rule.severity} | {rule.sentence} |" for rule in in_order]
    assert re.findall(r"^\| \[CKV.*$", README, re.MULTILINE) == rows
    assert [rule.id for rule in in_order] == [f"CKV_LLM_{number}" for number in range(1, len(RULES) + 1)]


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_links_lead_somewhere(page: object) -> None:
    assert isinstance(page, type(PAGES))
    for target in re.findall(r"\]\((?!http|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_functions_that_pages_show_say_who_they_are() -> None:
    for main in HERE.glob("fixtures/*/*/main.tf"):
        assert re.search('"lambda-llm" += "', main.read_text(encoding="utf-8")), main
