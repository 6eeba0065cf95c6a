"""Messages to prompt, by the template that the model brings along."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lambda_llm.engine import bounded_jinja
from lambda_llm.engine.chat_template import ChatTemplate
from lambda_llm.engine.engine import Engine
from lambda_llm.engine.errors import TemplateError
from support.answers import EXPECTED, QUESTION, OpenEngine, answer, user
from support.models import string
from support.mutations import taken_apart
from support.rewrite import rewrite

TEMPLATE = "tokenizer.chat_template"

WithTemplate = Callable[[str | None], ChatTemplate]


@pytest.fixture
def with_template(open_engine: OpenEngine, demo_model: Path, tmp_path: Path) -> WithTemplate:
    """Open the demo model with another chat template, or with none."""

    def open_it(template: str | None) -> ChatTemplate:
        engine = open_engine(rewrite(demo_model, tmp_path / "m.gguf", {TEMPLATE: template}))
        return engine.template

    return open_it


def test_a_conversation_is_rendered_as_the_model_was_trained_to_read_it(engine: Engine) -> None:
    tokens = engine.template.tokens([{"role": "system", "content": "Be brief."}, user("Hello")])
    written = (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    assert tokens == engine.model.tokenize(written, add_special=False)


@pytest.mark.parametrize("template", ["{{ messages[0].content }}", "{{ bos_token }}{{ messages[0].content }}"])
def test_a_sequence_begins_once_whether_or_not_the_template_writes_it(
    with_template: WithTemplate, engine: Engine, template: str
) -> None:
    assert with_template(template).tokens([user("Hello")]) == engine.model.tokenize("Hello", add_special=True)


@pytest.mark.parametrize("begins", [True, False])
def test_no_prompt_ends_before_it_is_answered(
    open_engine: OpenEngine, demo_model: Path, tmp_path: Path, engine: Engine, *, begins: bool
) -> None:
    flags = {"tokenizer.ggml.add_bos_token": begins, "tokenizer.ggml.add_eos_token": True}
    ending = open_engine(rewrite(demo_model, tmp_path / "m.gguf", flags))
    assert ending.template.tokens([user(QUESTION)]) == engine.template.tokens([user(QUESTION)])
    assert EXPECTED in answer(ending)
    bos = engine.model.tokenize(engine.model.bos, add_special=False)
    hello = engine.model.tokenize("Hello", add_special=False)
    assert ending.model.prompt_tokens("Hello") == [*(bos if begins else []), *hello]
    assert ending.model.prompt_tokens(engine.model.bos + "Hello") == [*bos, *hello]


def test_a_model_without_a_template_is_refused_only_when_a_template_is_needed(with_template: WithTemplate) -> None:
    template = with_template(None)
    with pytest.raises(TemplateError, match=r"^This model has no chat template: use a chat or instruct model\.$"):
        template.tokens([user("Hello")])


def test_what_the_template_refuses_is_told_in_its_own_words(with_template: WithTemplate) -> None:
    template = with_template("{{ raise_exception('Roles must alternate') }}")
    with pytest.raises(
        TemplateError, match=r"^The model's chat template refuses these messages: Roles must alternate$"
    ):
        template.tokens([user("Hello")])


@pytest.mark.parametrize(
    "template", ["{{ messages[9].content.x }}", "{{ messages + 1 }}", "{{ messages.__class__.mro() }}"]
)
def test_a_template_that_fails_or_reaches_out_of_its_sandbox_is_refused(
    with_template: WithTemplate, template: str
) -> None:
    with pytest.raises(TemplateError, match="refuses these messages"):
        with_template(template).tokens([user("Hello")])


def test_a_template_that_is_no_jinja_is_refused_at_once(with_template: WithTemplate) -> None:
    with pytest.raises(TemplateError, match=r"not valid Jinja \(.*\): fix the GGUF file"):
        with_template("{% if %}")


@pytest.mark.parametrize("template", ["{{ 'a' * 10**9 }}", "{{ '%99999999999d' % 1 }}"])
def test_a_template_that_fills_the_memory_is_refused(with_template: WithTemplate, template: str) -> None:
    with pytest.raises(TemplateError, match="makes more than 64 million characters and was stopped: fix tokenizer"):
        with_template(template).tokens([user("Hello")])


def test_a_template_that_never_ends_is_refused_when_the_model_is_opened(
    with_template: WithTemplate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_jinja, "SECONDS", 0.2)
    with pytest.raises(TemplateError, match=r"takes longer than 0\.2 seconds and was stopped"):
        with_template(
            '<tool_call>"arguments"{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}'
        )


def test_a_template_that_is_too_deeply_nested_is_refused_at_once(with_template: WithTemplate) -> None:
    with pytest.raises(TemplateError, match=r"too deeply nested: fix the GGUF file\.$"):
        with_template("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}")


def test_a_template_of_a_model_of_latin_1_is_read_as_such(
    open_engine: OpenEngine, demo_model: Path, tmp_path: Path
) -> None:
    parts = taken_apart(demo_model.read_bytes())
    pairs = [
        (key, kind, string(b"Ren\xe9: {{ messages[0].content }}") if key == TEMPLATE else value)
        for key, kind, value in parts.pairs
    ]
    path = tmp_path / "m.gguf"
    path.write_bytes(replace(parts, pairs=tuple(pairs)).written())
    assert open_engine(path).template.render([user("Hello")]) == "Ren\u00e9: Hello"


def test_a_file_may_have_a_second_template_for_tools(open_engine: OpenEngine, demo_model: Path, tmp_path: Path) -> None:
    second = "With tools: {% for m in messages %}{{ m.content }}{% endfor %}"
    template = open_engine(rewrite(demo_model, tmp_path / "m.gguf", {f"{TEMPLATE}.tool_use": second})).template
    tool = {"type": "function", "function": {"name": "add", "parameters": {}}}
    call = {"id": "c", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    called: list[dict[str, Any]] = [
        user("Hello"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "3"},
    ]
    assert template.render([user("Hello")]).startswith("<|begin_of_text|>")
    assert template.prompt([user("Hello")], [tool]).text.startswith("With tools: You can call these functions")
    assert template.prompt(called).text == (
        'With tools: Hello<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'
        "<tool_response>\n3\n</tool_response>"
    )
