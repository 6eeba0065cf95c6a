"""The schemas that tools write for people: what of them is enforced, and that docs/structured-output.md says so."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lambda_llm.engine.decoder import Decoder
from lambda_llm.engine.errors import SchemaError
from lambda_llm.engine.loaded_model import LoadedModel
from lambda_llm.engine.schemas import (
    DEPTH_MAX,
    FORMATS,
    LENGTH_MAX,
    LIMITS,
    OPTIONAL_MAX,
    PATTERNS_MAX,
    SCHEMAS_MAX,
    SECONDS_MAX,
    enforceable,
)
from lambda_llm.gguf.options import ModelOptions, Weights
from support.constrained import accepts, as_answer, as_parameters, call

SHAPES: list[dict[str, Any]] = [
    json.loads(line)
    for line in Path(__file__).with_name("schema_shapes.jsonl").read_text(encoding="utf-8").splitlines()
]
DOCUMENT = Path(__file__).parents[3] / "docs/structured-output.md"


@pytest.fixture(scope="module")
def decoder(demo_model: Path) -> Iterator[Decoder]:
    options = ModelOptions(context_length=64, placement=Weights.COPIED, threads=1)
    with LoadedModel(str(demo_model), options.placement) as model, Decoder(model, options) as decoder:
        yield decoder


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape["id"])
def test_a_shape_is_enforced_as_far_as_the_data_says(decoder: Decoder, shape: dict[str, Any]) -> None:
    schema, refused = shape["schema"], shape.get("refused")
    strict = refused is None
    if refused:
        at = f" at '{refused['path']}'" if refused["path"] else ""
        with pytest.raises(SchemaError, match=f"'{refused['keyword']}'{at} can't be enforced"):
            enforceable(schema, strict=True)
    enforced = enforceable(schema, strict=strict)
    assert bool(enforced.widened) is not strict
    answer, arguments = as_answer(enforced), as_parameters(schema, strict=strict)
    for text in shape["valid"]:
        jsonschema.validate(json.loads(text), schema)
        assert accepts(decoder, answer, text), text
        assert accepts(decoder, arguments, call(text)), text
    assert shape["invalid"]
    for text in shape["invalid"]:
        assert not accepts(decoder, answer, text), text
        assert not accepts(decoder, arguments, call(text)), text


def test_the_document_has_the_shares() -> None:
    assert len(SHAPES) >= 50
    assert len({shape["id"] for shape in SHAPES}) == len(SHAPES)
    document = DOCUMENT.read_text(encoding="utf-8")
    shapes = Counter(shape["source"] for shape in SHAPES)
    widened = Counter(shape["source"] for shape in SHAPES if "refused" in shape)
    rows = [(source, count, count - widened[source], widened[source]) for source, count in shapes.items()]
    rows.append(("**All**", len(SHAPES), len(SHAPES) - widened.total(), widened.total()))
    for source, count, enforced, others in rows:
        assert f"| {source} | {count} | {enforced} | {others} |\n" in document


def test_the_document_has_the_limits() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    for number in (
        DEPTH_MAX,
        LENGTH_MAX,
        OPTIONAL_MAX,
        PATTERNS_MAX,
        SCHEMAS_MAX,
        int(SECONDS_MAX),
        LIMITS.max_items_in_row,
        LIMITS.initial_lexer_fuel,
        LIMITS.step_lexer_fuel,
        LIMITS.step_max_items,
        LIMITS.max_lexer_states,
        LIMITS.max_grammar_size,
    ):
        assert f" {number:,} " in document
    assert ", ".join(f"`{each}`" for each in FORMATS) in document.replace("\n", " ")
