"""Where a request would go and why, from a configuration alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lambda_llm.router.config import Configuration
from lambda_llm.router.facts import Facts
from lambda_llm.router.health import Health
from lambda_llm.router.policy import TimePrice, choose, threshold_of
from lambda_llm.router.rights import facts_for


@dataclass(frozen=True)
class Row:
    """A backend of the request's model.

    Attributes:
        backend: its name.
        asked: whether it would be asked, in the order of the rows.
        why: it is at its place, or is not asked.
        cost: of the request at most, in US dollars.
        threshold: utilization of the model's function above which this server is cheaper; None: it is none by the hour,
            or there is no function beside it.
    """

    backend: str
    asked: bool
    why: str
    cost: float
    threshold: float | None


@dataclass(frozen=True)
class Explained:
    """What the policy says of a request.

    Attributes:
        facts: of the request.
        rows: the model's backends: first those that would be asked, in order.
    """

    facts: Facts
    rows: tuple[Row, ...]

    def public(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "input_tokens": self.facts.input_tokens,
            "output_tokens": self.facts.output_tokens,
            "features": sorted(self.facts.features),
            "place": self.facts.place.name.lower(),
            "region": self.facts.region,
            "backends": [
                {
                    "backend": row.backend,
                    "asked": row.asked,
                    "why": row.why,
                    "dollars_at_most": row.cost,
                    "break_even": row.threshold,
                }
                for row in self.rows
            ],
        }


def explained(
    configuration: Configuration, path: str, body: Mapping[str, Any], tenant: str, utilization: float
) -> Explained:
    """Say where a request would go if all backends were healthy.

    Args:
        configuration: of the router.
        path: that the request is sent to.
        body: its JSON.
        tenant: who sends it.
        utilization: of the model's functions together, as if it were measured.

    Raises:
        UnknownError: as `facts_for`.
    """
    facts = facts_for(configuration, path, body, tenant)
    entry = configuration.models[body["model"]]
    options = {option.name: option for option in configuration.options(body["model"])}
    functions = [each for each in options.values() if isinstance(each.price, TimePrice) and each.price.hourly is None]
    health = {each.name: Health(utilization=utilization / len(functions)) for each in functions}
    choice = choose(facts, list(options.values()), entry.prefer, health, 0.0)
    asked = len(choice.candidates)
    rows = [
        Row(
            each.backend,
            number < asked,
            each.why,
            options[each.backend].cost(facts),
            threshold_of(facts, functions[0], options[each.backend]) if functions else None,
        )
        for number, each in enumerate((*choice.candidates, *choice.refused))
    ]
    return Explained(facts, tuple(rows))
