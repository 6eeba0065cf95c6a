"""The units of prices: AWS's, converted within a dimension and never across."""

import pytest

from lambda_llm.cost.prices import GROUPS, Price, load
from lambda_llm.cost.units import QUANTITIES, UnitError, magnitude, registry, shown_unit, unit_of

EVERY = [
    pytest.param(price, id=f"{group}-{price.name}")
    for group, regions in GROUPS.items()
    for price in load(regions[0]).values()
]


@pytest.mark.parametrize("price", EVERY)
def test_the_unit_of_every_price_is_one(price: Price) -> None:
    one = unit_of(price.name, price.unit)
    assert one.magnitude == 1
    dollars = registry().Quantity(1, "USD")
    if price.name in QUANTITIES:
        assert one.check(registry().Quantity(1, price.unit).dimensionality)
    else:
        assert (one * registry().Quantity(1, price.unit)).check(dollars.dimensionality)


@pytest.mark.parametrize("price", EVERY)
def test_what_is_shown_is_read_again(price: Price) -> None:
    text = f"{price.first!r} {shown_unit(price.name, price.unit)}"
    assert magnitude(text, price.name, price.unit) == pytest.approx(price.first)


@pytest.mark.parametrize(
    ("text", "name", "unit", "value"),
    [
        ("3", "kms.key", "month", 3),
        ("0.5 USD/hour", "ec2.g6.xlarge.on-demand", "hour", 0.5),
        ("12 USD/day", "ec2.g6.xlarge.on-demand", "hour", 0.5),
        ("13.3 USD/(million GB s)", "lambda.arm64.duration", "GB*second", 13.3e-6),
        ("0.2 USD/(million request)", "lambda.requests", "request", 0.2e-6),
        ("0.0997 USD/(vCPU hour)", "lambda.microvm.vcpu", "vCPU*second", 0.0997 / 3600),
        ("0.25 USD/GiB", "lambda.durable.written", "GB", 0.25),
        ("1024 USD/TB", "lambda.durable.written", "GB", 1),
        ("0.1 USD/(million token)", "bedrock.nova-micro.on-demand.input", "Mtoken", 0.1),
        ("0.0001 USD/(thousand token)", "bedrock.nova-micro.on-demand.input", "Mtoken", 0.1),
        ("20 percent", "lambda.managed.fee", "dimensionless", 0.2),
        ("0.4 kW", "onprem.watts", "W", 400),
        ("48 month", "onprem.years", "year", 4),
        ("2 hour/week", "onprem.people-hours", "hour/month", 2 * 365.25 / 12 / 7),
        ("5000 USD", "onprem.server.gpu", "USD", 5000),
        ("0.1 USD/MJ", "onprem.electricity", "kWh", 0.36),
    ],
)
def test_a_value_is_converted(text: str, name: str, unit: str, value: float) -> None:
    assert magnitude(text, name, unit) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "name", "unit", "said"),
    [
        ("1 USD/GB", "lambda.arm64.duration", "GB*second", r"expected a unit as in USD/\(GB\*second\)"),
        ("1 USD", "kms.key", "month", "expected a unit as in USD/month"),
        ("1 hour", "kms.key", "month", "expected a unit as in USD/month"),
        ("1 USD/token", "lambda.requests", "request", "expected a unit as in USD/request"),
        ("1 USD/year", "onprem.years", "year", "expected a unit as in year"),
        ("1 USD", "lambda.managed.fee", "dimensionless", "expected a unit as in a plain number"),
        ("1 EUR/month", "kms.key", "month", "'1 EUR/month' is no value for kms.key"),
        ("much", "kms.key", "month", "'much' is no value for kms.key"),
        ("1 USD//month", "kms.key", "month", "is no value for kms.key|can't be converted"),
        ("1 USD/(month", "kms.key", "month", "is no value for kms.key"),
        ("1/0 USD/month", "kms.key", "month", "is no value for kms.key"),
        ("", "kms.key", "month", "can't be converted for kms.key|is no value"),
    ],
)
def test_another_dimension_is_refused_in_one_sentence(text: str, name: str, unit: str, said: str) -> None:
    with pytest.raises(UnitError, match=said) as refused:
        magnitude(text, name, unit)
    assert str(refused.value).endswith(".")
    assert "\n" not in str(refused.value)


def test_ten_gigabytes_are_lambdas_10240_mb() -> None:
    units = registry()
    assert units.Quantity(10_240, "MB").to("GB").magnitude == pytest.approx(10)
    assert units.Quantity(1, "GB").to("kB").magnitude == pytest.approx(2**20)
