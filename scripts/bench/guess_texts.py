"""Answers of which a known part can be guessed, with the prompts that they answer."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lambda_llm.engine.constraints import Constraint, schema_constraint
from lambda_llm.engine.schemas import enforceable
from lambda_llm.engine.tool_call_formats import hermes
from lambda_llm.engine.tool_call_formats.base import Tool


@dataclass(frozen=True)
class Workload:
    """An answer and its prompt.

    Attributes:
        name: of its kind.
        prompt: what is before the answer, without a chat template.
        answer: every token of it is given.
        target: how many times faster than without guesses and forced tokens it shall be.
        constraint: under which it is generated; None: there is none.
    """

    name: str
    prompt: str
    answer: str
    target: float
    constraint: Constraint | None = None


_LOG: Final = """\
06:10 The Anna Maria left for the north harbour with 31 tons of gravel. Her brake was inspected on Monday.
06:45 The Kingfisher left for the south harbour, 12 tons of timber, inspection still due.
07:20 The Ferry Two took 4 tons of post and 18 passengers to the west harbour, inspected last week.
08:05 The Old Hundred went north with 55 tons of cement. Nobody has inspected her this year.
09:30 The Lark left for the west harbour with 2 tons of glass and 3 passengers, inspected on Monday.
"""

_DEPARTURES: Final[Sequence[tuple[str, str, int, str, int, bool, str]]] = (
    ("Anna Maria", "north", 31, "gravel", 0, True, "06:10"),
    ("Kingfisher", "south", 12, "timber", 0, False, "06:45"),
    ("Ferry Two", "west", 4, "post", 18, True, "07:20"),
    ("Old Hundred", "north", 55, "cement", 0, False, "08:05"),
    ("Lark", "west", 2, "glass", 3, True, "09:30"),
)

_DEPARTURE: Final[Mapping[str, Any]] = {
    "vessel_name": {"type": "string"},
    "destination_harbour": {"enum": ["north", "south", "west"]},
    "weight_in_tons": {"type": "integer"},
    "cargo": {"type": "string"},
    "number_of_passengers": {"type": "integer"},
    "inspection_done": {"type": "boolean"},
    "departure_time": {"type": "string"},
}


def _closed(properties: Mapping[str, Any]) -> dict[str, Any]:
    """A schema of an object as strict ones have to be."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [*properties],
        "additionalProperties": False,
    }


_RECORDS: Final = [dict(zip(_DEPARTURE, each, strict=True)) for each in _DEPARTURES]

_STRICT_JSON: Final = _closed({"departures": {"type": "array", "items": _closed(_DEPARTURE)}})

_TOOLS: Final = {
    0: Tool("record_departure", _closed(_DEPARTURE), strict=True),
    1: Tool("cancel_departure", _closed({"vessel_name": {"type": "string"}}), strict=True),
}

_CONFIGURATION: Final[Mapping[str, Any]] = {
    "service": "harbour-board",
    "listen": {"address": "127.0.0.1", "port": 8080, "request_timeout_seconds": 30, "maximum_body_bytes": 1048576},
    "database": {
        "host": "departures.internal",
        "name": "departures",
        "pool": {"minimum": 2, "maximum": 10, "idle_seconds": 300},
        "read_only": False,
    },
    "boards": [
        {"harbour": "north", "lines": 12, "refresh_seconds": 20, "show_cargo": True},
        {"harbour": "south", "lines": 8, "refresh_seconds": 20, "show_cargo": True},
        {"harbour": "west", "lines": 6, "refresh_seconds": 60, "show_cargo": False},
    ],
    "logging": {"level": "info", "format": "json", "fields": ["time", "harbour", "vessel", "duration"]},
}


def _changed_configuration() -> str:
    changed = json.loads(json.dumps(_CONFIGURATION))
    changed["database"]["pool"]["maximum"] = 24
    changed["boards"][1]["show_cargo"] = False
    changed["logging"]["level"] = "warning"
    return json.dumps(changed, indent=2)


_CODE: Final = '''\
def read_departures(path):
    """Read the departures of one day, the earliest first."""
    departures = []
    with open(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            fields = line.split(";")
            if len(fields) != 4:
                raise ValueError(f"line {number} has {len(fields)} fields, expected 4")
            time, vessel, harbour, weight = fields
            departures.append(Departure(time, vessel, harbour, int(weight)))
    departures.sort(key=lambda departure: departure.time)
    return departures


def busiest_harbour(departures):
    """The harbour that most weight leaves for."""
    weights = {}
    for departure in departures:
        weights[departure.harbour] = weights.get(departure.harbour, 0) + departure.weight
    return max(weights, key=weights.get)


def late(departures, limit):
    """The departures behind a time of the day."""
    return [departure for departure in departures if departure.time > limit]
'''

