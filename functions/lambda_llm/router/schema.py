"""The JSON schema of the configuration: what editors complete and check by, with a sentence for each field."""

import inspect
import re
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel

from lambda_llm.router.config import Configuration

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
"""That pydantic writes. Source: https://docs.pydantic.dev/latest/concepts/json_schema/"""

_ATTRIBUTE: Final = re.compile(r"^    (\w+): (.+(?:\n {8,}.+)*)", re.MULTILINE)


def schema() -> dict[str, Any]:
    """The schema, of JSON Schema 2020-12."""
    made = Configuration.model_json_schema()
    classes = {each.__name__: each for each in _below(BaseModel) if each.__module__ == Configuration.__module__}
    for name, part in ((Configuration.__name__, made), *made["$defs"].items()):
        if name in classes:
            _describe(part, classes[name])
    return {"$schema": DIALECT, **made}


def _describe(part: dict[str, Any], model: type[BaseModel]) -> None:
    """Put the sentences of a class's docstring, and of those that it is of, where they belong."""
    said: dict[str, str] = {}
    for each in reversed(model.__mro__):
        said |= dict(_ATTRIBUTE.findall(inspect.cleandoc(each.__doc__ or "").partition("Attributes:\n")[2]))
    part["description"] = _sentence(inspect.cleandoc(model.__doc__ or "").partition("\n\nAttributes:")[0])
    for name, field in part["properties"].items():
        if name in said:
            field["description"] = _sentence(said[name])


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text[:1].upper() + text[1:]


def _below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for each in model.__subclasses__():
        yield from _below(each)
