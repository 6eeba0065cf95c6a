"""What modules/observability draws, asks and watches, over lines that `telemetry.emf` made: nothing of it is empty."""

import json
from typing import Any

import pytest

from lambda_llm.telemetry import lines
from scripts.dashboard import evaluate, insights, recorded
from scripts.dashboard.day import Day
from scripts.dashboard.evaluate import Account
from scripts.dashboard.module import FUNCTIONS, Planned, everything, log_group, planned
from support.modules import TERRAFORM_FROM

pytestmark = pytest.mark.needs("terraform", get=TERRAFORM_FROM)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Planned:
    return planned(tmp_path_factory.mktemp("observability"), everything())


@pytest.fixture(scope="module")
def day() -> Day:
    return Day(step=20)


@pytest.fixture(scope="module")
def account(day: Day) -> Account:
    return day.account()


def empty(plan: Planned, account: Account) -> set[str]:
    """What shows nothing: titles of widgets, names of alarms and of saved queries."""
    found = set()
    for widget in plan.widgets:
        shown = evaluate.widget(widget, account)
        if shown.empty or not (shown.rows or shown.curves):
            found.add(shown.title)
    found |= {name for name, alarm in plan.alarms.items() if not evaluate.watched(alarm, account)}
    for name, query in plan.queries.items():
        rows = insights.run(query["query_string"], account.logs, query["log_group_names"])
        columns = {column for row in rows for column in row}
        if not rows or any(all(row.get(column) is None for row in rows) for column in columns):
            found.add(name)
    return found


def renamed(day: Day, old: str) -> Account:
    """The day as if its lines had another name for a metric, a dimension or a field."""
    new = f"{old}Renamed"

    def other(value: Any) -> Any:
        if isinstance(value, dict):
            return {new if key == old else key: other(each) for key, each in value.items()}
        if isinstance(value, list):
            return [other(each) for each in value]
        return new if value == old else value

    return day.account({function: [other(line) for line in written] for function, written in day.lines.items()})


def test_the_day_has_every_kind_of_line_with_all_that_it_may_say(day: Day) -> None:
    written = [line for each in day.lines.values() for line in each]
    for kind in lines.LINES:
        mine = [line for line in written if (line["service"], line["event"]) == (kind.service, kind.event)]
        metrics = {name for directive in kind.directives for name in directive.metrics}
        assert metrics | kind.fields <= {name for line in mine for name in line}, kind
        told = {
            (tuple(names), metric["Name"])
            for line in mine
            for directive in line.get("_aws", {"CloudWatchMetrics": []})["CloudWatchMetrics"]
            for names in directive["Dimensions"]
            for metric in directive["Metrics"]
        }
        assert told == {(each.dimensions, name) for each in kind.directives for name in each.metrics}, kind


def test_no_widget_alarm_or_query_is_empty(plan: Planned, account: Account) -> None:
    assert len(plan.widgets) > 20
    assert len(plan.alarms) > 10
    assert len(plan.queries) > 8
    assert empty(plan, account) == set()


@pytest.mark.parametrize("name", lines.METRICS)
def test_a_metric_of_another_name_leaves_something_empty(name: str, plan: Planned, day: Day) -> None:
    assert empty(plan, renamed(day, name))


@pytest.mark.parametrize(
    "name",
    [
        "function",
        "model",
        "backend",
        "tool",
        "target",
        "tenant",
        "budget_window",
        "function_version",
        "cpu",
        "status",
        "event",
        "batch",
        "completed",
        "failed",
        "records",
        "attempts",
        "seconds",
        "error",
        "request_id",
        "service",
        "plane",
        "queue_seconds",
        "seconds_since_restore",
        "restored",
    ],
)
def test_a_field_of_another_name_leaves_something_empty(name: str, plan: Planned, day: Day) -> None:
    assert empty(plan, renamed(day, name))


@pytest.mark.parametrize("kind", lines.LINES, ids=lambda kind: f"{kind.service}-{kind.event}")
def test_a_kind_of_line_that_nobody_writes_changes_what_is_shown(
    kind: lines.Line, plan: Planned, day: Day, account: Account
) -> None:
    rest = {
        function: [line for line in written if (line["service"], line["event"]) != (kind.service, kind.event)]
        for function, written in day.lines.items()
    }
    assert everything_shown(plan, day.account(rest)) != everything_shown(plan, account)


def everything_shown(plan: Planned, account: Account) -> list[object]:
    """What widgets and saved queries show."""
    found: list[object] = [evaluate.widget(widget, account) for widget in plan.widgets]
    return found + [
        insights.run(query["query_string"], account.logs, query["log_group_names"]) for query in plan.queries.values()
    ]


def test_no_alarm_rings_on_an_ordinary_day(plan: Planned) -> None:
    ordinary = Day().account()
    assert [name for name, alarm in plan.alarms.items() if evaluate.rings(alarm, ordinary)] == []


def test_every_alarm_rings_when_all_goes_wrong(plan: Planned) -> None:
    wrong = Day(trouble=True).account()
    assert [name for name, alarm in plan.alarms.items() if not evaluate.rings(alarm, wrong)] == []


def test_figures_are_those_of_the_lines(plan: Planned, day: Day, account: Account) -> None:
    """The evaluation is none of its own: sums and percentiles by hand, of what is in the lines."""
    mine = [line for line in day.lines[FUNCTIONS["inference"]] if line["event"] == "request"]
    shown = {one.title: one for one in (evaluate.widget(widget, account) for widget in plan.widgets)}
    dollars = shown["US dollars a day"].curves["own models"]
    assert sum(dollars.values()) == pytest.approx(sum(float(str(line["Dollars"])) for line in mine))
    tokens = shown["Tokens of own models"].curves["OutputTokens"]
    assert sum(tokens.values()) == sum(int(str(line["OutputTokens"])) for line in mine)
    tenants = shown["The dearest tenants"].rows
    acme = [row for row in tenants if (row["tenant"], row["service"]) == ("acme", "inference")]
    assert [row["requests"] for row in acme] == [sum(line["tenant"] == "acme" for line in mine)]


def test_a_log_is_read_as_the_day_that_wrote_it(day: Day, account: Account) -> None:
    """Lines from a file, among others, give the same metrics as those of the day."""
    text = ["INIT_START Runtime Version", *(json.dumps(line) for each in day.lines.values() for line in each), "{}"]
    written = recorded.read(text)
    assert {key for key in account.metrics.named() if key[0] == lines.NAMESPACE} == set(
        recorded.account(written).metrics.named()
    )
    mine = FUNCTIONS["pruner"]
    assert recorded.arguments(written)["pruners"] == {mine: {"function_name": mine, "log_group_name": log_group(mine)}}


def test_widgets_don_t_overlap_and_stay_on_the_dashboard(plan: Planned) -> None:
    taken = [
        (widget["x"] + column, widget["y"] + row)
        for widget in plan.widgets
        for column in range(widget["width"])
        for row in range(widget["height"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    assert len(json.dumps(plan.widgets)) < 1_000_000