_CHANGED_CODE: Final = (
    _CODE.replace("with open(path) as file", 'with open(path, encoding="utf-8") as file')
    .replace('f"line {number} has', 'f"{path}, line {number} has')
    .replace("    weights = {}\n", "    if not departures:\n        return None\n    weights = {}\n")
)

_RULES: Final = """\
1. A vessel may leave once its brake has been inspected within the last thirty days, and not before sunrise.
2. Gravel, cement and sand are weighed at the upper lock; the weight on the bill is the weight that counts.
3. Passengers may be carried beside cargo of up to five tons, provided that there is a rail on both sides.
4. The harbour master may hold back any vessel when the water stands above the second mark, and must say so in writing.
5. A vessel that was held back leaves before all others on the next day, in the order in which it was announced.
6. Fees are paid at the lower lock, per ton and begun hour; post travels free of charge.
7. Complaints go to the board, which meets on the first Tuesday of the month and answers within two weeks.
"""

_QUOTING: Final = """\
Yes, but only on one condition. The rules allow passengers on the Lark: "Passengers may be carried beside cargo of \
up to five tons, provided that there is a rail on both sides." Two tons of glass are well below that limit, so what \
is left to check is the rail.

As for the delay, the harbour master was within his rights. Rule 4 says that he "may hold back any vessel when the \
water stands above the second mark, and must say so in writing", and you have his letter. In return you have \
priority today: "A vessel that was held back leaves before all others on the next day, in the order in which it was \
announced."

If you still feel that you were treated unfairly, write soon. Complaints go to the board, which meets on the first \
Tuesday of the month and answers within two weeks, and the next meeting is in nine days.
"""

_PROSE: Final = """\
Canals were dug long before anybody had an engine, and what moved the boats was a horse on a path beside the water. \
A single animal could pull thirty tons at a walking pace, which is some twenty times what it could have drawn on a \
good road. That difference paid for all the digging. Coal that had been sold within a few miles of its pit suddenly \
reached towns two days away, at half the price, and potters could send out their ware without finding most of it \
broken.

Water does not climb, so engineers had to choose: follow every curve of a hillside and keep the level, or cut \
straight through and lift the boats by locks. The early ones wandered, because surveying was cheap and stone was \
not. Later ones ran through deep cuttings and over aqueducts, and saved hours on each trip. Every lock, however, \
spends a chamber of water whenever somebody passes downhill, and on a dry summit this decided how much traffic there \
could be. Reservoirs were built in the hills for no other reason.

Then came the railway. It was faster, it ran in winter when ice closed the cuts, and it reached places where nobody \
would have thought of a ditch. Some companies sold out to their rivals; others lowered the tolls and lasted for \
another century, carrying whatever was heavy and in no hurry. Today the boats are painted, the horses are gone, and \
most people on board have no cargo at all.
"""


def workloads() -> list[Workload]:
    """All of them; each constraint allows its answer."""
    records = enforceable(_STRICT_JSON, strict=True)
    calls = hermes.FORMAT.constraint(_TOOLS, parallel=True, optional=False, thinking=False, markers={})
    return [
        Workload(
            "strict JSON",
            f"{_LOG}\nList all departures as JSON.\n",
            json.dumps({"departures": _RECORDS}),
            1.4,
            schema_constraint(records, records),
        ),
        Workload(
            "tool calls",
            f"{_LOG}\nRecord the last three departures.\n",
            hermes.FORMAT.render([("record_departure", json.dumps(each)) for each in _RECORDS[2:]]),
            1.4,
            calls,
        ),
        Workload(
            "JSON handed back changed",
            f"{json.dumps(_CONFIGURATION, indent=2)}\n\nAllow 24 connections, hide the cargo on the southern "
            "board, and log warnings only. Answer with the whole file.\n",
            _changed_configuration(),
            1.4,
        ),
        Workload(
            "code handed back changed",
            f"{_CODE}\n\nRead UTF-8, name the file in the error, and return None where there are no departures. Answer "
            "with the whole file.\n",
            _CHANGED_CODE,
            1.4,
        ),
        Workload(
            "quoting",
            f"{_RULES}\nThe Lark was held back yesterday because of the water. May she leave with 2 tons of glass and "
            "three passengers, and what can I do about the delay?\n",
            _QUOTING,
            1.15,
        ),
        Workload("prose", "Tell me in three paragraphs what canals were good for.\n", _PROSE, 0.98),
    ]
