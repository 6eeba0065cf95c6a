"""Vectors of answers: numbers or base64, and nothing that is none."""

import struct
from typing import Any

import pytest

from lambda_llm.documents.errors import ExportError
from lambda_llm.documents.vectors import vector
from support.documents import answer, encoded

RECORD = {"custom_id": '["a.txt",null,null,0]', "body": {"input": "text"}}


@pytest.mark.parametrize("values", [[0.5, -1.25, 3.0], [1, 2, 3], [0.1, 1e-20, -3e38]])
def test_both_forms_give_the_same_numbers(values: list[float]) -> None:
    for form in (values, encoded(values)):
        found = vector(answer(RECORD, form, model="encoder"))
        assert found.numbers == struct.pack("<3f", *values)
        assert (found.dimension, found.model) == (3, "encoder")


@pytest.mark.parametrize(
    "values",
    [
        [],
        "",
        "AAAA",
        "AAA",
        "not base64!",
        encoded([float("nan")]),
        encoded([1.0, float("inf")]),
        [1e39],
        [1, None],
        [True, False],
        ["1"],
        {"a": 1},
        7,
    ],
)
def test_what_is_no_vector_is_refused(values: Any) -> None:
    with pytest.raises(
        ExportError, match=r"^The answer to '\[\"a\.txt\",null,null,0\]' has no vector of finite numbers"
    ):
        vector(answer(RECORD, values))


@pytest.mark.parametrize(
    "change",
    [
        {"response": None},
        {"response": {"status_code": 500, "body": {"data": [{"embedding": [1.0]}], "model": "m"}}},
        {"response": {"status_code": 200, "body": {"data": [], "model": "m"}}},
        {"response": {"status_code": 200, "body": {"data": [{"embedding": [1.0]}] * 2, "model": "m"}}},
        {"response": {"status_code": 200, "body": {"data": [{"embedding": [1.0]}], "model": None}}},
        {"response": {"status_code": 200, "body": {"choices": []}}},
    ],
)
def test_an_answer_of_another_form_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ExportError, match="check that the model is an encoder"):
        vector({**answer(RECORD, [1.0]), **change})
