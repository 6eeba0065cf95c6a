"""Arrivals from files, and lines that are wrong."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lambda_llm.simulator.arrivals import CHUNK
from lambda_llm.simulator.errors import SimulatorError
from lambda_llm.simulator.trace import Trace

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> Path:
        path = tmp_path / "trace.csv"
        path.write_text(text)
        return path

    return written


def times(trace: Trace) -> NDArray[np.float64]:
    return np.concatenate(list(trace.times(np.random.default_rng(0))))


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-20T10:00:00Z\n2026-11-20T10:00:03Z\n2026-11-20T10:01:00Z\n",
        "timestamp\n2026-11-20 10:00:00\n2026/11/20 10:00:03\n\n2026-11-20T11:01:00+01:00\n",
        "1000\n1003.0\n1060\n",
        "1763632800000\n1763632803000\n1763632860000\n",
        "﻿time\r\n1000\r\n1003\r\n1060\r\n",
    ],
)
def test_a_line_is_a_request(write: Write, text: str) -> None:
    trace = Trace.read(write(text))
    assert times(trace).tolist() == [0, 3, 60]
    assert trace.expected == 3
    assert trace.seconds == 90, "the last request is followed by the mean gap"


def test_counts_are_spread_over_their_period_and_times_without_a_line_are_empty(write: Write) -> None:
    trace = Trace.read(
        write("Time,Invocations\n2026-11-20T10:00:00Z,100\n2026-11-20T10:05:00Z,40.0\n2026-11-20T10:20:00Z,0\n")
    )
    found = times(trace)
    assert (trace.period, trace.seconds, trace.expected) == (300, 1500, 140)
    assert np.bincount((found / 300).astype(int)).tolist() == [100, 40]
    assert (np.diff(found) >= 0).all()
    assert len(set(found[:100])) == 100


def test_a_count_above_what_is_drawn_at_once_comes_in_order(write: Write) -> None:
    many = 3 * CHUNK + 5
    found = times(Trace.read(write(f"0,{many}\n60,1\n")))
    assert found.size == many + 1
    assert (np.diff(found) >= 0).all()


def test_a_trace_is_cut_where_it_is_told(write: Write) -> None:
    trace = Trace.read(write("0,6\n60,6\n120,6\n"), seconds=90)
    assert trace.seconds == 90
    found = times(trace)
    assert found.max() < 90
    assert 6 < found.size < 12


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("1000\nyesterday\n", r"Line 2 of .*trace.csv begins with 'yesterday', which is no time"),
        ("time\ntime\n1\n", "Line 2 of .* begins with 'time'"),
        ("1000\n-5\n", "Line 2 of .* begins with '-5', which is no time"),
        ("nan\nnan\n", "Line 2 of .* begins with 'nan'"),
        ("1000\n999\n", "Line 2 of .* is earlier than the one before it: sort the file"),
        ("1000,2\n1060\n", "Line 2 of .* has not as many columns"),
        ("1000,2\n1060,2,3\n", "Line 2 of .* has 3 columns"),
        ("1000,2\n1060,many\n", "Line 2 of .* counts 'many' requests: expected a whole number"),
        ("1000,2\n1060,-2\n", "Line 2 of .* counts '-2' requests"),
        ("1000,2\n1060,1.5\n", "Line 2 of .* counts '1.5' requests"),
        ("1000,2\n1060,nan\n", "Line 2 of .* counts 'nan' requests"),
        ("1000,2\n1000,2\n", "Line 2 of .* has the time of the one before it"),
        ("1000,2\n", "has one line, which does not tell how long its period is"),
        ("", "has no requests"),
        ("timestamp\n", "has no requests"),
        ("1000,0\n1060,0\n", "has no requests"),
    ],
)
def test_a_wrong_file_is_one_sentence_with_the_line(write: Write, text: str, what: str) -> None:
    with pytest.raises(SimulatorError, match=what) as raised:
        Trace.read(write(text))
    assert "\n" not in str(raised.value)


def test_what_is_no_text_or_no_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    with pytest.raises(SimulatorError, match=r"can't be read \(No such file"):
        Trace.read(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SimulatorError, match="is no CSV file in UTF-8"):
        Trace.read(path)
