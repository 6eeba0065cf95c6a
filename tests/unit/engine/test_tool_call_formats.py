"""Real chat templates, rendered as Transformers renders them, and conversations with tools in each family's own form.

The templates are those in llama-cpp-python's source package. What they are checked against: for each of them, a plain
Jinja environment set up as Transformers documents it (https://huggingface.co/docs/transformers/chat_templating_writing);
for the families that matter most, texts written by hand from what their makers published.
"""

import json
from datetime import datetime
from typing import Any

import jinja2
import jinja2.ext
import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from lambda_llm.engine.errors import TemplateError
from lambda_llm.engine.tool_call_formats import deepseek, hermes, llama
from support.answers import user
from support.templates import (
    BOS,
    EOS,
    HERMES_TOOL_USE,
    LLAMA_3,
    NAMES,
    QWEN_3,
    R1_LLAMA,
    R1_QWEN,
    SMOLLM_3,
    Templates,
    WithTemplate,
    source,
)

PHI = "microsoft-Phi-3.5-mini-instruct"


def test_the_templates_are_there() -> None:
    assert len(NAMES) > 50


# -- as Transformers renders them -------------------------------------------------------------------


class Generation(jinja2.ext.Extension):
    """Transformers' mark of what the model said, which renders as what is inside."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's interface

    def parse(self, parser: Any) -> Any:
        parser.stream.skip(1)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def as_transformers(name: str, messages: Any, tools: Any = None, **variables: Any) -> str:
    """What `apply_chat_template(messages, tools=tools, add_generation_prompt=True)` gives."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols, Generation]
    )

    def tojson(value: Any, ensure_ascii: bool = False, **options: Any) -> str:  # noqa: FBT001, FBT002 - as there
        return json.dumps(value, ensure_ascii=ensure_ascii, **options)

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)  # noqa: DTZ005 - as there
    compiled = environment.from_string(source(name))
    given = {"messages": messages, "tools": tools, "documents": None, "add_generation_prompt": True}
    return compiled.render(**given, bos_token=BOS, eos_token=EOS, **variables)


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


SYSTEM = {"role": "system", "content": "Be brief. <b>&\"'é</b>"}
PLAIN = [user("What is 1 < 2 & 'so' on?")]
CONVERSATIONS = {
    "plain": PLAIN,
    "system": [SYSTEM, *PLAIN],
    "turns": [user("One"), assistant("Two\n"), user("  Three  ")],
    "system and turns": [SYSTEM, user("One"), assistant("Two"), user("Three"), assistant("Four"), user("Five")],
}
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather & wind, à la carte",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.mark.parametrize("messages", CONVERSATIONS.values(), ids=CONVERSATIONS)
@pytest.mark.parametrize("name", NAMES)
def test_a_conversation_is_rendered_as_transformers_would(template: Templates, name: str, messages: Any) -> None:
    try:
        expected = as_transformers(name, messages)
    except Exception:  # noqa: BLE001 - a template may fail in any way
        rendered = template(name).render(messages)
        assert all(message["content"].strip() in rendered for message in messages)
    else:
        assert template(name).render(messages) == expected


@pytest.mark.parametrize("name", [LLAMA_3, QWEN_3, "Qwen-Qwen2.5-7B-Instruct", HERMES_TOOL_USE])
def test_tools_are_rendered_as_transformers_would(template: Templates, name: str) -> None:
    assert template(name).render(PLAIN, [TOOL]) == as_transformers(name, PLAIN, [TOOL])


@pytest.mark.parametrize(
    ("name", "variables"), [(QWEN_3, {"enable_thinking": False}), (LLAMA_3, {"tools_in_user_message": False})]
)
def test_variables_reach_the_template(template: Templates, name: str, variables: dict[str, Any]) -> None:
    rendered = template(name).render(PLAIN, [TOOL], variables)
    assert rendered == as_transformers(name, PLAIN, [TOOL], **variables)
    assert rendered != as_transformers(name, PLAIN, [TOOL])


# -- as their makers publish them -------------------------------------------------------------------


def turn(role: str, text: str) -> str:
    """Llama 3's form. Source: https://www.llama.com/docs/model-cards-and-prompt-formats/llama3_1/"""
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n{text}<|eot_id|>"


def chatml(role: str, text: str) -> str:
    """Qwen's and SmolLM's form. Source: https://qwen.readthedocs.io/en/latest/getting_started/concepts.html"""
    return f"<|im_start|>{role}\n{text}<|im_end|>\n"


