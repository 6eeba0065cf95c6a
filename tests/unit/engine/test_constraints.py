"""Calls as each family writes them: a constraint takes what the family's own rendering gives, and nothing else."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lambda_llm.engine import schemas
from lambda_llm.engine.constraints import Constraint
from lambda_llm.engine.decoder import Decoder
from lambda_llm.engine.errors import SchemaError
from lambda_llm.engine.loaded_model import LoadedModel
from lambda_llm.engine.tool_call_formats import deepseek, hermes, llama
from lambda_llm.engine.tool_call_formats.base import AnySchema, Tool, ToolCallFormat
from lambda_llm.gguf.options import ModelOptions, Weights
from support.constrained import accepts

FORMS = {"deepseek": deepseek.FORMAT, "hermes": hermes.FORMAT, "llama": llama.FORMAT}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SUM = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a", "b"]}
TOOLS = {
    0: Tool("get", CITY),
    1: Tool("get_sum", SUM, strict=True),
    4: Tool("now", {}),
    5: Tool('odd "name"\\', {"type": "object"}),
}
BERN, FIVE = ("get", '{"city": "Bern"}'), ("get_sum", '{"a": 2, "b": 3}')


@pytest.fixture(scope="module")
def decoder(demo_model: Path) -> Iterator[Decoder]:
    options = ModelOptions(context_length=64, placement=Weights.COPIED, threads=1)
    with LoadedModel(str(demo_model), options.placement) as model, Decoder(model, options) as decoder:
        yield decoder


def constraint(form: ToolCallFormat, tools: Mapping[int, Tool] = TOOLS, **changes: Any) -> Constraint:
    given: dict[str, Any] = {"parallel": True, "optional": False, "thinking": False, "markers": {}} | changes
    return form.constraint(tools, **given)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_what_a_family_renders_is_allowed_and_nothing_else(decoder: Decoder, form: ToolCallFormat) -> None:
    required = constraint(form)
    for call in (BERN, FIVE, ("now", "{}"), ("now", '{"anything": [1]}'), ('odd "name"\\', "{}")):
        assert accepts(decoder, required, form.render([call]))
    for call in (
        ("got", "{}"),
        ("get", '{"city": 5}'),
        ("get", '{"a": 2, "b": 3}'),
        ("get_sum", '{"a": 2}'),
        ("now", "[]"),
    ):
        assert not accepts(decoder, required, form.render([call]), whole=False)
    assert not accepts(decoder, required, "Hello", whole=False)
    assert not accepts(decoder, required, f"{form.render([BERN])} and more")


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_several_calls_are_allowed_where_the_family_and_the_request_do(decoder: Decoder, form: ToolCallFormat) -> None:
    several = form.render([BERN, FIVE, BERN])
    assert accepts(decoder, constraint(form), several) is (form.separator is not None)
    assert not accepts(decoder, constraint(form, parallel=False), several)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_call_that_the_model_begins_itself_is_held_from_its_marker_on(decoder: Decoder, form: ToolCallFormat) -> None:
    lazy = constraint(form, optional=True)
    assert lazy.after == (form.mark,)
    assert lazy.leading is form.only_leading
    begun = form.render([BERN]).removeprefix(form.mark)
    assert accepts(decoder, lazy, begun)
    assert accepts(decoder, lazy, f"\n{begun.lstrip()}") is not form.only_leading
    assert not accepts(decoder, lazy, form.render([("get", "5")]).removeprefix(form.mark), whole=False)
    thinking = constraint(form, optional=True, thinking=True)
    assert thinking.after == ("</think>", form.mark)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_call_after_thoughts_may_begin_with_a_new_line(decoder: Decoder, form: ToolCallFormat) -> None:
    thinking = constraint(form, thinking=True)
    assert thinking.after == ("</think>",)
    for space in ("", "\n", "\n\n"):
        assert accepts(decoder, thinking, space + form.render([BERN]))
    assert not accepts(decoder, thinking, "\n\n\n" + form.render([BERN]))


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_call_or_an_answer_of_a_form(decoder: Decoder, form: ToolCallFormat) -> None:
    answer = AnySchema.of({"type": "object", "properties": {"name": {"type": "integer"}}}, strict=True)
    either = constraint(form, optional=True, alternative=answer)
    assert either.after == ()
    assert accepts(decoder, either, form.render([BERN]))
    assert accepts(decoder, either, form.render([FIVE]))
    assert accepts(decoder, either, '{"name": 5}')
    assert not accepts(decoder, either, '{"name": "five"}')
    assert not accepts(decoder, either, form.render([("get", '{"city": 5}')]), whole=False)


def test_markers_that_are_tokens_are_written_as_these(decoder: Decoder) -> None:
    model = decoder.model
    ids = {text: model.tokenize(text, add_special=False)[0] for text in ("<|start_header_id|>", "<|end_header_id|>")}
    begin, end = ids
    form = ToolCallFormat(
        **vars(hermes.FORMAT) | {"before": f'{begin}\n{{"name": "', "after": f"}}\n{end}", "mark": begin}
    )
    assert accepts(decoder, constraint(form, markers=ids), form.render([BERN, FIVE]))
    assert not accepts(decoder, constraint(form), form.render([BERN])), "a text is no control token"


def test_parameters_that_can_t_be_enforced_are_refused_with_the_tool_s_number() -> None:
    tools = {**TOOLS, 7: Tool("bad", {"type": "object", "properties": {"a": {"not": {}}}}, strict=True)}
    with pytest.raises(SchemaError, match="'not' at 'a' can't be enforced") as refused:
        constraint(hermes.FORMAT, tools)
    assert refused.value.number == 7


def test_all_tools_together_have_the_time_of_one_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "SECONDS_MAX", -1.0)
    late = constraint(llama.FORMAT, {number: Tool(f"get_{number}", CITY) for number in range(20)})
    assert "city" not in late.grammar
    assert late.grammar.count('"object"') >= 20
    with pytest.raises(SchemaError, match="takes longer than"):
        constraint(llama.FORMAT, {0: Tool("get", CITY, strict=True)})
