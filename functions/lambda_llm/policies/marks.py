"""Identifies this project's functions: by a tag, or by settings that only this project reads."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from lambda_llm.policies.graph import FUNCTION, Resource
from lambda_llm.policies.values import argument, blocks, names

__all__ = ["MODEL", "TAG", "Kind", "environment", "is_marked", "kind_of"]

TAG: Final = "lambda-llm"
"""Key of the tag; its value is a `Kind`."""

SETTING: Final = re.compile(r"^LAMBDA_LLM_[A-Z0-9_]+$")
"""An environment variable that only this project reads."""

MODEL: Final = "LAMBDA_LLM_MODEL"
"""The setting without which a function can't serve; with it, it does, whatever its tag says."""

PRUNING: Final = "LAMBDA_LLM_PRUNE_"
"""Prefix of the version pruner's settings."""

AUTHORIZING: Final = "LAMBDA_LLM_AUTHORIZER_"
"""Prefix of the authorizer's settings."""

ANSWERING: Final = "LAMBDA_LLM_QUEUE_"
"""Prefix of the queue worker's settings; inference itself has one without the last underscore."""

ROLLING_BACK: Final = "LAMBDA_LLM_CANARY_"
"""Prefix of the settings of what rolls a canary back."""

ROUTING: Final = "LAMBDA_LLM_ROUTER_"
"""Prefix of the settings of the router and its worker."""

BATCHING: Final = "LAMBDA_LLM_BATCH_"
"""Prefix of the settings of the functions of batches."""

EMBEDDING: Final = "LAMBDA_LLM_DOCUMENTS_"
"""Prefix of the settings of the function between documents and vectors."""

CALLING: Final = "LAMBDA_LLM_URL"
"""Prefix of what callers of an inference function are told, which makes no function this project's."""


class Kind(StrEnum):
    """Kind of a function; the rules for inference and durable agents differ."""

    INFERENCE = "inference"
    DURABLE_AGENT = "durable-agent"
    VERSION_PRUNER = "version-pruner"
    ROUTER = "router"
    BATCH = "batch"
    SANDBOX = "sandbox"
    AUTHORIZER = "authorizer"
    QUEUE_WORKER = "queue-worker"
    CANARY_ROLLBACK = "canary-rollback"
    DOCUMENTS = "documents"


_BY_SETTINGS: Final = {
    PRUNING: Kind.VERSION_PRUNER,
    AUTHORIZING: Kind.AUTHORIZER,
    ANSWERING: Kind.QUEUE_WORKER,
    ROLLING_BACK: Kind.CANARY_ROLLBACK,
    ROUTING: Kind.ROUTER,
    BATCHING: Kind.BATCH,
    EMBEDDING: Kind.DOCUMENTS,
}
"""Kinds that have settings of their own, by the prefix of these."""


def environment(function: Resource) -> Any:
    """A function's variables: a map, or an expression that could not be evaluated."""
    given = blocks(function.block, "environment")
    return argument(given[0], "variables") if given else None


def kind_of(function: Resource) -> Kind | None:
    """Kind of a function: inference if it is given a model, else what its tag says, else by its settings.

    A tag value that no module of this project sets counts as inference: a typo must not disable the rules.

    Args:
        function: Any resource.

    Returns:
        None for a resource that is not a function, or not this project's.
    """
    if function.kind != FUNCTION:
        return None
    given = names(environment(function))
    if MODEL in given:
        return Kind.INFERENCE
    tags = [_tag(function.get(name)) for name in ("tags", "tags_all")]
    for tag in tags:
        if tag is not None:
            return Kind(tag) if tag in set(Kind) else Kind.INFERENCE
    settings = [name for name in given if SETTING.match(name) and not name.startswith(CALLING)]
    if not settings:
        return None
    for prefix, kind in _BY_SETTINGS.items():
        if all(name.startswith(prefix) for name in settings):
            return kind
    return Kind.DURABLE_AGENT if blocks(function.block, "durable_config") else Kind.INFERENCE


def is_marked(resource: Resource) -> bool:
    """Whether a resource has the project's tag, with whatever value: a typo must not disable a rule."""
    return any(_tag(resource.get(name)) is not None for name in ("tags", "tags_all"))


def _tag(tags: Any) -> str | None:
    if isinstance(tags, Mapping):
        return str(argument(tags, TAG)) if TAG in tags else None
    if isinstance(tags, str) and TAG in tags:
        # merge(var.tags, { "lambda-llm" = "inference" }) with a variable that has no default
        match = re.search(rf"(?:['\"]{TAG}['\"]\s*[=:]|{TAG}\s*=)\s*['\"]?([\w-]+)", tags)
        return match[1] if match else None
    return None
