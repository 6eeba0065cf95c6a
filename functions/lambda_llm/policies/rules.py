"""What a rule is: its id, the sentence that people read, how much it matters, and the function that judges."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from lambda_llm.policies.graph import Resource

__all__ = ["RULES", "Judge", "Rule", "Severity", "rule"]

PAGES: Final = Path(__file__).resolve().parents[3] / "docs/policies"
"""A page for each rule; they come with every clone, so a report can point at the page of the same version."""

Judge = Callable[[Resource], bool | None]
"""True where a resource obeys, False where it breaks the rule, None where the rule says nothing about it or the
value is known only when Terraform plans."""


class Severity(StrEnum):
    """How much a finding matters, as checkov spells it."""

    CRITICAL = "CRITICAL"
    """Open to the world."""
    HIGH = "HIGH"
    """The model does not start, starts cold, or can read what it must not."""
    MEDIUM = "MEDIUM"
    """Works, but costs money or loses something."""


@dataclass(frozen=True)
class Rule:
    """One check.

    Attributes:
        id: What an inline skip and a report name.
        sentence: What is demanded.
        severity: How much it matters.
        resources: Types of resources at which findings are reported.
        judge: Looks at one resource.
    """

    id: str
    sentence: str
    severity: Severity
    resources: tuple[str, ...]
    judge: Judge

    @property
    def page(self) -> str | None:
        """Address of the page that says why, and how to put it right; None where the docs are not installed."""
        page = PAGES / f"{self.id}.md"
        return page.as_uri() if page.is_file() else None


RULES: Final[list[Rule]] = []
"""Every rule, once the modules that hold them are imported (`lambda_llm.policies.every` imports all)."""


def rule(number: int, severity: Severity, sentence: str, *resources: str) -> Callable[[Judge], Judge]:
    """Make a rule of the function that judges.

    Args:
        number: The last part of the id; never given a second time.
        severity: How much a finding matters.
        sentence: What is demanded, in one sentence.
        *resources: Types of resources at which findings are reported.
    """

    def declare(judge: Judge) -> Judge:
        RULES.append(Rule(f"CKV_LLM_{number}", sentence, severity, resources, judge))
        return judge

    return declare
