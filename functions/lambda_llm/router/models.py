"""The models of a configuration, as a tenant may use them.

Source: https://platform.openai.com/docs/api-reference/models/list
"""

from typing import Any

from lambda_llm.router.config import Configuration
from lambda_llm.router.facts import Place
from lambda_llm.router.policy import forbidden
from lambda_llm.router.rights import rights_of


def listed(configuration: Configuration, tenant: str) -> list[dict[str, Any]]:
    """The models that a tenant may use, with what they can do: what any of the backends can that it may be sent to.

    Args:
        configuration: of the router.
        tenant: who asks.

    Raises:
        UnknownError: the tenant is unknown.
    """
    rights = rights_of(configuration, tenant)
    found = []
    for name, entry in configuration.models.items():
        backends = [
            option
            for option in configuration.options(name)
            if rights.may_use(name) and forbidden(option, Place[rights.place.upper()], rights.region) is None
        ]
        if backends:
            found.append(
                {
                    "id": name,
                    "object": "model",
                    "created": 0,
                    "owned_by": "lambda-llm",
                    "context_length": max(option.context for option in backends),
                    "max_output_tokens": entry.max_tokens,
                    "operations": sorted({each for option in backends for each in option.operations}),
                    "features": sorted({each for option in backends for each in option.features}),
                }
            )
    return found
