"""Names that a model's server takes, for tools whose own names it would refuse.

A name depends on the set of names alone, never on their order: it is part of an execution's state and of the names of
its operations.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

from lambda_llm.agent.errors import AgentDefinitionError
from lambda_llm.agent.tools.tool import NAME_PATTERN

MOST: Final = 64
"""Characters of a name that `NAME_PATTERN` takes."""

SEPARATOR: Final = "___"
"""Between the target and the tool in the names of an AgentCore Gateway.
Source: https://docs.aws.amazon.com/bedrock-agentcore/latest/devguide/gateway-tool-naming.html"""

_HASHES: Final = (8, 16, 32, 64)
"""Hexadecimal digits that tell names apart, longer as long as they don't."""

_Key = TypeVar("_Key", str, tuple[str, str])


def is_name(text: str) -> bool:
    """Whether a model's server takes it as the name of a tool."""
    return re.fullmatch(NAME_PATTERN.strip("^$"), text) is not None


def aliases(names: Iterable[str]) -> dict[str, str]:
    """Short names for the tools of one source.

    `weather___get_weather` becomes `get_weather`; what is too long, has other characters, or is like another one gets
    a hash of the full name at its end.

    Args:
        names: full names, each once.

    Returns:
        Alias, of `NAME_PATTERN`, to full name.
    """
    return _told_apart(names, [_plain, *(_with_hash(digits) for digits in _HASHES)])


def over_sources(sources: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, str]]:
    """Names of the tools of all sources of an agent.

    A name that one source alone has stays; where several have it, each gets its source's name in front.

    Args:
        sources: name of a source to the names that its tools have in it, of `NAME_PATTERN`, each once.

    Returns:
        Name in the agent, of `NAME_PATTERN`, to the source and the name in it.

    Raises:
        AgentDefinitionError: a source has a name that is none, or twice.
    """
    keys = []
    for source, names in sources.items():
        for name, times in Counter(names).items():
            if times > 1 or not is_name(name):
                raise AgentDefinitionError(
                    f"The source {source!r} calls a tool {name!r}: its names must match {NAME_PATTERN}, each once."
                )
            keys.append((source, name))
    return _told_apart(keys, [lambda key: key[1], _with_source, *(_with_hash(digits) for digits in _HASHES)])


def _told_apart(keys: Iterable[_Key], forms: list[Callable[[_Key], str]]) -> dict[str, _Key]:
    """Give each key the first form that is its own; all that share one go on to the next together."""
    forms_tried = dict.fromkeys(keys, 0)
    while True:
        names = {key: forms[tried](key) for key, tried in forms_tried.items()}
        shared = {name for name, times in Counter(names.values()).items() if times > 1}
        if not shared:
            return {names[key]: key for key in sorted(names)}
        for key, name in names.items():
            # The last form is a whole SHA-256, which stays: another name that looks like one has forms left.
            if name in shared and forms_tried[key] < len(forms) - 1:
                forms_tried[key] += 1


def _plain(full: str) -> str:
    tail = full.rpartition(SEPARATOR)[2] or full
    return tail if is_name(tail) else _with_hash(_HASHES[0])(full)


def _with_source(key: tuple[str, str]) -> str:
    name = "_".join(key)
    return name if is_name(name) else _with_hash(_HASHES[0])(key)


def _with_hash(digits: int) -> Callable[[str | tuple[str, str]], str]:
    def name(key: str | tuple[str, str]) -> str:
        full = key if isinstance(key, str) else "\0".join(key)
        tail = full.rpartition(SEPARATOR if isinstance(key, str) else "\0")[2] or full
        hashed = hashlib.sha256(full.encode("utf-8", "surrogatepass")).hexdigest()[:digits]
        if digits == MOST:
            return hashed
        readable = re.sub(r"[^a-zA-Z0-9_-]+", "_", tail)[: MOST - 1 - digits].strip("_")
        return f"{readable}_{hashed}" if readable else hashed

    return name
