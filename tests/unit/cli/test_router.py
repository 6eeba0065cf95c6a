"""`lambda-llm router budgets` over DynamoDB's protocol."""

import json
import time
from contextlib import closing
from pathlib import Path

import pytest

from lambda_llm.router.budget import Amount, Limits, Window
from lambda_llm.router.ledger import Ledger
from scripts.local_aws.server import LocalAWS
from support.budgets import make_table
from support.command_line import Run

TABLE = "llm-budgets-shown"


@pytest.fixture(scope="module")
def spent(local_aws: LocalAWS) -> float:
    """When two tenants spent something."""
    now = time.time()
    with closing(local_aws.client("dynamodb")) as client:
        ledger = Ledger(make_table(local_aws, TABLE), client)
        ledger.settle(ledger.reserve("acme", Amount(500, 900_000), Limits(), "one", now), Amount(1200, 1_500_000))
        ledger.reserve("acme", Amount(300, 250_000), Limits(), "two", now)
        ledger.settle(ledger.reserve("[red]evil\x1b[2J", Amount(7), Limits(), "one", now), Amount(7))
    return now


@pytest.fixture(autouse=True)
def _aws(local_aws: LocalAWS, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in local_aws.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)


def test_each_tenant_s_windows_are_shown(run: Run, spent: float) -> None:
    told = run("router", "budgets", "--table", TABLE)
    assert told.status == 0, told.err
    assert told.out.splitlines()[0].split() == ["tenant", "window", "spent", "reserved"]
    day = next(line for line in told.out.splitlines() if line.startswith("acme") and " day " in line)
    assert day.split() == ["acme", "day", Window.DAY.key(spent), "1,200", "tokens,", "$1.50", "300", "tokens,", "$0.25"]
    assert "[red]evil[2J" in told.out
    assert "\x1b" not in told.out


def test_with_limits_it_shows_what_is_left(run: Run, spent: float, tmp_path: Path) -> None:
    limits = tmp_path / "limits.json"
    limits.write_text('{"day": {"tokens": 2000, "dollars": 1}, "month": {"tokens": 10000}}')
    told = run("router", "budgets", "--table", TABLE, "--tenant", "acme", "--limits", limits, "--json")
    (budget,) = json.loads(told.out)["budgets"]
    assert budget["tenant"] == "acme"
    day, month = budget["windows"]["day"], budget["windows"]["month"]
    assert day["spent"] == {"tokens": 1200, "micro_dollars": 1_500_000}
    assert day["reserved"] == {"tokens": 300, "micro_dollars": 250_000}
    assert (day["key"], day["left"]) == (Window.DAY.key(spent), {"tokens": 500, "micro_dollars": 0})
    assert month["left"] == {"tokens": 8500, "micro_dollars": None}
    shown = run("router", "budgets", "--table", TABLE, "--tenant", "acme", "--limits", limits).out
    assert "500 tokens, $0.00" in shown
    assert "8,500 tokens, any dollars" in shown


@pytest.mark.usefixtures("spent")
def test_a_tenant_who_spent_nothing_has_spent_nothing(run: Run) -> None:
    told = run("router", "budgets", "--table", TABLE, "--tenant", "acm", "--json")
    (budget,) = json.loads(told.out)["budgets"]
    for window in budget["windows"].values():
        assert window["spent"] == window["reserved"] == {"tokens": 0, "micro_dollars": 0}
        assert window["left"] is None


def test_an_empty_table_says_so(run: Run, local_aws: LocalAWS) -> None:
    told = run("router", "budgets", "--table", make_table(local_aws, "llm-budgets-empty"))
    assert (told.status, told.out) == (0, "No tenant has spent anything yet.\n")
    assert json.loads(run("router", "budgets", "--table", "llm-budgets-empty", "--json").out)["budgets"] == []


def test_what_can_t_be_read_is_one_sentence(run: Run, tmp_path: Path) -> None:
    told = run("router", "budgets", "--table", "llm-none")
    assert told.status == 1
    assert "The budgets in llm-none are not known" in told.err
    told = run("router", "budgets", "--table", TABLE, "--limits", tmp_path / "none.json")
    assert told.status == 1
    assert "none.json can't be read" in told.err
    (tmp_path / "list.json").write_text("[]")
    told = run("router", "budgets", "--table", TABLE, "--limits", tmp_path / "list.json")
    assert told.status == 1
    assert "another form than an object of minute, day, month" in told.err
