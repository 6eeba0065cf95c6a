"""Lines in files, whatever else is in them."""

import gzip
import io
import json
from pathlib import Path

import pytest

from lambda_llm.usage.errors import UsageError
from lambda_llm.usage.read import from_file
from support.usage_lines import of_agent, of_function

LINE = of_function("r1", 0.1)
OTHER = of_agent("acme", 0.1)


def test_only_our_lines_are_taken(tmp_path: Path) -> None:
    texts = [
        "START RequestId: 1 Version: 3",
        json.dumps(LINE),
        json.dumps({"event": "request", "service": "theirs"}),
        json.dumps({"level": "INFO", "message": "restored"}),
        "2026-11-26T23:59:00Z 2026/11/26/[3]abc " + json.dumps(OTHER),
        '{"event": "request", "service":',
        "[" * 100_000,
        json.dumps([LINE]),
        "",
    ]
    plain = tmp_path / "log.jsonl"
    plain.write_text("\n".join(texts))
    assert list(from_file(plain)) == [LINE, OTHER]
    packed = tmp_path / "log.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert list(from_file(packed)) == [LINE, OTHER]


def test_standard_input_has_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"START\n{json.dumps(LINE)}\n"))
    assert list(from_file(Path("-"))) == [LINE]


def test_what_aws_prints_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "events.json"
    path.write_text(json.dumps({"events": [{"message": json.dumps(LINE) + "\n"}, {"message": "END"}]}, indent=4))
    assert list(from_file(path)) == [LINE]
    path.write_text('{\n  "events": [{"no": 1}]\n}')
    with pytest.raises(UsageError, match="is neither log lines nor what `aws logs filter-log-events` prints"):
        list(from_file(path))


def test_a_file_that_can_t_be_read_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"\xff\xfe\n")
    for path in (tmp_path / "missing", tmp_path, tmp_path / "latin"):
        with pytest.raises(UsageError, match=r"can't be read .*: give a file of log lines, or - for standard input"):
            list(from_file(path))
