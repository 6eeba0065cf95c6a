"""What `lambda-llm cost plan` says, as a table and as a pull request's comment in Markdown."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from lambda_llm.cli.console import out
from lambda_llm.cost.plans.report import Forgotten, Report, Row, Sums, Verdict
from lambda_llm.units import printable

MARKER: Final = "<!-- lambda-llm cost plan -->"
"""First line of a comment, by which a later run finds it again."""


ROOT: Final = "(root)"
TOTAL: Final = "total"
_NUMBERS: Final = ("before", "after", "more", "1,000 requests")


def show(found: Report) -> None:
    """Print a report as a table."""
    from rich.markup import escape
    from rich.table import Table

    out.print(verdict(found))
    for sentence in _warnings(found, str, str):
        out.print(f"[bold yellow]![/] {escape(printable(sentence))}")
    resources = _resources(found)
    for title, lines in (("resource", [line for line in resources if line[4] or line[5]]), ("module", _modules(found))):
        rows = Table(box=None, padding=(0, 2, 0, 0))
        for name in (title, "", *_NUMBERS):
            rows.add_column(name, justify="right" if name in _NUMBERS else "left", overflow="fold")
        for line in lines:
            rows.add_row(*(escape(printable(cell)) for cell in line[:-1]))
        if rows.row_count:
            out.print()
            out.print(rows)
    out.print()
    for address, *_, used in resources:
        if used:
            out.print(printable(f"{address}: {used}."), markup=False)
    for sentence in _footnotes(found, str, str):
        out.print(printable(sentence), markup=False)


def markdown(found: Report) -> str:
    """A report as a comment on a pull request.

    What comes from the plan, addresses above all, is code in it: it can't be links, images, HTML or mentions.
    """
    parts = [MARKER, f"### {verdict(found)}"]
    parts += [f"> [!WARNING]\n> {sentence}" for sentence in _warnings(found, _code, _text)]
    parts.append(_table("Module", _modules(found)))
    rows = _table("Resource", _resources(found))
    if rows:
        parts.append(f"<details><summary>Every resource that costs</summary>\n\n{rows}\n\n</details>")
    parts += _footnotes(found, _code, _text)
    return "\n\n".join(part for part in parts if part) + "\n"


def verdict(found: Report) -> str:
    """The whole in one sentence."""
    sums = found.sums
    least = "at least " if sums.unknown else ""
    if abs(sums.more) < 0.005:  # noqa: PLR2004 - half a cent
        change = "as before"
    else:
        change = f"{_dollars(abs(sums.more))} {'more' if sums.more > 0 else 'less'} than before"
    return f"Idle this costs {least}{_dollars(sums.after)} a month, {change}."


Say = Callable[[str], str]
"""How an address, or another text that comes from the plan, is written."""


def _warnings(found: Report, code: Say, text: Say) -> Iterator[str]:
    """Of forgotten versions, and of what the plan lacks."""
    for one in found.forgotten:
        yield _forgotten(one, code)
    yield from map(text, found.notes)


def _footnotes(found: Report, code: Say, text: Say) -> Iterator[str]:
    """What is assumed, and what is not counted."""
    yield (
        f"A thousand requests: to each resource that answers them, {found.assumed.seconds:g} s each in a function. "
        "A month is 730 hours; prices of us-east-1 without free tiers."
    )
    for row in found.rows:
        for why in row.cost.unknown:
            yield f"May cost more: {code(row.change.resource.address)}: {text(why)}."
    for row in found.of(Verdict.NOT_PRICED):
        yield f"Not priced here: {code(row.change.resource.address)}: {row.why}."
    free = len(list(found.of(Verdict.FREE)))
    if free:
        yield f"{free:,} resources cost nothing by themselves."


def _forgotten(one: Forgotten, code: Say) -> str:
    now = "this apply leaves one behind, and every later one" if one.now else "every later apply"
    unless = "".join(f", unless {code(address)} is for it, which the apply will tell" for address in one.unless)
    return (
        f"Nobody deletes unused versions of {code(one.address)}: {now} that changes it leaves one, "
        f"{_dollars(one.month)} a month each{unless}. Add modules/version-pruner, or run `lambda-llm versions --prune`."
    )


def _resources(found: Report) -> list[list[str]]:
    return [
        [
            row.change.resource.address,
            row.change.action,
            _dollars(row.before.month) if row.change.before else "-",
            _dollars(row.month_after) if row.change.after else "-",
            _more(row.month_more),
            _thousand(row.after.thousand),
            _used(row),
        ]
        for row in found.of(Verdict.PRICED)
        if row.cost != type(row.cost)()
    ]


def _used(row: Row) -> str:
    left = [f"of it {_dollars(row.left)} for the version that is left behind"] if row.left else []
    return "; ".join([*left, *row.cost.use])


def _modules(found: Report) -> list[list[str]]:
    def line(name: str, sums: Sums) -> list[str]:
        least = "at least" if sums.unknown else ""
        numbers = [_dollars(sums.before), _dollars(sums.after), _more(sums.more), _thousand(sums.thousand_after)]
        return [name, least, *numbers, ""]

    modules = [line(module or ROOT, sums) for module, sums in sorted(found.by_module().items())]
    return [*modules, line(TOTAL, found.sums)]


def _dollars(amount: float) -> str:
    return f"${amount:,.2f}"


def _more(amount: float) -> str:
    return "" if abs(amount) < 0.005 else f"{'+' if amount > 0 else '-'}{_dollars(abs(amount))}"  # noqa: PLR2004


def _thousand(amount: float) -> str:
    return f"${amount:,.4f}" if amount else ""


def _table(title: str, lines: Sequence[Sequence[str]]) -> str:
    if not lines:
        return ""
    head = [title, "", "Before", "After", "More", "1,000 requests", "By use"]
    rows = [head, ["---", "---", "---:", "---:", "---:", "---:", "---"]]
    rows += [[line[0] if line[0] in {ROOT, TOTAL} else _code(line[0]), *line[1:-1], _text(line[-1])] for line in lines]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _code(text: str) -> str:
    """Any text as code in a table: a fence longer than what is in it, and pipes that end no cell."""
    text = printable(text)
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    space = " " if "`" in text else ""
    return f"{fence}{space}{text}{space}{fence}".replace("|", "\\|")


def _text(text: str) -> str:
    """Any text as nothing but text."""
    return re.sub(r"[<>&`@\[\]*_|~#\\]", lambda found: f"&#{ord(found[0])};", printable(text))
