"""Fleets as the command line has them."""

import pytest

from lambda_llm.cost.speeds import Speeds
from lambda_llm.simulator.errors import SimulatorError
from lambda_llm.simulator.fleet import Fleet, Scaling
from lambda_llm.simulator.written import SLOWDOWN, fleet_of

SPEEDS = Speeds(100.0, 20.0, 1.0)


@pytest.mark.parametrize(
    ("text", "fleet"),
    [
        ("c8g.2xlarge:4@0.319", Fleet("c8g.2xlarge", 0.319, Speeds(100.0, 20.0, 0.0), servers=4)),
        ("big one:1@2,slots=8,queue=10", Fleet("big one", 2.0, Speeds(100.0, 20.0, 0.0), slots=8, queue=10)),
        (
            "g6:2@0.8,batch=32,prefill=4000,decode=60",
            Fleet("g6", 0.8, Speeds(4000.0, 60.0, 0.0), servers=2, slots=32, slowdown=SLOWDOWN),
        ),
        (
            "g6:0-8@0.8,batch=32,slowdown=0.1,target=0.5,period=30,start=240,cooldown=600",
            Fleet(
                "g6",
                0.8,
                Speeds(100.0, 20.0, 0.0),
                slots=32,
                slowdown=0.1,
                scaling=Scaling(0, 8, 0.5, 30.0, 240.0, 600.0),
            ),
        ),
    ],
)
def test_a_fleet_is_read(text: str, fleet: Fleet) -> None:
    assert fleet_of(text, SPEEDS) == fleet


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "is no fleet: write NAME:COUNT@HOURLY"),
        ("c8g", "is no fleet"),
        ("c8g:4", "is no fleet"),
        ("c8g:-4@1", "is no fleet"),
        ("c8g:4@cheap", "has 'cheap' where a number belongs"),
        ("c8g:4@nan", "has 'nan' where a number belongs"),
        ("c8g:4@-1", "The price of c8g in dollars an hour is -1"),
        ("c8g:0@1", "The number of servers of c8g is 0"),
        ("c8g:4@1,colour=3", "has 'colour', which is unknown: the keys are prefill, decode"),
        ("c8g:4@1,slots=", "has '' where a number belongs"),
        ("c8g:4@1,slots=1.5", "slots is a whole number"),
        ("c8g:4@1,slots=1,batch=3", "has slots and a batch"),
        ("c8g:4@1,slowdown=0.1", "has a slowdown and no batch"),
        ("c8g:4@1,target=0.5", "has target and a fixed number of servers: write a range"),
        ("c8g:8-4@1", "The smallest number of servers is 8"),
    ],
)
def test_what_is_no_fleet_is_one_sentence(text: str, what: str) -> None:
    with pytest.raises(SimulatorError, match=what):
        fleet_of(text, SPEEDS)
