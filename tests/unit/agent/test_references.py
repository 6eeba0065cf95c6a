"""References that nobody can forge into something else."""

import pytest

from lambda_llm.agent.errors import BadReferenceError
from lambda_llm.agent.references import Reference

GOOD = {"uri": "s3://bucket/key", "sha256": "0" * 64, "size": 5, "type": "text/plain"}


def test_there_and_back() -> None:
    assert Reference.from_json(GOOD).to_json() == GOOD


@pytest.mark.parametrize(
    "change",
    [
        {"uri": ""},
        {"uri": "s" * 2000},
        {"uri": 7},
        {"sha256": "0" * 63},
        {"sha256": "A" * 64},
        {"size": -1},
        {"size": True},
        {"size": "5"},
        {"type": "text"},
        {"type": "text/plain\nx"},
        {"more": 1},
    ],
    ids=str,
)
def test_what_is_none_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(BadReferenceError):
        Reference.from_json(GOOD | change)
    with pytest.raises(BadReferenceError):
        Reference.from_json([GOOD])
