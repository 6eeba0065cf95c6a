"""How long a request keeps an environment busy."""

from dataclasses import replace
from typing import Any

import pytest

from lambda_llm.cost.measured import Measured, MeasuredError, Prompt, Quantity
from lambda_llm.cost.speeds import Speeds


def of(value: float) -> Quantity:
    return Quantity(3, value, 0.1)


MEASURED = Measured(
    date="2026-11-26T22:00:00+00:00",
    lambda_llm="0.1.0",
    model="demo",
    url_kind="function_url",
    region="eu-central-1",
    memory_mb=10240,
    backend="armv8.6_1",
    threads=6,
    context=4096,
    clock="server",
    prompts=(Prompt(512, of(120), of(4), None, None), Prompt(2048, of(100), of(20), None, None)),
    decode_tokens_per_second=of(25),
)


def test_a_request_is_busy_for_its_prefill_and_its_decode() -> None:
    speeds = Speeds(prefill=100, decode=20)
    assert speeds.first_token_seconds(300) == 3
    assert speeds.seconds(300, 100) == 3 + 5


@pytest.mark.parametrize(("prompt_tokens", "prefill"), [(1, 120), (512, 120), (1500, 100), (9000, 100)])
def test_a_measurement_gives_the_speed_of_the_length_that_is_nearest(prompt_tokens: int, prefill: int) -> None:
    assert Speeds.of(MEASURED, prompt_tokens, restore_seconds=0.7) == Speeds(prefill, 25, 0.7)


@pytest.mark.parametrize("without", [{"prompts": ()}, {"decode_tokens_per_second": None}])
def test_a_measurement_without_speeds_is_refused(without: dict[str, Any]) -> None:
    with pytest.raises(MeasuredError, match="has no speeds"):
        Speeds.of(replace(MEASURED, **without), 100)
