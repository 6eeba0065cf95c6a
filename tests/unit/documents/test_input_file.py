"""The input's upload: parts grow, and there are only so many."""

import pytest

from lambda_llm.documents import input_file
from lambda_llm.documents.errors import PrepareError
from lambda_llm.documents.input_file import GROWTH, PART_BYTES, InputFile, Progress
from lambda_llm.limits import S3_PART_BYTES_MIN, S3_PARTS, S3_PUT_BYTES
from support.documents import TENANT, Stage


def test_every_part_is_one_that_s3_takes() -> None:
    assert S3_PART_BYTES_MIN <= PART_BYTES
    assert PART_BYTES * (1 + S3_PARTS // GROWTH) < S3_PUT_BYTES / 20


def test_later_parts_are_larger(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_file, "PART_BYTES", 10)
    for parts, size in ((0, 10), (GROWTH - 1, 10), (GROWTH, 20), (3 * GROWTH, 40)):
        file = InputFile(stage.s3, stage.settings.store, TENANT, "run", Progress(upload="u", parts=parts))
        file.add(b"x" * (size - 1))
        assert not file.full
        file.add(b"x")
        assert file.full


def test_too_many_parts_are_refused(stage: Stage) -> None:
    file = InputFile(stage.s3, stage.settings.store, TENANT, "run", Progress(upload="u", parts=S3_PARTS))
    file.add(b"x")
    with pytest.raises(PrepareError, match="too many for one batch: give the function a prefix with fewer"):
        file.flush()


def test_parts_that_are_gone_are_missed(stage: Stage) -> None:
    file = InputFile(stage.s3, stage.settings.store, TENANT, "run", Progress())
    file.add(b"x")
    file.flush()
    progress = file.close().model_copy(update={"parts": 2})
    with pytest.raises(PrepareError, match="are missing: start a new run"):
        InputFile(stage.s3, stage.settings.store, TENANT, "run", progress).finish()
