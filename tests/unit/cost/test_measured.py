"""The result of `lambda-llm bench`, as the cost model reads it."""

import json
from typing import Any

import pytest

from lambda_llm.cost.measured import Measured, MeasuredError, Prompt, Quantity

QUANTITY = Quantity(3, 20.0, 0.1)
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
    prompts=(Prompt(512, QUANTITY, QUANTITY, None, None), Prompt(2048, QUANTITY, QUANTITY, QUANTITY, QUANTITY)),
    decode_tokens_per_second=QUANTITY,
    failures=("The server refused (502).",),
)


def test_a_result_is_read_as_it_was_written() -> None:
    assert Measured.read(json.loads(json.dumps(MEASURED.as_json()))) == MEASURED


def test_a_quantity_is_its_median_and_half_its_range() -> None:
    assert Quantity.of([4.0, 1.0, 2.0]) == Quantity(3, 2.0, 0.75)
    assert Quantity.of([5.0]) == Quantity(1, 5.0, 0.0)
    assert Quantity.of([]) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema": "lambda-llm-bench/2"}, "'lambda-llm-bench/2' instead of 'lambda-llm-bench/1'"),
        ({"schema": None}, "None instead of"),
        ({"prompts": None}, "is not complete"),
        ({"prompts": [{"prompt_tokens": 1}]}, "is not complete"),
        ({"more": 1}, "is not complete"),
    ],
)
def test_another_thing_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(MeasuredError, match="measure again with `lambda-llm bench URL --json`") as raised:
        Measured.read({**MEASURED.as_json(), **changes})
    assert said in str(raised.value)
