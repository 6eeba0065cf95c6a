"""The one home of prices: dated, sourced, and the arithmetic that docs/operations.md shows."""

import datetime as dt
from pathlib import Path

import pytest

from lambda_llm.cost import prices
from lambda_llm.cost.prices import Price, PriceError, Prices, load, read

LISTS = {path.stem.removeprefix("prices-"): path for path in Path(prices.__file__).parent.glob("prices-*.csv")}
EVERY = [
    pytest.param(price, id=f"{group}-{price.name}")
    for group, path in sorted(LISTS.items())
    for price in read(path, group).values()
]
HEADER = (
    "Name,Unit,StartingRange,EndingRange,PricePerUnit,Currency,PriceDescription,Source,ReadOn,SecondSource,"
    "SecondPricePerUnit\n"
)


@pytest.mark.parametrize("price", EVERY)
def test_a_price_has_a_source_and_a_day(price: Price) -> None:
    assert price.source.startswith("https://")
    assert "2026-01-01" <= price.read_on <= dt.datetime.now(dt.UTC).date().isoformat()
    assert dt.date.fromisoformat(price.read_on)
    assert price.description
    assert price.first > 0
    assert (price.second_source is None) == (price.second is None)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("a,GB,0,Inf,1,EUR,d,https://a,2026-11-20,,\n", "is in 'EUR': expected US dollars"),
        ("a,GB,1,Inf,1,USD,d,https://a,2026-11-20,,\n", "The tiers of 'a' have gaps"),
        ("a,GB,0,5,1,USD,d,https://a,2026-11-20,,\n", "The tiers of 'a' have gaps"),
        ("a,GB,0,5,1,USD,d,https://a,2026-11-20,,\na,GB,6,Inf,1,USD,d,https://a,2026-11-20,,\n", "have gaps"),
        ("a,GB,0,Inf,-1,USD,d,https://a,2026-11-20,,\n", "The tiers of 'a'"),
        ("a,GB,0,Inf,much,USD,d,https://a,2026-11-20,,\n", "is no price list .*much"),
        (
            "".join(f"{name},GB,0,Inf,1,USD,d,https://a,2026-11-20,,\n" for name in "aba"),
            "The lines of 'a' in prices-x.csv don't stand together",
        ),
    ],
)
def test_a_wrong_list_is_refused(tmp_path: Path, lines: str, said: str) -> None:
    (tmp_path / "prices-x.csv").write_text(HEADER + lines)
    with pytest.raises(PriceError, match=said):
        read(tmp_path / "prices-x.csv", "x")


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "prices-x.csv").write_text("SKU,Price\n1,2\n")
    with pytest.raises(PriceError, match=r"is no price list \(KeyError\('Name'\)\): expected the columns"):
        read(tmp_path / "prices-x.csv", "x")


def test_each_part_of_a_quantity_costs_its_tier() -> None:
    streaming = load()["lambda.streaming"]
    assert [streaming.cost(quantity) for quantity in (0, 50, 100)] == [0, 0, 0]
    assert streaming.cost(350) == pytest.approx(2.0)
    duration = load()["lambda.arm64.duration"]
    assert duration.cost(8e9) == pytest.approx(7.5e9 * 0.0000133334 + 0.5e9 * 0.0000120001)


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(PriceError, match="The price list 'us' has no 'gold': name one that"):
        load()["gold"]
    with pytest.raises(PriceError, match="no prices of 'mars-north-1': choose one of us-east-1"):
        load("mars-north-1")


def test_a_price_can_be_replaced() -> None:
    given: Prices = load().with_prices({"kms.key": load()["kms.key"].at(3)})
    assert given["kms.key"].cost(2) == 6
    assert load()["kms.key"].cost(2) == 2


def test_ten_gigabytes_for_thirty_days_are_what_facts_say() -> None:
    assert prices.live_version(30) == pytest.approx(0.0000015046 * 10 * 30 * 86_400)
    assert prices.live_version(30) == pytest.approx(39, abs=0.01)
    assert prices.restore() == pytest.approx(0.0014, abs=0.00001)
    assert prices.busy(1) == pytest.approx(0.000133334)


def test_a_version_of_a_minute_costs_three_hours() -> None:
    assert prices.live_version(1 / 1440) == pytest.approx(0.0000015046 * 10 * 3 * 3600)


def test_a_version_is_billed_by_its_memory() -> None:
    assert prices.live_version(1, 512) == pytest.approx(0.0000015046 * 0.5 * 86_400)
    assert prices.live_version(prices.MONTH_DAYS) == pytest.approx(39.54, abs=0.005)
    assert prices.restore(1024) == pytest.approx(0.0001397998)
