"""Log lines for CloudWatch."""

import json
import logging
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from lambda_llm.telemetry import logs
from lambda_llm.telemetry.context import correlated


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    quiet = {name: logging.getLogger(name).level for name in ("botocore", "llama.cpp")}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in quiet.items():
        logging.getLogger(name).setLevel(before)


def test_a_line_is_one_json_object_whatever_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    logging.getLogger("somewhere").warning("two\nlines and %s", '"quotes"')
    line, rest = capsys.readouterr().err.split("\n", 1)
    told = json.loads(line)
    assert abs(datetime.fromisoformat(told.pop("timestamp")).timestamp() - time.time()) < 60
    assert told == {"level": "WARNING", "logger": "somewhere", "message": 'two\nlines and "quotes"'}
    assert rest == ""


def test_an_exception_is_part_of_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    try:
        raise ValueError("why")  # noqa: TRY301 - to be logged
    except ValueError:
        logging.getLogger("somewhere").exception("it failed")
    line = json.loads(capsys.readouterr().err)
    assert line["message"] == "it failed"
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: why")


def test_what_is_given_beside_the_message_becomes_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    logging.getLogger("somewhere").info("loaded", extra={"bytes": 5, "checksums": ["CRC64NVME"], "path": Path("/x")})
    told = json.loads(capsys.readouterr().err)
    assert told.pop("timestamp").endswith("Z")
    assert told == {
        "level": "INFO",
        "logger": "somewhere",
        "message": "loaded",
        "bytes": 5,
        "checksums": ["CRC64NVME"],
        "path": "/x",
    }


@pytest.mark.parametrize("name", ["botocore.hooks", "llama.cpp"])
def test_only_warnings_of_those_who_talk_much_are_kept(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    logging.getLogger(name).info("chat")
    logging.getLogger(name).warning("trouble")
    logging.getLogger("lambda_llm").info("news")
    messages = [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()]
    assert messages == ["trouble", "news"]


def test_a_line_names_the_request_that_it_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    with correlated(request_id="r-1", trace_id=None), correlated(lambda_request_id="l-1"):
        logging.getLogger("somewhere").info("within")
    logging.getLogger("somewhere").info("after")
    within, after = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (within["request_id"], within["lambda_request_id"]) == ("r-1", "l-1")
    assert "trace_id" not in within
    assert "request_id" not in after


@pytest.mark.parametrize(
    ("level", "written"),
    [
        (None, ["INFO", "WARNING", "ERROR"]),
        ("DEBUG", ["DEBUG", "INFO", "WARNING", "ERROR"]),
        ("TRACE", ["DEBUG", "INFO", "WARNING", "ERROR"]),
        ("WARN", ["WARNING", "ERROR"]),
        ("FATAL", []),
        ("loud", ["INFO", "WARNING", "ERROR"]),
    ],
)
def test_the_function_s_level_is_obeyed(
    level: str | None, written: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(logs.LEVEL, raising=False)
    if level is not None:
        monkeypatch.setenv(logs.LEVEL, level)
    logs.configure()
    logger = logging.getLogger("lambda_llm.somewhere")
    for each in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        logger.log(each, "a line")
    assert [json.loads(line)["level"] for line in capsys.readouterr().err.splitlines()] == written
