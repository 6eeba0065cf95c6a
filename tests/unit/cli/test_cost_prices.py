"""`lambda-llm cost prices`: the list, other prices in it, and what AWS's offers say of it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from lambda_llm.cli import cost
from lambda_llm.cost.offers.rates import OfferError
from lambda_llm.cost.prices import PriceError, load, read
from lambda_llm.cost.units import UnitError
from support.command_line import Result, Run
from support.offers import Offers, ec2_offer, lambda_offer, serving


@pytest.fixture
def prices(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command; what a user is told in one sentence is raised."""
    for name, value in {"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    command = typer.main.get_command(cost.app)

    def run_it(*arguments: object) -> Result:
        capsys.readouterr()
        try:
            command.main(["prices", *map(str, arguments)], "lambda-llm cost")
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 1
        captured = capsys.readouterr()
        return Result(status, captured.out, captured.err)

    return run_it


@pytest.fixture
def offers() -> Iterator[Offers]:
    with serving(Offers({"AWSLambda": lambda_offer(), "AmazonEC2": ec2_offer()})) as served:
        yield served


def line(told: Result, name: str) -> str:
    (found,) = [each for each in told.out.splitlines() if each.split()[:1] == [name]]
    return " ".join(found.split())


def test_the_list_has_each_price_with_unit_day_and_source(prices: Run) -> None:
    told = prices()
    assert told.status == 0
    for price in load().values():
        assert price.read_on in line(told, price.name)
    assert line(told, "kms.key").startswith("kms.key 1 USD/month 2026-11-20 https://aws.amazon.com/kms/pricing/")
    assert "0.0000133334 USD/(GB*second) to 7,500,000,000" in line(told, "lambda.arm64.duration")
    assert "0.0000106667 USD/(GB*second)\n" in "\n".join(each.rstrip() for each in told.out.splitlines())
    assert line(told, "lambda.managed.fee").startswith("lambda.managed.fee 0.15 2026")
    assert line(told, "onprem.watts").startswith("onprem.watts 500 W ")
    assert "us-east-1" in told.out.splitlines()[0]


def test_a_word_leaves_out_the_rest(prices: Run) -> None:
    shown = {each["name"] for each in json.loads(prices("SNAPSHOT", "--json").out)["prices"]}
    assert shown == {"lambda.microvm.snapshot", "lambda.snapstart.cache"}
    told = prices("SNAPSHOT")
    assert [name for name in load() if name in told.out] == [name for name in load() if name in shown]


def test_nothing_is_cut_where_the_lines_are_long(prices: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    told = prices("lambda")
    for price in load().values():
        if price.name.startswith("lambda."):
            assert price.source in line(told, price.name)
    assert "…" not in told.out


def test_a_word_that_nothing_has_is_said(prices: Run) -> None:
    told = prices("gold")
    assert told.status == 2
    assert "'gold'" in told.err


def test_a_region_has_its_own_prices(prices: Run) -> None:
    assert "1.258 USD/hour" in line(prices("g5", "--region", "eu-west-1"), "ec2.g5.xlarge.on-demand")
    assert "1.459 USD/hour" in line(prices("g5", "--region", "ap-northeast-1"), "ec2.g5.xlarge.on-demand")
    with pytest.raises(PriceError, match="no prices of 'mars-north-1'"):
        prices("--region", "mars-north-1")


def test_the_json_is_complete(prices: Run) -> None:
    told = json.loads(prices("--json").out)
    assert (told["region"], told["list"]) == ("us-east-1", "us")
    by_name = {each["name"]: each for each in told["prices"]}
    assert set(by_name) == set(load())
    duration = by_name["lambda.arm64.duration"]
    assert duration["value_unit"] == "USD/(GB*second)"
    assert [tier["end"] for tier in duration["tiers"]] == [7.5e9, 18.75e9, None]
    assert duration["tiers"][0]["price"] == 0.0000133334
    assert duration["source"].startswith("https://")
    assert not any(each["overridden"] for each in told["prices"])


def test_given_prices_are_shown_as_such(prices: Run) -> None:
    given = ("--price", "ec2.g6.xlarge.on-demand=12 USD/day", "--price", "kms.key=2")
    told = prices(*given)
    assert line(told, "ec2.g6.xlarge.on-demand") == "ec2.g6.xlarge.on-demand 0.5 USD/hour overridden by --price"
    assert line(told, "kms.key") == "kms.key 2 USD/month overridden by --price"
    by_name = {each["name"]: each for each in json.loads(prices("--json", *given).out)["prices"]}
    assert by_name["kms.key"]["overridden"]
    assert by_name["kms.key"]["source"] is None
    assert not by_name["kms.requests"]["overridden"]


def test_a_price_in_another_dimension_is_refused(prices: Run) -> None:
    with pytest.raises(UnitError, match="expected a unit as in USD/month"):
        prices("--price", "kms.key=1 USD/GB")


@pytest.mark.parametrize(
    "arguments",
    [("--output", "a.csv"), ("--offers-url", "http://a"), ("kms", "--refresh"), ("--refresh", "--price", "kms.key=1")],
)
def test_options_that_do_not_go_together_are_refused(prices: Run, arguments: tuple[str, ...]) -> None:
    assert prices(*arguments).status == 2


def test_refresh_says_what_changed_and_writes_nothing(
    prices: Run, offers: Offers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = prices("--refresh", "--offers-url", offers.url)
    assert told.status == 0
    assert told.out.startswith("us-east-1: 4 prices changed, 4 are as in the list, ")
    assert line(told, "ec2.g6.xlarge.on-demand") == "ec2.g6.xlarge.on-demand 0.8048 USD/hour 0.9 USD/hour"
    assert "Nothing was written: --output names a file" in told.out
    assert "Kept: s3.storage: AWS has no offer AmazonS3 any more" in told.err
    assert list(tmp_path.iterdir()) == []


def test_refresh_writes_a_list(prices: Run, offers: Offers, tmp_path: Path) -> None:
    path = tmp_path / "prices-new.csv"
    told = prices("--refresh", "--offers-url", offers.url, "--output", path)
    assert "Written to" in told.out
    written = read(path, "us")
    assert list(written) == list(load())
    assert written["ec2.g6.xlarge.on-demand"].first == 0.9
    assert written["kms.key"] == load()["kms.key"]


def test_refresh_as_json(prices: Run, offers: Offers) -> None:
    told = json.loads(prices("--refresh", "--offers-url", offers.url, "--json").out)
    changed = {each["name"]: each for each in told["changed"]}
    assert changed["ec2.g6.xlarge.reserved-1y"]["after"]["tiers"][0]["price"] == 0.55
    assert changed["ec2.g6.xlarge.reserved-1y"]["before"]["tiers"][0]["price"] == pytest.approx(0.547264)
    assert "nat.hour" in told["same"]
    assert told["output"] is None


def test_offers_that_can_not_be_read_are_said(prices: Run, offers: Offers) -> None:
    offers.answers = {"/aws/index.json": 403}
    with pytest.raises(OfferError, match="answered with status 403 instead of 200"):
        prices("--refresh", "--offers-url", offers.url)


def test_the_help_has_the_options(prices: Run) -> None:
    told = prices("--help")
    for option in ("--region", "--price", "--json", "--refresh", "--output", "--offers-url", "Example:"):
        assert option in told.out
