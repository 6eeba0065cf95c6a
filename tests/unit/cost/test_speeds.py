"""How long a request keeps an environment busy."""

from dataclasses import replace
from typing import Any

import pytest

from lambda_llm.cost.measured import MeasuredError
from lambda_llm.cost.speeds import Speeds
from support.measured import measured, prefill

MEASURED = measured(prefill(512, 120), prefill(2048, 100), decode=25)


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
