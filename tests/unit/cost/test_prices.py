"""The one home of prices: dated, sourced, and the arithmetic that docs/operations.md shows."""

import datetime as dt
from pathlib import Path

import pytest

from lambda_llm.cost import prices
from lambda_llm.cost.prices import GROUPS, Price, PriceError, Prices, anywhere, load, plain, read

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
    assert OLDEST <= price.read_on <= dt.datetime.now(dt.UTC).date().isoformat()
    assert dt.date.fromisoformat(price.read_on)
    assert price.description
    assert price.first > 0
    assert (price.second_source is None) == (price.second is None)


OLDEST = "2025-08-01"
"""Of the days of copies: AWS's price data by region, as a project stored them, are of autumn 2025."""
TOLERANCE = 0.005
"""Of two sources, for what one of them rounds."""
GENAI = (
    "genai-prices reads the model's plain id as the profile of a region, which is 10 % dearer; litellm as AWS's offers"
)
WHOLE_AMERICA = "genai-prices has one price for the us., eu. and jp. profiles"
DISAGREEMENTS = {
    (
        "us",
        "sagemaker.ml.g5.xlarge.real-time",
    ): "two articles, of October 2025 and March 2026; 1.4 x EC2 speaks for ours",
    ("us", "bedrock.claude-haiku-4.5.on-demand.input"): GENAI,
    ("us", "bedrock.claude-haiku-4.5.on-demand.output"): GENAI,
    ("us", "bedrock.claude-haiku-4.5.on-demand.cache-read"): GENAI,
    ("us", "bedrock.claude-haiku-5.5.on-demand.input"): GENAI,
    ("us", "bedrock.claude-haiku-5.5.on-demand.output"): GENAI,
    ("us", "bedrock.claude-haiku-5.5-long.on-demand.input"): GENAI,
    ("us", "bedrock.claude-haiku-5.5-long.on-demand.output"): GENAI,
    ("us", "deepinfra.llama-3.1-8b.input"): "genai-prices has the newer, cheaper offer for input",
    ("us", "onprem.people"): "the same survey, three years earlier",
}
DISAGREEMENTS |= {
    (group, f"bedrock.nova-2-lite.on-demand.{what}"): WHOLE_AMERICA
    for group in ("eu", "ap")
    for what in ("input", "output", "cache-read")
}
DISAGREEMENTS |= {
    (group, "deepinfra.llama-3.1-8b.input"): DISAGREEMENTS["us", "deepinfra.llama-3.1-8b.input"]
    for group in ("eu", "ap")
}
TWICE = {
    (group, price.name): price
    for group, path in sorted(LISTS.items())
    for price in read(path, group).values()
    if price.second is not None
}


@pytest.mark.parametrize("listed", TWICE, ids="-".join)
def test_two_sources_agree_or_their_disagreement_is_known(listed: tuple[str, str]) -> None:
    price = TWICE[listed]
    assert price.second_source
    assert price.second_source.startswith("https://")
    assert price.second_source != price.source
    assert (price.second == pytest.approx(price.first, rel=TOLERANCE)) == (listed not in DISAGREEMENTS)


def test_the_table_of_disagreements_is_true() -> None:
    assert set(DISAGREEMENTS) <= set(TWICE)
    assert all(DISAGREEMENTS.values())


def test_every_group_has_a_list_and_every_list_a_group() -> None:
    assert set(LISTS) == set(GROUPS)
    every = [region for regions in GROUPS.values() for region in regions]
    assert len(set(every)) == len(every)
    assert [load(region).group for region in every] == [group for group, regions in GROUPS.items() for _ in regions]


@pytest.mark.parametrize("instance", ["c7g.2xlarge", "c8g.2xlarge", "g5.xlarge", "g6.xlarge", "g6e.xlarge"])
@pytest.mark.parametrize("group", GROUPS)
def test_who_commits_to_more_pays_less(group: str, instance: str) -> None:
    prices = load(GROUPS[group][0])
    terms = ("on-demand", "reserved-1y", "reserved-3y", "reserved-3y-upfront")
    paid = [prices[f"ec2.{instance}.{term}"].first for term in terms]
    assert paid == sorted(paid, reverse=True)
    assert prices[f"ec2.{instance}.spot"].first < paid[0]


@pytest.mark.parametrize(
    ("value", "digits"), [(0.0000133334, "0.0000133334"), (1, "1"), (10240.0, "10240"), (0, "0"), (0.1 + 0.2, "0.3")]
)
def test_a_price_is_written_in_digits(value: float, digits: str) -> None:
    assert plain(value) == digits


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
    with pytest.raises(PriceError, match=r"^The price list 'us' has no 'gold': name one that"):
        load()["gold"]
    assert load().get("gold") is None
    assert anywhere("gold") is None
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


def test_an_invocation_is_its_seconds_its_request_and_its_restore() -> None:
    assert prices.invocation(1, restored=False) == pytest.approx(0.0001333340 + 0.0000002, abs=1e-12)
    assert prices.invocation(1, restored=True) == pytest.approx(0.0001333340 + 0.0000002 + 0.001397998, abs=1e-12)
    assert prices.invocation(2, restored=False, memory_mb=512) == pytest.approx(0.0000133334 + 0.0000002, abs=1e-12)
    with pytest.raises(prices.PriceError, match="no prices of 'mars-1'"):
        prices.invocation(1, restored=False, region="mars-1")
