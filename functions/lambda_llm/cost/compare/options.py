"""What is compared, as options.toml has it: formulas, and every option with its lines."""

import itertools
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from lambda_llm.cost.compare.formulas import Formula

Kind = Literal["function", "server", "scaled", "zero", "tokens"]
"""Paid while busy; for servers that stand there for the busiest hour; for as many as the load takes; likewise, and none
while nobody asks; or by the token."""


@dataclass(frozen=True)
class Constant:
    """A number that nobody gives.

    Attributes:
        unit: as pint reads it; empty: a number.
        value: of it.
        source: where it is from.
    """

    unit: str
    value: float
    source: str


@dataclass(frozen=True)
class Derived:
    """A quantity that is computed.

    Attributes:
        unit: as pint reads it; empty: a number.
        formula: of it.
    """

    unit: str
    formula: Formula


@dataclass(frozen=True)
class Line:
    """A part of what an option costs.

    Attributes:
        what: it is for.
        formula: US dollars a month.
        minor: it is left out, and said to be, where a price list can't price it.
    """

    what: str
    formula: Formula
    minor: bool = False


@dataclass(frozen=True)
class Option:
    """A way to run a model.

    Attributes:
        name: as `ec2.g6.xlarge.spot`.
        title: for people.
        kind: how it is paid.
        own: whether the weights are the user's.
        lines: what it costs.
        server: its name in `Options.servers`; None: it has none.
        note: what to know beside the costs; may be empty.
    """

    name: str
    title: str
    kind: Kind
    own: bool
    lines: tuple[Line, ...]
    server: str | None = None
    note: str = ""

    @property
    def prices(self) -> frozenset[str]:
        """Names of all prices that it takes."""
        return frozenset().union(*(line.formula.prices for line in self.lines))

    def priced_by(self, known: Collection[str]) -> Self:
        """This option without the minor lines that need other prices.

        Args:
            known: names of prices.
        """
        lines = tuple(line for line in self.lines if not line.minor or line.formula.prices <= set(known))
        return self if lines == self.lines else replace(self, lines=lines)


@dataclass(frozen=True)
class Server:
    """What one server computes, of its own or beside a function.

    Attributes:
        title: for people.
        vcpus: of a server without GPU.
        prefill, decode: tokens a second of all requests together, of one with a GPU, for the reference model.
        source: of the speed.
        measured: the speeds are of the workload's own model, whatever its size.
    """

    title: str
    vcpus: float | None = None
    prefill: float | None = None
    decode: float | None = None
    source: str = ""
    measured: bool = False

    @property
    def speeds(self) -> dict[str, float]:
        """What its formulas name."""
        if self.vcpus is not None:
            return {"vcpus": self.vcpus}
        return {"gpu_prefill": self.prefill or 0.0, "gpu_decode": self.decode or 0.0}

    @property
    def capacity(self) -> str:
        """The name in `Options.server` of how many functions it is worth."""
        if self.vcpus is not None:
            return "capacity_of_vcpus"
        return "capacity_as_measured" if self.measured else "capacity_of_gpu"


@dataclass(frozen=True)
class Options:
    """All of options.toml.

    Attributes:
        constants: by name.
        derived: by name, in the order in which they are computed.
        server: quantities of an option with servers, in this order.
        servers: by name.
        options: in the order of the file.
    """

    constants: Mapping[str, Constant]
    derived: Mapping[str, Derived]
    server: Mapping[str, Derived]
    servers: Mapping[str, Server]
    options: tuple[Option, ...]


@cache
def load() -> Options:
    """Read options.toml."""
    content = tomllib.loads(Path(__file__).with_name("options.toml").read_text(encoding="utf-8"))
    servers = {name: Server(**given) for name, given in content["servers"].items()}
    return Options(
        {name: Constant(**given) for name, given in content["constants"].items()},
        {name: Derived(given["unit"], Formula(given["formula"])) for name, given in content["derived"].items()},
        {name: Derived(given["unit"], Formula(given["formula"])) for name, given in content["server"].items()},
        servers,
        tuple(option for given in content["options"] for option in _options(given, servers, content["terms"])),
    )


def _options(given: Mapping[str, Any], servers: Mapping[str, Server], terms: Mapping[str, str]) -> Iterator[Option]:
    each = given.get("each", {})
    for combination in itertools.product(*each.values()):
        chosen = dict(zip(each, combination, strict=True))
        words = chosen | {
            "server_title": servers[chosen["server"]].title if "server" in chosen else "",
            "term_title": terms.get(chosen.get("term", ""), ""),
        }
        yield Option(
            given["name"].format(**words),
            given["title"].format(**words),
            given["kind"],
            given.get("own", True),
            tuple(
                Line(line["what"], Formula(line["formula"].format(**words)), line.get("minor", False))
                for line in given["lines"]
            ),
            chosen.get("server"),
            given.get("note", ""),
        )
