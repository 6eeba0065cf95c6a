"""Prices that are given instead of a list's."""

from pathlib import Path

import pytest

from lambda_llm.cost.overrides import GIVEN, overridden
from lambda_llm.cost.prices import PriceError, Prices, load, read
from lambda_llm.cost.units import UnitError


def test_a_given_price_holds_for_every_quantity() -> None:
    prices = overridden(load(), ["lambda.arm64.duration=13.3 USD/(million GB s)", "kms.key = 2"])
    assert prices["lambda.arm64.duration"].cost(1e12) == pytest.approx(13.3e6)
    assert prices["kms.key"].cost(3) == 6
    assert prices["kms.key"].source == GIVEN
    assert prices["kms.key"].unit == "month"
    assert prices["lambda.requests"] == load()["lambda.requests"]
    assert load()["kms.key"].first == 1


def test_none_given_changes_nothing() -> None:
    assert dict(overridden(load(), [])) == dict(load())


def test_a_price_that_only_another_list_has_can_be_added(tmp_path: Path) -> None:
    path = tmp_path / "prices-x.csv"
    path.write_text(
        "Name,Unit,StartingRange,EndingRange,PricePerUnit,Currency,PriceDescription,Source,ReadOn,SecondSource,"
        "SecondPricePerUnit\nkms.key,month,0,Inf,1,USD,d,https://a,2026-11-20,,\n"
    )
    small: Prices = read(path, "x")
    assert "lambda.requests" not in small
    prices = overridden(small, ["lambda.requests=0.3 USD/(million request)"])
    assert prices["lambda.requests"].first == pytest.approx(0.3e-6)
    assert len(prices) == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["kms.key"], "'kms.key' gives no price: expected NAME=DOLLARS"),
        (["=3"], "'=3' gives no price"),
        (["kms.key="], "'kms.key=' gives no price"),
        (["kms.key=0"], "gives 0 USD/month: a price is positive and finite"),
        (["kms.key=-1"], "gives -1 USD/month: a price is positive"),
        (["kms.key=inf"], "gives inf USD/month: a price is positive and finite"),
        (["kms.key=nan"], "gives nan USD/month: a price is positive and finite"),
        (["lambda.managed.fee=-0.1"], "gives -0.1: a price is positive"),
        (["kms.key=1", "kms.key=2"], "The price of 'kms.key' is given twice"),
        (["kms.keys=1"], "No list has a price 'kms.keys': .*did you mean 'kms.key'"),
        (["zzzz=1"], "No list has a price 'zzzz': name one that `lambda-llm cost prices` shows"),
    ],
)
def test_what_is_no_price_is_refused(given: list[str], said: str) -> None:
    with pytest.raises(PriceError, match=said):
        overridden(load(), given)


def test_another_dimension_is_refused() -> None:
    with pytest.raises(UnitError, match=r"expected a unit as in USD/hour"):
        overridden(load(), ["ec2.g6.xlarge.on-demand=0.5 USD/GB"])
