"""What the probes found: as a table, as JSON, as Markdown."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from rich.markup import escape
from rich.table import Table

from lambda_llm import __version__
from lambda_llm.cli.probes.base import Finding, Outcome
from lambda_llm.units import printable

WORDS: Final[Mapping[Outcome, str]] = {
    Outcome.OK: "ok",
    Outcome.WRONG: "wrong",
    Outcome.UNKNOWN: "can't be known here",
}
_STYLES: Final[Mapping[Outcome, str]] = {Outcome.OK: "green", Outcome.WRONG: "bold red", Outcome.UNKNOWN: "yellow"}


class Question(Protocol):
    """What was asked: `Probe`, or one of a backend."""

    @property
    def name(self) -> str:
        """Stable, for `--json`."""

    @property
    def question(self) -> str:
        """For people."""


class Subject(Protocol):
    """Who was asked: `Deployment`, or a backend.

    Attributes:
        url: of it.
        region: that it is in; None: on this machine.
    """

    url: str
    region: str | None

    @property
    def health(self) -> Mapping[str, Any]:
        """With its `model`."""


Findings = Sequence[tuple[Question, Finding]]


def as_json(deployment: Subject, findings: Findings) -> dict[str, Any]:
    """The whole result; docs/verify.md documents the keys."""
    counts = _counts(findings)
    return {
        "lambda_llm": __version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "url": deployment.url,
        "region": deployment.region,
        "model": deployment.health["model"],
        **{outcome.value: counts[outcome] for outcome in Outcome},
        "probes": [
            {
                "name": probe.name,
                "question": probe.question,
                "outcome": found.outcome.value,
                "sentence": found.sentence,
                "figures": dict(found.figures),
            }
            for probe, found in findings
        ],
    }


def as_table(findings: Findings) -> Table:
    """For people."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("Probe", "Outcome"):
        table.add_column(name, no_wrap=True)
    table.add_column("Found")
    for probe, found in findings:
        table.add_row(
            probe.name, f"[{_STYLES[found.outcome]}]{WORDS[found.outcome]}[/]", escape(printable(found.sentence))
        )
    return table


def as_markdown(deployment: Subject, findings: Findings) -> str:
    """A section for docs/verified.md; without the URL, which is nobody's business."""
    where = f"in {deployment.region}" if deployment.region else "on this machine"
    rows = [
        f"| `{probe.name}` | {WORDS[found.outcome]} | {_cell(found.sentence)} | {_cell(_figures(found.figures))} |"
        for probe, found in findings
    ]
    return "\n".join(
        [
            f"`lambda-llm verify` {__version__} on {datetime.now(UTC):%Y-%m-%d}, {where}: {total(findings)}",
            "",
            "| Probe | Outcome | Found | Figures |",
            "|---|---|---|---|",
            *rows,
        ]
    )


def total(findings: Findings) -> str:
    """The outcomes counted, in one sentence."""
    counts = _counts(findings)
    return ", ".join(f"{counts[outcome]} {WORDS[outcome]}" for outcome in Outcome) + "."


def _counts(findings: Findings) -> Counter[Outcome]:
    return Counter(found.outcome for _, found in findings)


def _figures(figures: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in figures.items()
    )


def _cell(text: str) -> str:
    return printable(text).replace("|", "\\|")
