"""The benchmark of the simulator compares what is the same; how fast it was is no test's business."""

from typing import Any, cast

import pytest

from scripts.bench import simulator


def test_all_ways_find_the_same_wait() -> None:
    rows = {row.name: row for row in simulator.compare(400, 1)}
    assert rows.keys() == {*simulator.WAYS, simulator.UNCOMPILED, simulator.ONE_SERVER}
    waits = [row.mean_wait for name, row in rows.items() if name != simulator.ONE_SERVER]
    assert waits == pytest.approx([waits[0]] * len(waits))
    assert waits[0] > 0
    assert rows[simulator.BASELINE].ratio == 1
    assert rows[simulator.ONE_SERVER].ratio is None


def test_one_server_by_a_running_minimum_waits_as_one_by_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator, "SERVERS", 1)
    queue = simulator.queue(2000, 1)
    assert simulator.lindley(*queue) == pytest.approx(simulator.python_heap(*queue))


def test_a_way_that_is_wrong_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ways = cast("dict[str, Any]", simulator.WAYS)
    monkeypatch.setitem(ways, "SimPy", lambda times, work: 1.01 * simulator.python_heap(times, work))
    with pytest.raises(simulator.BenchError, match="SimPy found a mean wait of"):
        simulator.compare(300, 1)


def test_whole_simulations_are_those_of_the_package() -> None:
    for simulate in simulator.WHOLES.values():
        result = simulate(200)
        assert result.arrived == pytest.approx(200, rel=0.3)
        assert result.served == result.arrived
