"""Ids of requests and traces, as headers have them."""

import pytest

from lambda_llm.telemetry.context import correlated, correlation, plain_id, trace_id

TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_fields_are_added_and_taken_away_again() -> None:
    with correlated(request_id="a"):
        with correlated(trace_id=TRACE, lambda_request_id=None):
            assert correlation() == {"request_id": "a", "trace_id": TRACE}
        assert correlation() == {"request_id": "a"}
    assert correlation() == {}


@pytest.mark.parametrize(
    ("w3c", "xray", "expected"),
    [
        (f"00-{TRACE}-b7ad6b7169203331-01", None, TRACE),
        (f"00-{TRACE}-b7ad6b7169203331-01", "Root=1-00000001-000000000000000000000002", TRACE),
        (None, f"Self=1-x;Root=1-{TRACE[:8].upper()}-{TRACE[8:]};Parent=53995c3f42cd8ad8;Sampled=1", TRACE),
        ("00-" + "0" * 32 + "-b7ad6b7169203331-01", None, None),
        (f"00-{TRACE}", "Root=2-67891233-abcdef012345678912345678", None),
        (None, None, None),
    ],
)
def test_a_trace_is_named_by_either_header(w3c: str | None, xray: str | None, expected: str | None) -> None:
    assert trace_id(w3c, xray) == expected


@pytest.mark.parametrize("given", ["", "a b", "a\nb", "é", "a" * 129, '"', None])
def test_what_a_log_could_not_show_is_no_id(given: str | None) -> None:
    assert plain_id(given) is None


def test_other_ids_are_taken_as_they_are() -> None:
    assert plain_id("Root=1-67891233") == "Root=1-67891233"
