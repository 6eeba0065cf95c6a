"""What a tenant may ask for."""

import reprlib
from collections.abc import Mapping
from typing import Any, Final

from lambda_llm.backends.contract import Operation
from lambda_llm.router.config import Configuration, TenantEntry
from lambda_llm.router.errors import RequestError, UnknownError
from lambda_llm.router.facts import Facts, Place, facts_of

_COUNTS: Final[Mapping[str, int]] = {
    "max_tokens": 0,
    "max_completion_tokens": 0,
    "max_output_tokens": 0,
    "n_predict": 0,
    "n": 1,
    "best_of": 1,
}
"""Fields by which a request's budget is reserved, and the least of each. What servers make of another kind of value
differs: a number in quotes or with a point may count, and less than zero may mean without end."""


def rights_of(configuration: Configuration, tenant: str) -> TenantEntry:
    """The entry of a tenant, or that of those without one; raises UnknownError where there is neither."""
    rights = configuration.tenant(tenant)
    if rights is None:
        raise UnknownError("tenant", f"The tenant {tenant!r} is unknown, and there is no entry for others.")
    return rights


def facts_for(
    configuration: Configuration, path: str, body: Mapping[str, Any], tenant: str, most: int | None = None
) -> Facts:
    """The facts of a tenant's request.

    Args:
        configuration: names what the tenant may do.
        path: that the request is sent to.
        body: its JSON.
        tenant: who sends it.
        most: tokens that an answer may have, beside the model's own limit; None: no other.

    Raises:
        UnknownError: path, tenant or model are unknown, or the tenant may not use the model.
        RequestError: how much is asked for can't be told.
    """
    rights = rights_of(configuration, tenant)
    if path not in set(Operation):
        raise UnknownError("path", f"There is no {path!r}: use one of {', '.join(Operation)}.")
    model = body.get("model")
    allowed = [name for name in configuration.models if rights.may_use(name)]
    if model not in allowed:
        # The same whether it is there or not: which models others have is theirs to know.
        named = reprlib.repr(model)  # shortened: it is whatever a client has sent
        raise UnknownError("model", f"There is no model {named} for this tenant: use one of {', '.join(allowed)}.")
    _require_countable(body)
    entry = configuration.models[model]
    return facts_of(
        Operation(path),
        body,
        output_tokens=entry.max_tokens if most is None else min(most, entry.max_tokens),
        place=Place[rights.place.upper()],
        region=rights.region,
    )


def _require_countable(body: Mapping[str, Any]) -> None:
    for name, least in _COUNTS.items():
        said = body.get(name)
        if said is not None and (type(said) is not int or said < least):
            raise RequestError(name, f"{name} must be a whole number of at least {least}: correct it, or leave it out.")
    if not isinstance(body.get("stream"), bool | None):
        raise RequestError("stream", "stream must be true or false: correct it, or leave it out.")
