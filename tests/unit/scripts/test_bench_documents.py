"""The measurement of documents and vectors runs, and what it measures has happened."""

import json

from typer.testing import CliRunner

from scripts.bench.documents import app


def test_it_counts_what_was_done() -> None:
    given = ["--documents", "3", "--lines", "5", "--dimension", "4", "--repeats", "2"]
    done = CliRunner().invoke(app, [*given, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    objects, lines, base64, numbers = found["rows"]
    assert 3 * 4 < objects["number"] < lines["number"]
    assert base64["number"] == numbers["number"] == lines["number"]
    assert all(row["rate"] > 0 and row["megabytes"] > 0 for row in found["rows"])
