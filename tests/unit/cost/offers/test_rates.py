"""AWS's offer files: found, read line by line, compared with a list and written as one."""

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambda_llm.cost.offers.files import ATTEMPTS, AbsentError, OfferFiles
from lambda_llm.cost.offers.rates import OfferError, Rates, Unclear, Wanted, rates, wanted
from lambda_llm.cost.offers.refresh import refreshed, write
from lambda_llm.cost.prices import COLUMNS, Price, Prices, anywhere, load, plain, read
from support.offers import PUBLISHED, Offers, as_csv, ec2_offer, lambda_offer, rate, serving

DAY = PUBLISHED[:10]


@pytest.fixture
def offers() -> Iterator[Offers]:
    with serving(Offers({"AWSLambda": lambda_offer(), "AmazonEC2": ec2_offer()})) as served:
        yield served


@pytest.fixture
def files(offers: Offers) -> Iterator[OfferFiles]:
    with OfferFiles(offers.url, wait_seconds=0) as made:
        yield made


def said(text: str, want: Wanted, region: str = "us-east-1") -> Rates | Unclear:
    return rates(text.splitlines(), [want], region, want.offer)[want.name]


def want(**match: str) -> Wanted:
    return Wanted("a.price", "AnOffer", match, {})


def test_every_product_is_of_a_price_in_the_list() -> None:
    names = [each.name for each in wanted()]
    assert len(set(names)) == len(names)
    assert [name for name in names if anywhere(name) is None] == []
    assert all(each.match for each in wanted())


def test_what_changed_and_what_did_not(offers: Offers, files: OfferFiles) -> None:
    offers.files["AWSLambda"] = lambda_offer(arm="0.0000120000")
    found = refreshed(load(), "us-east-1", files)
    changed = {after.name: (before, after) for before, after in found.changed}
    assert set(changed) == {
        "lambda.arm64.duration",
        "lambda.x86.duration",
        "ec2.g6.xlarge.on-demand",
        "ec2.g6.xlarge.reserved-1y",
        "ec2.g6.xlarge.reserved-3y-upfront",
    }
    before, after = changed["lambda.arm64.duration"]
    assert before == load()["lambda.arm64.duration"]
    assert [tier.price for tier in after.tiers] == [0.000012, 0.0000120001, 0.0000106667]
    assert [tier.end for tier in after.tiers][:2] == [7.5e9, 18.75e9]
    assert after.read_on == DAY
    assert after.source.endswith("/AWSLambda/20261125170411/us-east-1/index.csv")
    assert after.second_source == load()["lambda.arm64.duration"].second_source
    assert sorted(found.same) == ["lambda.microvm.vcpu", "lambda.requests", "nat.hour"]
    assert found.prices["lambda.requests"].read_on == DAY


def test_a_reservation_is_its_hours_and_the_upfront_payment_over_its_term(files: OfferFiles) -> None:
    found = refreshed(load(), "us-east-1", files).prices
    assert found["ec2.g6.xlarge.on-demand"].first == 0.9
    assert found["ec2.g6.xlarge.reserved-1y"].first == 0.55
    assert found["ec2.g6.xlarge.reserved-3y-upfront"].first == pytest.approx(7884 / (3 * 8760))
    assert "derived" in load()["ec2.g6.xlarge.reserved-1y"].description
    assert "derived" not in found["ec2.g6.xlarge.reserved-1y"].description


def test_what_offers_do_not_have_is_kept(files: OfferFiles) -> None:
    found = refreshed(load(), "us-east-1", files)
    for name in ("ec2.g6.xlarge.spot", "bedrock.nova-micro.batch.input", "onprem.pue", "s3.storage"):
        assert found.prices[name] == load()[name]
    assert list(found.prices) == list(load())
    sentences = "\n".join(found.unclear)
    assert "s3.storage: AWS has no offer AmazonS3 any more" in sentences
    assert "lambda.microvm.memory: offer AWSLambda has no such product any more" in sentences
    assert "ec2.g6.xlarge.reserved-3y: offer AmazonEC2 has no such product" in sentences


def test_what_is_written_is_a_list(files: OfferFiles, tmp_path: Path) -> None:
    found = refreshed(load(), "us-east-1", files).prices
    write(found, tmp_path / "prices-new.csv")
    assert dict(read(tmp_path / "prices-new.csv", "us")) == dict(found)


