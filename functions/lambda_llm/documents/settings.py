"""The function's settings, read from `LAMBDA_LLM_DOCUMENTS_*` environment variables."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Final, Self

from lambda_llm.aws.s3_uri import parse_object, parse_prefix
from lambda_llm.documents.errors import DocumentsSettingsError
from lambda_llm.openai_types.batches import WINDOW_HOURS_MAX

PREFIX: Final = "LAMBDA_LLM_DOCUMENTS_"

_MACHINE: Final = re.compile(r"arn:aws[a-z-]*:states:[^:]+:\d{12}:stateMachine:.+")
_INDEX: Final = re.compile(
    r"arn:aws[-a-z0-9]*:s3vectors:[a-z0-9-]+:\d{12}:bucket/[a-z0-9.-]{3,63}/index/[a-z0-9.-]{3,63}"
)
"""As botocore's model of `s3vectors` has it."""

_SIZE_MAX: Final = 100_000
"""Of a chunk: more than the context of any encoder."""


@dataclass(frozen=True)
class Settings:
    """All settings; each field is the variable `LAMBDA_LLM_DOCUMENTS_<FIELD>`.

    Attributes:
        source: `s3://bucket/prefix/` of the documents.
        store: `s3://bucket/prefix/` of the batches, as modules/batch made it.
        machine: ARN of its state machine.
        tenant: whose batch it is.
        model: name of the model in the store's configuration.
        target: `s3://bucket/prefix/` of the vectors.
        size: most characters of a chunk, or tokens if there is a tokenizer.
        overlap: characters or tokens that a chunk may have in common with the one before it.
        tokenizer: `s3://bucket/key` of the model's tokenizer.json; None: chunks are measured in characters.
        vectors: ARN of an index of S3 Vectors that gets the vectors too; None: Parquet alone.
        window: of the batch.
        max_dollars: that a batch may not exceed; None: no limit.
    """

    source: str
    store: str
    machine: str
    tenant: str
    model: str
    target: str
    size: int = 1000
    overlap: int = 0
    tokenizer: str | None = None
    vectors: str | None = None
    window: str = "24h"
    max_dollars: float | None = None

    @classmethod
    def load(cls, environment: Mapping[str, str]) -> Self:
        """Read the environment.

        Args:
            environment: the process's variables.

        Raises:
            DocumentsSettingsError: names what is wrong and what was expected.
            S3URIError: an address in S3 has another form.
        """
        known = [field.name.upper() for field in fields(cls)]
        for name in sorted(environment):
            rest = name.removeprefix(PREFIX)
            if name.startswith(PREFIX) and rest not in known:
                near = get_close_matches(rest, known, n=1)
                advice = f"did you mean {PREFIX}{near[0]}?" if near else f"unset it, or write {', '.join(known)}."
                raise DocumentsSettingsError(f"{name} is not a setting: {advice}")
        given = {name: environment.get(PREFIX + name, "") for name in known}
        source = _text(given, "SOURCE", "the prefix of the documents, as s3://BUCKET/PREFIX/")
        store = _text(given, "STORE", "the store of the batches, as s3://BUCKET/PREFIX/")
        target = _text(given, "TARGET", "where the vectors go, as s3://BUCKET/PREFIX/")
        for uri in (source, store, target):
            parse_prefix(uri)
        if tokenizer := given["TOKENIZER"] or None:
            parse_object(tokenizer)
        size = _whole(given, "SIZE", cls.size, 1, _SIZE_MAX)
        return cls(
            source=source,
            store=store,
            machine=_formed(given, "MACHINE", _MACHINE, "the ARN of the state machine of modules/batch"),
            tenant=_text(given, "TENANT", "the tenant whose batch it is"),
            model=_text(given, "MODEL", "the model's name in modules/batch"),
            target=target,
            size=size,
            overlap=_whole(given, "OVERLAP", cls.overlap, 0, size - 1),
            tokenizer=tokenizer,
            vectors=_formed(given, "VECTORS", _INDEX, "the ARN of an index of S3 Vectors")
            if given["VECTORS"]
            else None,
            window=_window(given["WINDOW"] or cls.window),
            max_dollars=_dollars(given["MAX_DOLLARS"]),
        )


def _text(given: Mapping[str, str], name: str, meaning: str) -> str:
    if not given[name]:
        raise DocumentsSettingsError(f"{PREFIX}{name} is not set: set it to {meaning}.")
    return given[name]


def _formed(given: Mapping[str, str], name: str, form: re.Pattern[str], meaning: str) -> str:
    text = _text(given, name, meaning)
    if not form.fullmatch(text):
        raise DocumentsSettingsError(f"{PREFIX}{name} is {text!r}: set it to {meaning}.")
    return text


def _index(given: Mapping[str, str]) -> str:
    return _formed(given, "VECTORS", _INDEX, "the ARN of an index of S3 Vectors")


def _whole(given: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = given[name] or str(default)
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise DocumentsSettingsError(f"{PREFIX}{name} is {text!r}: set it to a whole number from {least} to {most}.")
    return int(text)


def _dollars(text: str) -> float | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]+([.][0-9]+)?", text):
        raise DocumentsSettingsError(f"{PREFIX}MAX_DOLLARS is {text!r}: set it to a number of US dollars, such as 5.")
    return float(text)


def _window(text: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,2}h", text) or int(text[:-1]) > WINDOW_HOURS_MAX:
        raise DocumentsSettingsError(
            f"{PREFIX}WINDOW is {text!r}: set it to a number of hours from 1h to {WINDOW_HOURS_MAX}h, such as 24h."
        )
    return text
