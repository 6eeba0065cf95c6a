"""The result of `lambda-llm bench`, as the cost model reads it."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lambda_llm.cli.probes.base import Finding, Probe, ok, unknown
from lambda_llm.cli.probes.fresh_environment import PROBE as FRESH
from lambda_llm.cli.probes.fresh_environment import restored
from lambda_llm.cli.probes.health import PROBE as HEALTH
from lambda_llm.cli.probes.report import as_json
from lambda_llm.cost.measured import Measured, MeasuredError, Prompt, Quantity, read, read_restore_seconds
from support.measured import measured, of

QUANTITY = of(20.0)
MEASURED = replace(
    measured(Prompt(512, QUANTITY, QUANTITY, None, None), Prompt(2048, *(QUANTITY,) * 4), decode=20),
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


@pytest.mark.parametrize("content", ["{", "[]", "\xff"])
def test_a_file_without_a_result_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "bench.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(MeasuredError, match=r"bench.json .*: give a file of `lambda-llm bench URL --json`"):
        read(path)
    with pytest.raises(MeasuredError, match=r"absent.json can't be read \(No such file or directory\)"):
        read(tmp_path / "absent.json")


class Deployment:
    url: str = "https://a.lambda-url.us-east-1.on.aws"
    region: str | None = "us-east-1"
    health: Mapping[str, Any] = {"model": "demo"}


def verified(tmp_path: Path, *found: tuple[Probe, Finding]) -> Path:
    path = tmp_path / "verify.json"
    path.write_text(json.dumps(as_json(Deployment(), found)))
    return path


def test_a_restore_takes_what_verify_saw_beside_a_warm_answer(tmp_path: Path) -> None:
    figures = {"first_token_seconds": 2.5, "warm_first_token_seconds": 0.7}
    path = verified(tmp_path, (HEALTH, ok("Right.")), (FRESH, restored(2.5, 0.7, 0.4, figures)))
    assert read_restore_seconds(path) == pytest.approx(1.8)


def test_a_deployment_without_a_restore_says_nothing_of_it(tmp_path: Path) -> None:
    for path in (verified(tmp_path, (FRESH, unknown("One process."))), verified(tmp_path, (HEALTH, ok("Right.")))):
        with pytest.raises(MeasuredError, match="has no time of a restored environment: run `lambda-llm verify URL"):
            read_restore_seconds(path)