@pytest.mark.parametrize("group", ["us-east-1", "eu-central-1", "ap-northeast-1"])
def test_our_lists_are_as_they_would_be_written(group: str, tmp_path: Path) -> None:
    prices = load(group)
    write(prices, tmp_path / "prices-again.csv")
    again = (tmp_path / "prices-again.csv").read_text()
    assert again.partition("\n")[0] == ",".join(COLUMNS)
    assert dict(read(tmp_path / "prices-again.csv", prices.group)) == dict(prices)


def test_a_list_that_can_not_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(OfferError, match=r"can't be written \(No such file or directory\): choose another --output"):
        write(load(), tmp_path / "none" / "prices.csv")


def test_a_price_that_the_list_lacks_is_added(files: OfferFiles) -> None:
    few = Prices("us", {"kms.key": load()["kms.key"]})
    found = refreshed(few, "us-east-1", files)
    added = {after.name for before, after in found.changed if before is None}
    assert {"lambda.requests", "nat.hour"} <= added
    assert found.prices["lambda.requests"].unit == "request"
    assert found.prices["kms.key"] == load()["kms.key"]


@pytest.mark.parametrize("listed", [0.000045, 4.5])
def test_a_price_of_another_unit_is_not_taken(files: OfferFiles, listed: float) -> None:
    other: Price = load()["nat.hour"].at(listed)
    found = refreshed(load().with_prices({"nat.hour": other}), "us-east-1", files)
    assert found.prices["nat.hour"] == other
    assert f"nat.hour: {plain(listed)} would become 0.045, which is another unit or product" in "\n".join(found.unclear)


def test_nothing_found_is_an_error(files: OfferFiles) -> None:
    with pytest.raises(
        OfferError, match=r"None of \d+ prices was found in the offers at .*: egress.internet: AWS has no offer"
    ):
        refreshed(load("eu-central-1"), "eu-central-1", files)


def test_an_offer_that_is_not_sold_in_a_region_is_said(files: OfferFiles) -> None:
    with pytest.raises(AbsentError, match="Offer AWSLambda is not sold in mars-north-1"):
        files.csv_url("AWSLambda", "mars-north-1")


def test_tiers_and_units_are_those_of_the_list() -> None:
    text = as_csv(
        "AnOffer",
        [
            rate("A", "0.00001667", usageType="EUC1-GB-Second", EndingRange="3600000"),
            rate("A", "0.00000833", usageType="EUC1-GB-Second", StartingRange="3600000"),
        ],
    )
    by_hour = said(text, Wanted("a", "AnOffer", {"usageType": "GB-Second"}, {}, units=3600, free=100))
    assert isinstance(by_hour, Rates)
    assert [(tier.start, tier.end) for tier in by_hour.tiers] == [(0, 100), (100, 1000), (1000, float("inf"))]
    assert [tier.price for tier in by_hour.tiers] == pytest.approx([0, 0.060012, 0.029988])
    assert by_hour.published == DAY


@pytest.mark.parametrize(
    "usage", ["Request", "USE1-Request", "EU-Request", "APN1-Request", "us-east-1-Request", "EUC1-Request"]
)
def test_a_usage_type_may_have_its_region_in_front(usage: str) -> None:
    found = said(as_csv("AnOffer", [rate("A", "3", usageType=usage)]), want(usageType="Request"))
    assert isinstance(found, Rates)
    assert found.tiers[0].price == 3


@pytest.mark.parametrize("usage", ["Lambda-Request", "Requests", "EUC1-Lambda-Request", "Request-ARM"])
def test_another_usage_type_is_another_product(usage: str) -> None:
    assert isinstance(said(as_csv("AnOffer", [rate("A", "3", usageType=usage)]), want(usageType="Request")), Unclear)


def test_a_newer_price_counts() -> None:
    text = as_csv(
        "AnOffer",
        [
            rate("A", "3", EffectiveDate="2026-10-01", usageType="R"),
            rate("A", "2", EffectiveDate="2026-11-01", usageType="R"),
        ],
    )
    found = said(text, want(usageType="R"))
    assert isinstance(found, Rates)
    assert [tier.price for tier in found.tiers] == [2]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([rate("A", "1", usageType="R"), rate("B", "2", usageType="R")], r"has 2 such products \(A, B\)"),
        ([rate("A", "0", usageType="R")], "no such product any more"),
        ([rate("A", "1", usageType="R", EndingRange="5")], "its tiers have gaps or overlap"),
        ([rate("A", "dear", usageType="R")], r"rates that are none \(could not convert string to float: 'dear'\)"),
        ([rate("A", "1", usageType="R", Currency="CNY")], "has it in CNY, not in US dollars"),
        ([rate("A", "1", Group="G")], "has no column 'usageType'"),
    ],
)
def test_why_there_is_no_price(rows: list[dict[str, str]], sentence: str) -> None:
    found = said(as_csv("AnOffer", rows), want(usageType="R"))
    assert isinstance(found, Unclear)
    assert re.search(sentence, found.sentence)
    assert found.sentence.startswith("a.price: ")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("<html>\n" * 9, "has no column 'SKU' in its sixth line"),
        ("", "has no column 'SKU'"),
        (lambda_offer().replace(PUBLISHED, "soon"), "does not say when it was published"),
        (lambda_offer()[:-40], r"Line \d+ of the file of offer AnOffer has \d+ columns instead of"),
    ],
)
def test_another_shape_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(OfferError, match=sentence):
        said(text, want(usageType="R"))