TALK = [{"role": "system", "content": "Be brief."}, user("One"), assistant("Two"), user("Three")]
R1_TALK = f"{BOS}Be brief.<｜User｜>One<｜Assistant｜>Two<｜end▁of▁sentence｜><｜User｜>Three<｜Assistant｜><think>\n"
PHI_TALK = (
    "<|system|>\nBe brief.<|end|>\n<|user|>\nOne<|end|>\n<|assistant|>\nTwo<|end|>\n<|user|>\nThree<|end|>\n"
    "<|assistant|>\n"
)
CUTTING = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"


@pytest.mark.parametrize(
    ("name", "variables", "expected"),
    [
        (
            LLAMA_3,
            {"date_string": "26 Jul 2024"},
            BOS
            + turn("system", f"{CUTTING}Be brief.")
            + turn("user", "One")
            + turn("assistant", "Two")
            + turn("user", "Three")
            + "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        (
            QWEN_3,
            {},
            chatml("system", "Be brief.")
            + chatml("user", "One")
            + chatml("assistant", "Two")
            + chatml("user", "Three")
            + "<|im_start|>assistant\n",
        ),
        (
            QWEN_3,
            {"enable_thinking": False},
            chatml("system", "Be brief.")
            + chatml("user", "One")
            + chatml("assistant", "Two")
            + chatml("user", "Three")
            + "<|im_start|>assistant\n<think>\n\n</think>\n\n",
        ),
        (
            R1_LLAMA,
            {},
            R1_TALK,
        ),
        (
            R1_QWEN,
            {"enable_thinking": True},
            R1_TALK,
        ),
        (
            SMOLLM_3,
            {"enable_thinking": False},
            chatml(
                "system",
                "## Metadata\n\nKnowledge Cutoff Date: June 2025\nReasoning Mode: /no_think\n\n"
                "## Custom Instructions\n\nBe brief.\n\n",
            )
            + chatml("user", "One")
            + chatml("assistant", "<think>\n\n</think>\nTwo")
            + chatml("user", "Three")
            + "<|im_start|>assistant\n<think>\n\n</think>\n",
        ),
        (
            PHI,
            {},
            PHI_TALK,
        ),
    ],
)
def test_a_conversation_is_rendered_as_published(
    template: Templates, name: str, variables: dict[str, Any], expected: str
) -> None:
    assert template(name).render(TALK, (), variables) == expected


ARGUMENTS = '{"city": "Zürich"}'
R1_CALLED = (
    "<｜User｜>Weather?<｜Assistant｜><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n"
    '```json\n{"city": "Zürich"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜><｜end▁of▁sentence｜>'
    "<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>Sunny<｜tool▁output▁end｜><｜tool▁outputs▁end｜>"
)
PHI_CALLED = (
    '<|user|>\nWeather?<|end|>\n<|assistant|>\n<tool_call>\n{"name": "get_weather", "arguments": {"city": '
    '"Zürich"}}\n</tool_call><|end|>\n<|user|>\n<tool_response>\nSunny\n</tool_response><|end|>\n<|assistant|>\n'
)
CALLED: list[dict[str, Any]] = [
    user("Weather?"),
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": ARGUMENTS}}
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "Sunny"},
]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            LLAMA_3,
            turn("user", "Weather?")
            + turn("assistant", '{"name": "get_weather", "parameters": {"city": "Zürich"}}')
            # This template writes a result as JSON: a string, with its quotes.
            + turn("ipython", '"Sunny"')
            + "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        (
            QWEN_3,
            chatml("user", "Weather?")
            + chatml("assistant", '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Zürich"}}\n</tool_call>')
            + chatml("user", "<tool_response>\nSunny\n</tool_response>")
            + "<|im_start|>assistant\n",
        ),
        (
            R1_LLAMA,
            # This template forgets to end a single call.
            R1_CALLED.replace("<｜tool▁calls▁end｜><｜end▁of▁sentence｜>", ""),
        ),
        (
            R1_QWEN,
            R1_CALLED,
        ),
        (
            # No place for tools in this template: they go where every model reads.
            SMOLLM_3,
            chatml("user", "Weather?")
            + chatml("assistant", '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Zürich"}}\n</tool_call>')
            + chatml("user", "<tool_response>\nSunny\n</tool_response>")
            + "<|im_start|>assistant\n",
        ),
        (
            PHI,
            PHI_CALLED,
        ),
    ],
)
def test_a_call_and_its_result_are_rendered_in_the_model_s_own_form(
    template: Templates, name: str, expected: str
) -> None:
    assert template(name).render(CALLED).endswith(expected)


