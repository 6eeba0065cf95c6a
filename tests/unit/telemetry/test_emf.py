"""Every line that a function may write is one that CloudWatch takes metrics out of."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_llm.telemetry import emf
from lambda_llm.telemetry.context import correlated
from lambda_llm.telemetry.lines import BATCH, INFERENCE_REQUEST, LINES, METRICS, NAMESPACE, ROUTER_REQUEST, Line
from support import emf_schema


@pytest.fixture(autouse=True)
def _of_a_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "chat")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_VERSION", "7")


def everything(kind: Line) -> dict[str, Any]:
    """A value for whatever a kind of line may have."""
    metrics = {name: 1.5 for directive in kind.directives for name in directive.metrics}
    return {**dict.fromkeys(kind.fields, "a-value"), **metrics}


@pytest.mark.parametrize("kind", LINES, ids=lambda kind: f"{kind.service}-{kind.event}")
def test_a_line_with_all_that_it_may_have(kind: Line, capsys: pytest.CaptureFixture[str]) -> None:
    with correlated(request_id="r", trace_id="t", lambda_request_id="l"):
        emf.write(kind, **everything(kind))
    line = emf_schema.check(capsys.readouterr().out.removesuffix("\n"), metrics=bool(kind.directives))
    assert (line["event"], line["service"], line["plane"]) == (kind.event, kind.service, kind.plane.value)
    assert (line["function"], line["function_version"]) == ("chat", "7")
    assert (line["request_id"], line["trace_id"], line["lambda_request_id"]) == ("r", "t", "l")
    told = {
        (metric["Name"], metric["Unit"], *dimensions)
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", ())
        for dimensions in directive["Dimensions"]
        for metric in directive["Metrics"]
        if directive["Namespace"] == NAMESPACE
    }
    assert told == {
        (name, METRICS[name].unit.value, *directive.dimensions)
        for directive in kind.directives
        for name in directive.metrics
    }


@given(st.data())
def test_a_line_with_whatever_is_known(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(LINES))
    known = data.draw(st.sets(st.sampled_from(sorted(everything(kind)))))
    values = {name: value if name in known else None for name, value in everything(kind).items()}
    line = emf.line(kind, 1.0, **values)
    assert known <= line.keys()
    assert not (values.keys() - known) & line.keys()
    emf_schema.check(json.dumps(line), metrics="_aws" in line)
    directives = [each for each in kind.directives if set(each.dimensions) <= known | {"function"}]
    assert ("_aws" in line) == any(known & set(each.metrics) for each in directives)


def test_what_no_line_has_is_refused() -> None:
    with pytest.raises(KeyError, match="no prompt"):
        emf.line(INFERENCE_REQUEST, 1.0, prompt="Hello")
    with pytest.raises(KeyError, match="no Dollars"):
        emf.line(BATCH, 1.0, Dollars=1.0)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_what_is_no_number_is_not_known(value: float) -> None:
    line = emf.line(INFERENCE_REQUEST, 1.0, model="tiny", DecodeRate=value, seconds=value, Errors=0)
    emf_schema.check(json.dumps(line))
    assert not {"DecodeRate", "seconds"} & line.keys()


def test_a_dimension_is_what_cloudwatch_keeps() -> None:
    line = emf.line(INFERENCE_REQUEST, 1.0, model="Bücher-7B" + "x" * 2000, tenant="Bücher", Errors=0)
    emf_schema.check(json.dumps(line))
    assert line["model"] == ("B?cher-7B" + "x" * 2000)[:1024]
    assert line["tenant"] == "Bücher"


def test_time_and_level_are_what_lambda_s_filter_reads() -> None:
    named = {"backend": "lambda", "model": "tiny"}
    good, bad = (emf.line(ROUTER_REQUEST, 1_795_000_000.25, Errors=errors, **named) for errors in (0, 1))
    assert good["timestamp"] == "2026-11-18T11:06:40.250Z"
    assert json.loads(json.dumps(good))["_aws"]["Timestamp"] == 1_795_000_000_250
    assert (good["level"], bad["level"]) == ("INFO", "ERROR")


def test_a_restored_environment_is_another_one() -> None:
    before = emf.environment()
    emf.renew()
    assert emf.line(BATCH, 1.0)["environment"] == emf.environment() != before


@pytest.mark.parametrize(
    "broken",
    [
        {"Timestamp": 1.5, "CloudWatchMetrics": []},
        {"Timestamp": 1, "CloudWatchMetrics": [{"Namespace": "x", "Dimensions": [], "Metrics": [{"Name": "y"}]}]},
        {
            "Timestamp": 1,
            "CloudWatchMetrics": [
                {"Namespace": "x", "Dimensions": [[]], "Metrics": [{"Name": "y", "Unit": "Dollars"}]}
            ],
        },
    ],
)
def test_the_schema_refuses_what_cloudwatch_does_not_take(broken: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        emf_schema.check(json.dumps({"_aws": broken, "y": 1}))