@pytest.mark.parametrize("failures", [[503], [0], [429, 0, 500]])
def test_a_failure_that_passes_is_tried_again(offers: Offers, files: OfferFiles, failures: list[int]) -> None:
    offers.failures = {"us-east-1/index.csv": failures}
    assert refreshed(load(), "us-east-1", files).prices["nat.hour"].read_on == DAY
    assert failures == []


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (0, rf"The transfer of http://127.* broke off \(.*\), {ATTEMPTS} times: try again"),
        (503, rf"answered with status 503 instead of 200, {ATTEMPTS} times: try again later"),
    ],
)
def test_one_that_does_not_pass_is_said(offers: Offers, files: OfferFiles, failure: int, sentence: str) -> None:
    offers.failures = {"us-east-1/index.csv": [failure] * 100}
    with pytest.raises(OfferError, match=sentence):
        refreshed(load(), "us-east-1", files)
    assert sum(path.endswith("AWSLambda/20261125170411/us-east-1/index.csv") for path in offers.asked) == ATTEMPTS


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize("where", ["/aws/index.json", "region_index.json", "us-east-1/index.csv"])
def test_what_is_forbidden_or_gone_is_said_at_once(offers: Offers, files: OfferFiles, where: str, status: int) -> None:
    offers.answers = {where: status}
    with pytest.raises(OfferError, match=rf"{where} answered with status {status} instead of 200: it is not there"):
        refreshed(load(), "us-east-1", files)
    assert sum(path.endswith(where) for path in offers.asked) == 1


@pytest.mark.parametrize(
    ("where", "body", "sentence"),
    [
        ("/aws/index.json", "<html>", "is no JSON: expected an index of AWS's offers"),
        ("/aws/index.json", "[]", "has no object 'offers'"),
        ("/aws/index.json", json.dumps({"offers": {"AWSLambda": {}}}), "without 'currentRegionIndexUrl'"),
        ("region_index.json", json.dumps({"regions": []}), "has no object 'regions'"),
        ("region_index.json", json.dumps({"regions": {"us-east-1": {}}}), "without 'currentVersionUrl'"),
    ],
)
def test_an_index_of_another_shape_is_said(
    offers: Offers, files: OfferFiles, where: str, body: str, sentence: str
) -> None:
    offers.answers = {where: body}
    with pytest.raises(OfferError, match=sentence):
        refreshed(load(), "us-east-1", files)


def test_no_network_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    url = f"http://127.0.0.1:{port}/index.json"
    with (
        OfferFiles(url, wait_seconds=0) as files,
        pytest.raises(OfferError, match=r"can't be reached \(.+\): this needs"),
    ):
        refreshed(load(), "us-east-1", files)


@pytest.mark.parametrize("url", ["nonsense", "ftp://a/b", ""])
def test_what_is_no_address_is_said(url: str) -> None:
    with (
        OfferFiles(url, wait_seconds=0) as files,
        pytest.raises(OfferError, match=r"is no URL|broke off|can't be reached"),
    ):
        refreshed(load(), "us-east-1", files)


def test_lines_are_read_as_they_come_and_progress_is_told(offers: Offers, files: OfferFiles) -> None:
    many = [rate(f"S{number}", "1", usageType=f"U{number}") for number in range(3000)]
    offers.files["Big"] = as_csv("Big", [*many, rate("A", "7", usageType="R")])
    size = len(offers.files["Big"].encode())
    told: list[tuple[int, int]] = []
    found = files.read(
        files.csv_url("Big", "us-east-1"),
        lambda lines: rates(lines, [want(usageType="R")], "us-east-1", "Big"),
        lambda done, total: told.append((done, total)),
    )
    assert isinstance(found["a.price"], Rates)
    assert found["a.price"].tiers[0].price == 7
    assert told[-1] == (size, size)
    assert len(told) > 1
    assert told == sorted(told)
