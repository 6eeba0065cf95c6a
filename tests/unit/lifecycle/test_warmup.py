"""What is done before the snapshot so that the first request need not."""

from pathlib import Path

import pytest

from lambda_llm.engine.errors import ContextOverflowError, TemplateError
from lambda_llm.engine.model import Model
from lambda_llm.engine.template import ChatTemplate
from lambda_llm.lifecycle.warmup import warm_up
from support.answers import EXPECTED, OpenModel, generation, user
from support.rewrite import rewrite

SYSTEM = "You are a terse assistant for questions about AWS Lambda."


def test_a_conversation_begins_behind_the_system_prompt(model: Model) -> None:
    template = ChatTemplate(model)
    ready = warm_up(model, template, [SYSTEM])
    assert ready == len(model.evaluated)
    opening = model.tokenize(SYSTEM, add_special=False)
    prompt = template.tokens([{"role": "system", "content": SYSTEM}, user("What is a token?")])
    first = generation(model, prompt=prompt, max_tokens=1)
    "".join(first)
    assert first.cached_tokens >= len(opening)
    assert first.cached_tokens < len(prompt)


def test_each_of_several_system_prompts_costs_nothing_whatever_came_before(model: Model) -> None:
    template = ChatTemplate(model)
    systems = [SYSTEM, "You count.", "You answer in one sentence, and you say nothing else."]
    warm_up(model, template, systems)
    assert model.prefixes.count == len(systems)
    for system in [*systems, *systems]:
        going = generation(model, prompt=template.tokens([{"role": "system", "content": system}, user("9 lives?")]))
        "".join(going)
        assert going.cached_tokens >= len(model.tokenize(system, add_special=False))


def test_without_a_system_prompt_the_template_s_own_beginning_is_ready(model: Model) -> None:
    warm_up(model, ChatTemplate(model))
    first = generation(model)
    assert EXPECTED in "".join(first)
    assert first.cached_tokens > 0


def test_a_model_without_a_template_is_warmed_too(open_model: OpenModel, demo_model: Path, tmp_path: Path) -> None:
    model = open_model(rewrite(demo_model, tmp_path / "m.gguf", {"tokenizer.chat_template": None}))
    assert warm_up(model, ChatTemplate(model)) == len(model.tokenize("Hello", add_special=True))


def test_a_system_prompt_that_can_t_be_used_fails_at_once(
    open_model: OpenModel, demo_model: Path, tmp_path: Path
) -> None:
    small = open_model(context=64)
    with pytest.raises(ContextOverflowError, match="64 tokens"):
        warm_up(small, ChatTemplate(small), [SYSTEM * 20])
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}Hello"
    strict = open_model(rewrite(demo_model, tmp_path / "m.gguf", {"tokenizer.chat_template": refusing}))
    with pytest.raises(TemplateError, match="no system role"):
        warm_up(strict, ChatTemplate(strict), [SYSTEM])
    warm_up(strict, ChatTemplate(strict))
