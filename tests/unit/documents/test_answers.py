"""Input, output and error file side by side."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_llm.documents.answers import MISSING, UNKNOWN, File, Joined, Record
from lambda_llm.documents.errors import ExportError
from support.documents import Stage, answer, jsonl, refusal


def record(number: int) -> dict[str, Any]:
    return {"custom_id": f"c{number}", "body": {"input": f"text {number}"}}


def file(stage: Stage, key: str, lines: list[dict[str, Any]]) -> File:
    if not lines:
        return File()
    content = jsonl(lines)
    etag = stage.s3.put_object(Bucket=stage.bucket, Key=key, Body=content)["ETag"]
    return File(bucket=stage.bucket, key=key, size=len(content), etag=etag)


def files(
    stage: Stage, given: list[dict[str, Any]], answers: list[dict[str, Any]], errors: list[dict[str, Any]]
) -> tuple[File, File, File]:
    return file(stage, "input", given), file(stage, "output", answers), file(stage, "errors", errors)


@settings(max_examples=25)
@given(fates=st.lists(st.sampled_from(["answered", "refused", "missing"]), max_size=12), stop=st.integers(0, 12))
def test_each_record_has_what_came_of_it_from_wherever_reading_goes_on(
    stage: Stage, fates: list[str], stop: int
) -> None:
    records = [record(number) for number in range(len(fates))]
    told = list(zip(records, fates, strict=True))
    answers = [answer(each, [1.0]) for each, fate in told if fate == "answered"]
    errors = [refusal(each, "busy") for each, fate in told if fate == "refused"]
    first = Joined(stage.s3, *files(stage, records, answers, errors))
    reading = first.records()
    found = [next(reading) for _ in range(min(stop, len(records)))]
    found += Joined(stage.s3, *(File.model_validate_json(each.model_dump_json()) for each in first.files)).records()
    codes = {"answered": None, "refused": "busy", "missing": MISSING}
    assert found == [
        Record(
            each["custom_id"],
            each["body"]["input"],
            answer(each, [1.0]) if fate == "answered" else None,
            codes[fate],
        )
        for each, fate in told
    ]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ({"error": {"code": "batch_expired", "message": "late"}, "response": None}, "batch_expired"),
        ({"error": None, "response": {"status_code": 400, "body": {"error": {"code": "too_long"}}}}, "too_long"),
        ({"error": None, "response": {"body": {"error": {"code": None, "type": "invalid"}}}}, "invalid"),
        ({"error": None, "response": {"body": "x"}}, UNKNOWN),
        ({"error": None, "response": None}, UNKNOWN),
        ({"error": {"code": 7}}, UNKNOWN),
    ],
)
def test_the_code_is_the_error_s_or_that_of_the_response(stage: Stage, line: dict[str, Any], code: str) -> None:
    errors = [{"custom_id": "c0", **line}]
    (found,) = Joined(stage.s3, *files(stage, [record(0)], [], errors)).records()
    assert (found.answer, found.code) == (None, code)


def test_lines_in_another_order_are_refused(stage: Stage) -> None:
    records = [record(0), record(1)]
    answers = [answer(records[1], [1.0]), answer(records[0], [1.0])]
    with pytest.raises(ExportError, match=r"/output has a line for 'c0' that is not where the input has it"):
        list(Joined(stage.s3, *files(stage, records, answers, [])).records())


def test_files_that_are_none_of_a_batch_are_refused(stage: Stage) -> None:
    for lines in ([{"custom_id": "c0"}], [{"custom_id": 1, "body": {"input": "x"}}], [{"body": {"input": "x"}}]):
        with pytest.raises(ExportError, match="a record without custom_id or text"):
            list(Joined(stage.s3, *files(stage, lines, [], [])).records())
    for content in (b"{\n", b"[]\n"):
        etag = stage.s3.put_object(Bucket=stage.bucket, Key="input", Body=content)["ETag"]
        wrong = File(bucket=stage.bucket, key="input", size=len(content), etag=etag)
        with pytest.raises(ExportError, match="/input has a line that is no JSON object"):
            list(Joined(stage.s3, wrong, File(), File()).records())


def test_a_file_that_has_changed_is_refused(stage: Stage) -> None:
    before = files(stage, [record(0)], [], [])
    stage.s3.put_object(Bucket=stage.bucket, Key="input", Body=jsonl([record(1)]))
    with pytest.raises(ExportError, match=r"/input can't be read \(.*PreconditionFailed.*as it was when the export"):
        list(Joined(stage.s3, *before).records())
