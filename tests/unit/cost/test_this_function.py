"""What an invocation costs by the variables that Lambda sets."""

import pytest

from lambda_llm.cost.prices import invocation
from lambda_llm.cost.this_function import dollars


def test_it_is_the_price_of_this_function_s_size_and_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
    assert dollars(2.0) == invocation(2.0, restored=False, memory_mb=512, region="eu-central-1")
    assert dollars(2.0, restored=True) == invocation(2.0, restored=True, memory_mb=512, region="eu-central-1")


def test_nothing_is_known_outside_lambda_or_of_a_region_without_prices(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
    assert dollars(2.0) is None
    monkeypatch.setenv("AWS_REGION", "mars-north-1")
    assert [dollars(2.0), dollars(3.0)] == [None, None]
    assert len([record for record in caplog.records if "lines have no dollars" in record.message]) == 1
