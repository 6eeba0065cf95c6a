"""A rule: its id, its sentence, its severity, and the function that evaluates it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum
from pathlib import Path
from typing import Final

from lambda_llm.policies.graph import Resource

__all__ = ["RULES", "Judge", "Rule", "Severity", "Verdict", "rule"]

PAGES: Final = Path(__file__).resolve().parents[3] / "docs/policies"
"""A page per rule; every clone has them, so a report can link to the page of its own version."""

Judge = Callable[[Resource], bool | None]
"""True or False, None if what that depends on is not known: before Terraform's plan, or before its apply."""


class Verdict(Enum):
    """What a rule has to say about a resource."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """It could not be judged."""
    OTHERS = "others"
    """It is none of this project's, or has nothing that the rule is about."""


class Severity(StrEnum):
    """Severity of a finding, as checkov spells it."""

    CRITICAL = "CRITICAL"
    """Open to the world."""
    HIGH = "HIGH"
    """The function does not start, starts cold, or can read what it must not."""
    MEDIUM = "MEDIUM"
    """Works, but wastes money or loses data."""


@dataclass(frozen=True)
class Rule:
    """One check.

    Attributes:
        id: For reports and inline skips.
        sentence: The requirement.
        severity: Severity of a finding.
        resources: Types of resources at which findings are reported.
        applies: Whether the rule is about a resource.
        judge: Whether a resource that the rule is about satisfies it.
    """

    id: str
    sentence: str
    severity: Severity
    resources: tuple[str, ...]
    applies: Judge
    judge: Judge

    def verdict(self, resource: Resource) -> Verdict:
        """Judge one resource."""
        applies = self.applies(resource)
        if applies is False:
            return Verdict.OTHERS
        satisfied = self.judge(resource) if applies else None
        return {True: Verdict.PASSED, False: Verdict.FAILED, None: Verdict.UNKNOWN}[satisfied]

    @property
    def page(self) -> str | None:
        """URL of the page with the reason and the fix; None where the docs are not installed."""
        page = PAGES / f"{self.id}.md"
        return page.as_uri() if page.is_file() else None


RULES: Final[list[Rule]] = []
"""Every rule, once the modules that define them are imported (`lambda_llm.policies.every` imports all)."""


def rule(number: int, severity: Severity, sentence: str, *resources: str, applies: Judge) -> Callable[[Judge], Judge]:
    """Register the decorated function, which judges a resource that the rule is about, as a rule.

    Args:
        number: The last part of the id; never reused.
        severity: Severity of a finding.
        sentence: The requirement, in one sentence.
        *resources: Types of resources at which findings are reported.
        applies: Whether the rule is about a resource of these types.
    """

    def declare(judge: Judge) -> Judge:
        RULES.append(Rule(f"CKV_LLM_{number}", sentence, severity, resources, applies, judge))
        return judge

    return declare
