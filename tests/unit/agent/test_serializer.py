"""The net: what is too large, or no JSON, never reaches the durable SDK."""

import pytest

from lambda_llm.agent.errors import TooLargeError
from lambda_llm.agent.serializer import LIMIT, dump, load


@pytest.mark.parametrize("value", [None, 7, "é\ud800", [1, {"a": None}], {"x": "y" * 1000}])
def test_there_and_back(value: object) -> None:
    text = dump(value)
    assert load(text) == value
    assert text.isascii()


def test_too_large_is_one_sentence() -> None:
    assert len(dump("x" * (LIMIT - 2))) == LIMIT
    with pytest.raises(TooLargeError, match=r"has 65,537 bytes, and at most 65,536 are kept"):
        dump("x" * (LIMIT - 1))
    with pytest.raises(TooLargeError, match="at most 10 are kept"):
        dump([1, 2, 3, 4, 5, 6], 10)


@pytest.mark.parametrize("value", [{1, 2}, float("nan"), b"x", object()])
def test_what_is_no_json(value: object) -> None:
    with pytest.raises(TooLargeError, match="is no JSON"):
        dump(value)


def test_what_is_too_deep_is_none_either() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(TooLargeError, match="RecursionError"):
        dump(deep)
