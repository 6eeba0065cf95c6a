"""What a tenant may ask for."""

from collections.abc import Mapping
from typing import Any

from lambda_llm.backends.contract import Operation
from lambda_llm.router.config import Configuration, TenantEntry
from lambda_llm.router.errors import UnknownError
from lambda_llm.router.facts import Facts, Place, facts_of


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
    """
    rights = rights_of(configuration, tenant)
    if path not in set(Operation):
        raise UnknownError("path", f"There is no {path!r}: use one of {', '.join(Operation)}.")
    model = body.get("model")
    allowed = [name for name in configuration.models if rights.may_use(name)]
    if model not in allowed:
        # The same whether it is there or not: which models others have is theirs to know.
        raise UnknownError("model", f"There is no model {model!r} for this tenant: use one of {', '.join(allowed)}.")
    entry = configuration.models[model]
    return facts_of(
        Operation(path),
        body,
        output_tokens=entry.max_tokens if most is None else min(most, entry.max_tokens),
        place=Place[rights.place.upper()],
        region=rights.region,
    )
