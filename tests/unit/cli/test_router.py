"""`lambda-llm router`: budgets over DynamoDB's protocol, and the configuration."""

import json
import re
import time
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from lambda_llm.router.budget import Amount, Limits, Window
from lambda_llm.router.ledger import Ledger
from scripts.local_aws.server import LocalAWS
from support.budgets import make_table
from support.command_line import Run
from support.router import written

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
    config = tmp_path / "router.json"
    given = written()
    given["tenants"]["acme"] |= {"day": {"tokens": 2000, "dollars": 1}, "month": {"tokens": 10000}}
    config.write_text(json.dumps(given))
    told = run("router", "budgets", "--table", TABLE, "--tenant", "acme", "--config", config, "--json")
    (budget,) = json.loads(told.out)["budgets"]
    assert budget["tenant"] == "acme"
    day, month = budget["windows"]["day"], budget["windows"]["month"]
    assert day["spent"] == {"tokens": 1200, "micro_dollars": 1_500_000}
    assert day["reserved"] == {"tokens": 300, "micro_dollars": 250_000}
    assert (day["key"], day["left"]) == (Window.DAY.key(spent), {"tokens": 500, "micro_dollars": 0})
    assert month["left"] == {"tokens": 8500, "micro_dollars": None}
    shown = run("router", "budgets", "--table", TABLE, "--tenant", "acme", "--config", config).out
    left = [re.split(r" {2,}", line)[-2].rstrip(",") for line in shown.splitlines()[1:]]
    # Wrapped or not, as wide as the terminal is.
    assert ", ".join(left).endswith("500 tokens, $0.00, 8,500 tokens, any dollars")


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
    told = run("router", "budgets", "--table", TABLE, "--config", tmp_path / "none.yaml")
    assert told.status == 1
    assert "none.yaml can't be read (No such file or directory)" in told.err


def test_a_configuration_is_checked(run: Run, tmp_path: Path) -> None:
    """What it has, or what is wrong with it first."""
    right, wrong = tmp_path / "right.yaml", tmp_path / "wrong.yaml"
    right.write_text(yaml.safe_dump(written()))
    told = run("router", "check", right)
    assert told.status == 0, told.err
    assert told.out.startswith("The configuration can be used (backends: 5, models: 2, tenants: 2); its digest is ")
    assert json.loads(run("router", "check", right, "--json").out)["models"] == 2
    wrong.write_text(yaml.safe_dump({**written(), "version": 2}))
    told = run("router", "check", wrong)
    assert (told.status, told.out) == (1, "")
    assert "The configuration can't be used: version: Input should be 1." in told.err


def test_the_schema_is_printed(run: Run) -> None:
    """The same that the configuration is checked by."""
    schema = json.loads(run("router", "schema").out)
    assert list(Draft202012Validator(schema).iter_errors(written())) == []


def rows(shown: str) -> list[list[str]]:
    """Number and backend of each row, without further lines of a long reason."""
    return [words[:2] for line in shown.splitlines() if (words := line.split()) and re.fullmatch(r"-|\d", words[0])]


def test_a_request_is_explained(run: Run, tmp_path: Path) -> None:
    """Where it would go, what it would cost, and why not elsewhere."""
    config, request = tmp_path / "router.yaml", tmp_path / "request.json"
    config.write_text(yaml.safe_dump(written()))
    request.write_text(json.dumps({"model": "chat", "messages": [{"role": "user", "content": "x" * 300}]}))
    told = run("router", "explain", request, "--config", config)
    assert told.status == 0, told.err
    lines = told.out.splitlines()
    assert "1,000 of answer at most; needs nothing but text; may go to account." in lines[0]
    assert rows(told.out) == [["1", "bedrock"], ["2", "small"]]
    told = run("router", "explain", request, "--config", config, "--tenant", "acme")
    assert rows(told.out) == [["1", "small"], ["-", "bedrock"]]
    assert "is in place account" in told.out


def test_the_break_even_is_shown_and_decides(run: Run, tmp_path: Path) -> None:
    """A server by the hour comes first from the utilization on that is printed beside it."""
    config, request = tmp_path / "router.yaml", tmp_path / "request.json"
    given = written()
    given["models"]["chat"] = {"backends": ["small", "gpu"], "prefer": "utilization"}
    config.write_text(yaml.safe_dump(given))
    request.write_text(json.dumps({"model": "chat", "messages": [], "max_tokens": 100}))
    asked = ("router", "explain", request, "--config", config, "--json", "--utilization")
    below = json.loads(run(*asked, 0).out)["backends"]
    threshold = below[1]["break_even"]
    assert [each["backend"] for each in below] == ["small", "gpu"]
    assert 0 < threshold < 1
    above = json.loads(run(*asked, threshold + 0.001).out)["backends"]
    assert [each["backend"] for each in above] == ["gpu", "small"]


@pytest.mark.parametrize(
    ("body", "options", "sentence"),
    [
        ("{", (), "The request is not JSON"),
        ("[]", (), "The request is no JSON object"),
        ("{}", (), "There is no model None for this tenant: use one of chat, large."),
        ('{"model": "large"}', ("--tenant", "acme"), "There is no model 'large' for this tenant: use one of chat."),
        ('{"model": "chat"}', ("--path", "/v1/chat"), "There is no '/v1/chat': use one of /v1/chat/completions,"),
    ],
)
def test_what_can_t_be_explained_is_one_sentence(
    run: Run, tmp_path: Path, body: str, options: tuple[str, ...], sentence: str
) -> None:
    config, request = tmp_path / "router.yaml", tmp_path / "request.json"
    config.write_text(yaml.safe_dump(written()))
    request.write_text(body)
    told = run("router", "explain", request, "--config", config, *options)
    assert (told.status, told.out) == (1, "")
    assert sentence in told.err


def test_a_tenant_of_whom_nothing_is_known_is_refused(run: Run, tmp_path: Path) -> None:
    config, request = tmp_path / "router.yaml", tmp_path / "request.json"
    given = written()
    del given["tenants"]["*"]
    config.write_text(yaml.safe_dump(given))
    request.write_text('{"model": "chat"}')
    told = run("router", "explain", request, "--config", config, "--tenant", "other")
    assert "The tenant 'other' is unknown, and there is no entry for others." in told.err
