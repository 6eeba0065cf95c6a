"""Log lines for CloudWatch."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambda_llm.telemetry import logs


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
    assert json.loads(line) == {"level": "WARNING", "logger": "somewhere", "message": 'two\nlines and "quotes"'}
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
    assert json.loads(capsys.readouterr().err) == {
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
