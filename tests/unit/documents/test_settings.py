"""Settings: what is missing, unknown or impossible is named."""

import re
from dataclasses import MISSING, fields

import pytest

from lambda_llm.aws.errors import S3URIError
from lambda_llm.documents.errors import DocumentsSettingsError
from lambda_llm.documents.settings import PREFIX, Settings
from scripts import ROOT

NEEDED = {
    "SOURCE": "s3://docs/in/",
    "STORE": "s3://store/",
    "MACHINE": "arn:aws:states:us-east-1:123456789012:stateMachine:batch",
    "TENANT": "acme",
    "MODEL": "encoder",
    "TARGET": "s3://out/vectors/",
}
INDEX = "arn:aws:s3vectors:us-east-1:123456789012:bucket/my-vectors/index/chunks"


def load(**changes: str) -> Settings:
    return Settings.load({PREFIX + name: value for name, value in {**NEEDED, **changes}.items()})


def test_what_is_needed_is_enough() -> None:
    settings = load()
    assert (settings.size, settings.overlap, settings.window) == (1000, 0, "24h")
    assert (settings.tokenizer, settings.vectors, settings.max_dollars) == (None, None, None)


def test_everything_is_read() -> None:
    settings = load(
        SIZE="256", OVERLAP="32", TOKENIZER="s3://m/tokenizer.json", VECTORS=INDEX, WINDOW="48h", MAX_DOLLARS="2.5"
    )
    assert (settings.size, settings.overlap, settings.window) == (256, 32, "48h")
    assert (settings.tokenizer, settings.vectors, settings.max_dollars) == ("s3://m/tokenizer.json", INDEX, 2.5)


@pytest.mark.parametrize("name", NEEDED)
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(DocumentsSettingsError, match=f"^{PREFIX}{name} is not set: set it to "):
        load(**{name: ""})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MACHINE", "batch"),
        ("VECTORS", "arn:aws:s3:::bucket"),
        ("SIZE", "0"),
        ("SIZE", "many"),
        ("SIZE", "100001"),
        ("OVERLAP", "1000"),
        ("OVERLAP", "-1"),
        ("WINDOW", "1d"),
        ("WINDOW", "169h"),
        ("MAX_DOLLARS", "-1"),
        ("MAX_DOLLARS", "nan"),
    ],
)
def test_what_can_t_be_used_is_quoted(name: str, value: str) -> None:
    with pytest.raises(DocumentsSettingsError, match=f"^{PREFIX}{name} is {re.escape(repr(value))}: set it to "):
        load(**{name: value})


@pytest.mark.parametrize("name", ["SOURCE", "STORE", "TARGET", "TOKENIZER"])
def test_addresses_are_of_s3(name: str) -> None:
    with pytest.raises(S3URIError):
        load(**{name: "https://example.com/"})


def test_a_misspelt_one_is_told() -> None:
    with pytest.raises(DocumentsSettingsError, match=f"did you mean {PREFIX}OVERLAP"):
        load(OVERLAPS="1")


def test_the_document_has_them_all_with_their_defaults() -> None:
    document = (ROOT / "docs/embeddings-at-scale.md").read_text(encoding="utf-8")
    told = re.findall(rf"^\| `{PREFIX}(\w+)` \| (.*?) ?\|", document, re.MULTILINE)
    shown = {MISSING: "required", None: ""}
    assert told == [(field.name.upper(), shown.get(field.default, f"`{field.default}`")) for field in fields(Settings)]