@pytest.mark.parametrize(
    ("name", "form", "thinks"),
    [
        (LLAMA_3, llama.FORMAT, False),
        (QWEN_3, hermes.FORMAT, True),
        (R1_LLAMA, deepseek.FORMAT, True),
        (R1_QWEN, deepseek.FORMAT, True),
        (SMOLLM_3, hermes.FORMAT, True),
        (PHI, hermes.FORMAT, False),
        ("ibm-granite-granite-4.0", hermes.FORMAT, False),
    ],
)
def test_what_a_template_can_do_is_found_out(template: Templates, name: str, form: Any, thinks: bool) -> None:  # noqa: FBT001 - a case
    made = template(name)
    assert made.tool_call_format is form
    assert made.thinks is thinks


def test_tools_are_described_where_the_template_has_no_place_for_them(template: Templates) -> None:
    rendered = template(PHI).render([{"role": "system", "content": "Be brief."}, *PLAIN], [TOOL])
    system, _, rest = rendered.partition("<|end|>")
    assert system.startswith("<|system|>\nBe brief.\n\nYou can call these functions")
    assert json.dumps(TOOL["function"], ensure_ascii=False) in system
    assert rest.startswith("\n<|user|>\nWhat is")
    assert template(PHI).render(PLAIN, [TOOL]).startswith("<|system|>\nYou can call these functions")


@pytest.mark.parametrize(("name", "thinking"), [(R1_LLAMA, True), (QWEN_3, False), (LLAMA_3, False)])
def test_a_prompt_tells_whether_it_has_opened_the_thoughts(template: Templates, name: str, thinking: bool) -> None:  # noqa: FBT001 - as above
    assert template(name).prompt(PLAIN).thinking is thinking


@pytest.mark.parametrize(
    ("name", "added", "expected"),
    [
        # Content comes behind the reasoning, which the template has opened for R1.
        (R1_LLAMA, {"content": "It is"}, "<｜Assistant｜><think>\n\n</think>\n\nIt is"),
        (R1_LLAMA, {"content": "", "reasoning_content": "Hm"}, "<｜Assistant｜><think>\nHm\n</think>\n\n"),
        (R1_QWEN, {"content": "It is", "reasoning_content": "Hm"}, "<think>\nHm\n</think>\n\nIt is"),
        (QWEN_3, {"content": "It is"}, "<|im_start|>assistant\nIt is"),
        (
            QWEN_3,
            {"content": "It is", "reasoning_content": "Hm"},
            "<|im_start|>assistant\n<think>\nHm\n</think>\n\nIt is",
        ),
        (LLAMA_3, {"content": "It is"}, "<|start_header_id|>assistant<|end_header_id|>\n\nIt is"),
    ],
)
def test_an_answer_that_is_continued_is_behind_the_thoughts(
    template: Templates, name: str, added: dict[str, str], expected: str
) -> None:
    prompt = template(name).prompt([*PLAIN, {"role": "assistant"} | added])
    assert prompt.text.endswith(expected)
    assert not prompt.thinking
    header = template(name).prompt(PLAIN).text.removesuffix("<think>\n")
    assert prompt.text.startswith(header)


@pytest.mark.parametrize("arguments", ["oops", "", "[" * 100_000, '{"a":' * 50_000])
def test_a_call_s_arguments_that_are_no_json_are_passed_on_as_they_are(template: Templates, arguments: str) -> None:
    function = {"name": "get_weather", "arguments": arguments}
    call = {"id": "call_1", "type": "function", "function": function}
    broken = [CALLED[0], CALLED[1] | {"tool_calls": [call]}, CALLED[2]]
    assert f'"arguments": {arguments}}}' in template(QWEN_3).render(broken)


@pytest.mark.parametrize(
    "expression", ["1 / 0", "messages[0].content.x.y", "'' ~ range(10 ** 9)", "nothing()", "[][1].a"]
)
def test_whatever_goes_wrong_in_a_template_is_told_in_a_sentence(templated: WithTemplate, expression: str) -> None:
    with pytest.raises(TemplateError, match=r"refuses these messages: ."):
        templated.given(f"{{{{ {expression} }}}}").render(PLAIN)
