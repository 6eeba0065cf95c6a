"""A fleet as the command line has it: `NAME:COUNT@HOURLY[,key=value...]`."""

import re
from typing import Final

from lambda_llm.cost.speeds import Speeds
from lambda_llm.simulator.errors import SimulatorError
from lambda_llm.simulator.fleet import Fleet, Scaling

SLOWDOWN: Final = 0.02
"""Of a server with batching, if none is given: `beta / (alpha + beta)` with 20.58 ms and 0.41 ms, the example of
https://github.com/llm-d/llm-d-workload-variant-autoscaler, docs/user-guide/configuration.md. Measure yours."""

_FORM: Final = "NAME:COUNT@HOURLY, as c8g.2xlarge:4@0.319, or NAME:LEAST-MOST@HOURLY, as g6.xlarge:1-8@0.8048,batch=32"
_WRITTEN: Final = re.compile(r"(?P<name>[^:@,]+):(?P<least>\d+)(-(?P<most>\d+))?@(?P<hourly>[^,]+)(,(?P<rest>.*))?")
_OF_SCALING: Final = {
    "target": "target",
    "period": "period_seconds",
    "start": "start_seconds",
    "cooldown": "cooldown_seconds",
}
_KEYS: Final = ("prefill", "decode", "slots", "batch", "slowdown", "queue", *_OF_SCALING)
_WHOLE: Final = {"slots", "batch", "queue"}


def fleet_of(text: str, speeds: Speeds) -> Fleet:
    """Read a fleet.

    Args:
        text: as above. Keys: `prefill` and `decode` in tokens a second, `slots` (requests at once that do not disturb
            each other) or `batch` (requests that share a GPU, with `slowdown`), `queue`, and of a range of servers
            `target`, `period`, `start` and `cooldown`, in seconds.
        speeds: where the fleet has none of its own.

    Raises:
        SimulatorError: it is none.
    """
    written = _WRITTEN.fullmatch(text.strip())
    if not written:
        raise SimulatorError(f"{text!r} is no fleet: write {_FORM}.")
    given = _given(written["rest"] or "", text)
    least, most = int(written["least"]), written["most"]
    scaling = None
    if most is not None:
        scaling = Scaling(least, int(most), **{_OF_SCALING[key]: given[key] for key in _OF_SCALING if key in given})
    elif unused := [key for key in _OF_SCALING if key in given]:
        raise SimulatorError(f"{text!r} has {unused[0]} and a fixed number of servers: write a range, as 1-8.")
    if "slowdown" in given and "batch" not in given:
        raise SimulatorError(f"{text!r} has a slowdown and no batch: write batch=32, for instance.")
    return Fleet(
        written["name"],
        _number(written["hourly"], text),
        Speeds(given.get("prefill", speeds.prefill), given.get("decode", speeds.decode), 0.0),
        servers=max(least, 1) if scaling else least,
        slots=int(given.get("batch", given.get("slots", 1))),
        slowdown=given.get("slowdown", SLOWDOWN) if "batch" in given else None,
        scaling=scaling,
        **({"queue": int(given["queue"])} if "queue" in given else {}),
    )


def _given(rest: str, text: str) -> dict[str, float]:
    given: dict[str, float] = {}
    for part in filter(None, rest.split(",")):
        key, _, value = part.partition("=")
        if key not in _KEYS:
            raise SimulatorError(f"{text!r} has {key!r}, which is unknown: the keys are {', '.join(_KEYS)}.")
        given[key] = _number(value, text)
        if key in _WHOLE and given[key] != int(given[key]):
            raise SimulatorError(f"{text!r} has {part!r}: {key} is a whole number.")
    if "slots" in given and "batch" in given:
        raise SimulatorError(f"{text!r} has slots and a batch: slots do not share a processor, a batch does.")
    return given


def _number(value: str, text: str) -> float:
    try:
        number = float(value)
        int(number)  # neither infinite nor NaN
    except (ValueError, OverflowError):
        raise SimulatorError(f"{text!r} has {value!r} where a number belongs: write {_FORM}.") from None
    return number
