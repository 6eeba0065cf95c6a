"""No template loses what was said, in whatever form it takes conversations: real templates, and forms of their own."""

import json
import logging
from collections.abc import Sequence
from typing import Any

import pytest

from lambda_llm.engine import bounded_jinja
from lambda_llm.engine.errors import TemplateError
from lambda_llm.engine.tool_call_formats import hermes, llama
from support.answers import user
from support.templates import GEMMA_2, HERMES_TOOL_USE, LLAMA_3, NAMES, QWEN_3, QWQ, Templates, WithTemplate, source

Messages = Sequence[dict[str, Any]]

GATHERS_SYSTEMS = "it gathers all system messages at the beginning, as its maker wrote it"
ELSEWHERE = {
    "deepseek-ai-DeepSeek-V3.1": GATHERS_SYSTEMS,
    "deepseek-ai-DeepSeek-V3.2": GATHERS_SYSTEMS,
    "deepseek-ai-DeepSeek-V4": GATHERS_SYSTEMS,
    "deepseek-ai-DeepSeek-V4-Flash-0731": GATHERS_SYSTEMS,
    "tencent-Hy3": GATHERS_SYSTEMS,
    "upstage-Solar-Open-100B": GATHERS_SYSTEMS,
    "mistralai-Mistral-Nemo-Instruct-2407": "it writes the system message into the last turn of the user",
}
"""Templates in which system messages are not where they came, and why."""


def said(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": text}


def call(number: int, city: str) -> dict[str, Any]:
    function = {"name": f"weather_{number}", "arguments": json.dumps({f"city{number}": city})}
    return {"id": f"callnum0{number}", "type": "function", "function": function}


def calling(*calls: dict[str, Any], content: str | None = None) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


def result(number: int, text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": f"callnum0{number}", "content": text}


def tool(number: int) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {f"city{number}": {"type": "string"}}, "required": [f"city{number}"]}
    described = {"name": f"weather_{number}", "description": f"Tells sky {number}", "parameters": parameters}
    return {"type": "function", "function": described}


TALK = [user("Quokka one?"), said("assistant", "Answer alpha."), user("Quokka two?")]
SYSTEM = said("system", "Rule uno.")
ONE_CALL = [user("Quokka one?"), calling(call(1, "Oslo")), result(1, "Sunny there")]
TWO_CALLS = [
    *(user("Quokka one?"), calling(call(1, "Oslo"), call(2, "Rome"))),
    *(result(1, "Sunny there"), result(2, "Rainy here")),
]
AND_ON = [said("assistant", "Answer alpha."), user("Quokka two?")]

CONVERSATIONS: dict[str, tuple[Messages, Sequence[Any]]] = {
    "plain": (TALK[:1], ()),
    "system": ([SYSTEM, *TALK[:1]], ()),
    "two systems": ([SYSTEM, said("system", "Rule due."), *TALK[:1]], ()),
    "turns": (TALK, ()),
    "system and turns": ([SYSTEM, *TALK], ()),
    "developer in the middle": ([SYSTEM, *TALK[:2], said("developer", "Rule due."), TALK[2]], ()),
    "developer at the end": ([*TALK, said("developer", "Rule due.")], ()),
    "two users": ([SYSTEM, *TALK[:1], user("Quokka more?"), *TALK[1:]], ()),
    "tools": (TALK[:1], [tool(1), tool(2)]),
    "system, turns and tools": ([SYSTEM, *TALK], [tool(1)]),
    "call": (ONE_CALL, [tool(1)]),
    "call and on": ([SYSTEM, *ONE_CALL, *AND_ON], [tool(1)]),
    "call without tools": ([*ONE_CALL, *AND_ON], ()),
    "call with content": ([ONE_CALL[0], calling(call(1, "Oslo"), content="Let me see."), ONE_CALL[2]], [tool(1)]),
    "two calls": (TWO_CALLS, [tool(1), tool(2)]),
    "two calls and on": ([SYSTEM, *TWO_CALLS, *AND_ON], [tool(1), tool(2)]),
    "two calls with content": (
        [TWO_CALLS[0], TWO_CALLS[1] | {"content": "Let me see."}, *TWO_CALLS[2:], *AND_ON],
        [tool(1), tool(2)],
    ),
    "call after call": (
        [*ONE_CALL, calling(call(2, "Rome")), result(2, "Rainy here"), *AND_ON],
        [tool(1), tool(2)],
    ),
    "user instead of an answer": ([*ONE_CALL, user("Quokka two?")], [tool(1)]),
}


def texts(messages: Messages, *, systems: bool) -> list[str]:
    """Everything that was said, in order."""
    found = []
    for message in messages:
        if message["content"] and (message["role"] in {"system", "developer"}) == systems:
            found.append(message["content"])
        for each in () if systems else message.get("tool_calls", ()):
            ((key, city),) = json.loads(each["function"]["arguments"]).items()
            found += [each["function"]["name"], f'"{key}":', city]
    return found


def in_order(found: Sequence[str], text: str) -> bool:
    at = 0
    for each in found:
        at = text.find(each, at) + len(each)
        if at < len(each):
            return False
    return True


@pytest.mark.parametrize("case", CONVERSATIONS)
@pytest.mark.parametrize("name", NAMES)
def test_every_template_keeps_what_was_said(template: Templates, name: str, case: str) -> None:
    messages, tools = CONVERSATIONS[case]
    rendered = template(name).render(messages, tools)
    assert in_order(texts(messages, systems=False), rendered), rendered
    assert all(each in rendered for each in texts(messages, systems=True)), rendered
    for each in tools:
        wanted = each["function"]
        assert all(
            text in rendered for text in (wanted["name"], wanted["description"], *wanted["parameters"]["required"])
        )
    if name not in ELSEWHERE:
        both = [
            text
            for message in messages
            for text in texts([message], systems=message["role"] in {"system", "developer"})
        ]
        assert in_order(both, rendered), rendered


@pytest.mark.parametrize("name", ELSEWHERE)
def test_the_exceptions_are_exceptions(template: Templates, name: str) -> None:
    misplaced = 0
    for case in ("system and turns", "developer in the middle"):
        messages, _ = CONVERSATIONS[case]
        misplaced += not in_order([message["content"] for message in messages], template(name).render(messages))
    assert misplaced


# -- in which form ----------------------------------------------------------------------------------


def test_a_system_message_that_gemma_refuses_is_the_user_s(template: Templates) -> None:
    rendered = template(GEMMA_2).render([SYSTEM, *TALK])
    assert rendered == (
        "<bos><start_of_turn>user\nRule uno.\n\nQuokka one?<end_of_turn>\n<start_of_turn>model\nAnswer alpha."
        "<end_of_turn>\n<start_of_turn>user\nQuokka two?<end_of_turn>\n<start_of_turn>model\n"
    )
    with_tools = template(GEMMA_2).render([SYSTEM, *TALK], [tool(1)])
    assert with_tools.startswith("<bos><start_of_turn>user\nRule uno.\n\nYou can call these functions")
    assert with_tools.count("\n\nQuokka one?<end_of_turn>\n<start_of_turn>model\nAnswer alpha.") == 1


def test_a_late_system_message_that_is_refused_is_the_user_s(template: Templates) -> None:
    late = [SYSTEM, *TALK[:2], said("developer", "Rule due."), TALK[2]]
    assert "<|im_start|>user\nRule due.\n\nQuokka two?<|im_end|>" in template("Qwen3.5-4B").render(late)
    # Where it isn't, it stays what it is.
    assert "<|im_start|>system\nRule due.<|im_end|>\n<|im_start|>user\nQuokka two?" in template(QWEN_3).render(late)
    early = [SYSTEM, said("system", "Rule due."), user("Quokka one?")]
    assert "<|im_start|>system\nRule uno.\n\nRule due.<|im_end|>" in template("Qwen3.5-4B").render(early)


def test_qwq_reads_results_in_its_own_form(template: Templates) -> None:
    rendered = template(QWQ).render([*ONE_CALL, *AND_ON])
    assert (
        '<|im_start|>assistant\n<tool_call>\n{"name": "weather_1", "arguments": {"city1": "Oslo"}}\n</tool_call>'
        "<|im_end|>\n<|im_start|>user\n<tool_response>\nSunny there\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\nAnswer alpha.<|im_end|>\n"
    ) in rendered


def test_several_calls_are_text_where_the_template_refuses_them(template: Templates) -> None:
    rendered = template(LLAMA_3).render(TWO_CALLS)
    assert (
        '{"name": "weather_1", "parameters": {"city1": "Oslo"}}; {"name": "weather_2", "parameters": {"city2": "Rome"}}'
        '<|eot_id|><|start_header_id|>ipython<|end_header_id|>\n\n"Sunny there"<|eot_id|>'
    ) in rendered


IN_PARTS = (
    "{% for m in messages %}<{{ m.role }}>{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}"
    "{% endif %}{% endfor %}{{ '\n' }}{% endfor %}"
)
USER_IN_PARTS = (
    "{% for m in messages %}<{{ m.role }}>{% if m.role == 'user' %}{{ m.content[0].text }}{% else %}"
    "{{ m.content + '' }}{% endif %}{{ '\n' }}{% endfor %}"
)
ASSISTANT_IN_PARTS = USER_IN_PARTS.replace("'user'", "'assistant'")
BY_ROLE = "{% for m in messages %}{% if m.role in roles %}<{{ m.role }}>{{ m.content }}\n{% endif %}{% endfor %}"
NO_SYSTEM = BY_ROLE.replace("roles", "['user', 'assistant']")
LAST_SYSTEM = (
    "{% for m in messages if m.role == 'system' %}{% if loop.last %}<system>{{ m.content }}\n{% endif %}{% endfor %}"
    + NO_SYSTEM
)
ALTERNATING = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Alternate!') }}"
    "{% endif %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
)
SYSTEM_ONLY_ALONE = (
    "{% for m in messages if m.role != 'system' or messages | length == 2 %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
)
ALL = [SYSTEM, *TALK]
PLAIN_TEXT = "<system>Rule uno.\n<user>Quokka one?\n<assistant>Answer alpha.\n<user>Quokka two?\n"
FOLDED = "<user>Rule uno.\n\nQuokka one?\n<assistant>Answer alpha.\n<user>Quokka two?\n"


@pytest.mark.parametrize(
    ("jinja", "expected"),
    [
        (IN_PARTS, PLAIN_TEXT),
        (USER_IN_PARTS, PLAIN_TEXT),
        (ASSISTANT_IN_PARTS, PLAIN_TEXT),
        (NO_SYSTEM, FOLDED),
        (LAST_SYSTEM, PLAIN_TEXT),
        (ALTERNATING, FOLDED),
        (SYSTEM_ONLY_ALONE, FOLDED),
    ],
)
def test_a_template_is_given_what_it_reads(templated: WithTemplate, jinja: str, expected: str) -> None:
    assert templated.given(jinja).render(ALL) == expected


@pytest.mark.parametrize("jinja", [IN_PARTS, USER_IN_PARTS, NO_SYSTEM, ALTERNATING])
@pytest.mark.parametrize("messages", [ONE_CALL, TWO_CALLS, [*ONE_CALL, *AND_ON]])
def test_a_template_without_tools_reads_them_as_text(templated: WithTemplate, jinja: str, messages: Messages) -> None:
    rendered = templated.given(jinja).render(messages, [tool(1), tool(2)])
    assert in_order(texts(messages, systems=False), rendered)
    assert "<user><tool_response>\nSunny there\n</tool_response>" in rendered


def test_the_last_of_several_systems_is_not_the_only_one(templated: WithTemplate) -> None:
    made = templated.given(LAST_SYSTEM)
    assert (
        made.render([SYSTEM, said("system", "Rule due."), TALK[0]])
        == "<system>Rule uno.\n\nRule due.\n<user>Quokka one?\n"
    )


# -- what can't be rendered -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "jinja",
    [
        *("Hello", " ", "{% for m in messages %}<{{ m.role }}>{{ m.text }}{% endfor %}"),
        "{% for m in messages %}<{{ m.role }}>{{ m.content.split('\\n')[0] }}{% endfor %}",
    ],
)
def test_a_template_that_leaves_out_the_user_is_refused(templated: WithTemplate, jinja: str) -> None:
    with pytest.raises(
        TemplateError, match=r"^The model's chat template leaves out what the user says: fix .* model\.$"
    ):
        templated.given(jinja).render([user("Quokka one?")])


@pytest.mark.parametrize(
    "jinja",
    [
        *("{{ messages[0].content }}", BY_ROLE.replace("roles", "['user']")),
        "{% for m in messages[-3:] %}<{{ m.role }}>{{ m.content }}{% endfor %}",
    ],
)
def test_a_template_that_leaves_out_answers_is_refused_for_several_turns(templated: WithTemplate, jinja: str) -> None:
    made = templated.given(jinja)
    assert "Quokka one?" in made.render([user("Quokka one?")])
    assert in_order(["Rule uno.", "Quokka one?", "More"], made.render([SYSTEM, user("Quokka one?"), user("More")]))
    with pytest.raises(TemplateError, match="leaves out parts of a conversation of several turns: send only messages"):
        made.render(TALK)


def test_a_template_that_wants_a_system_message_is_given_it_as_it_is(templated: WithTemplate) -> None:
    made = templated.given(
        "{% if messages[0].role != 'system' %}{{ raise_exception('Rules!') }}{% endif %}"
        + IN_PARTS.replace("for part in m.content", "for part in [{'type': 'text', 'text': m.content}]")
    )
    assert made.render(ALL) == PLAIN_TEXT
    with pytest.raises(TemplateError, match="refuses these messages: Rules!"):
        made.render(TALK)


FOR_TOOLS = '{# <tool_call> "arguments": #}' + NO_SYSTEM


@pytest.mark.parametrize(
    "what",
    [
        "{{ raise_exception('no') }}",
        "{{ 1 / 0 }}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    ],
)
@pytest.mark.parametrize(
    "when", ["tools", "messages | selectattr('tool_calls', 'defined') | list", "messages[-1].role == 'tool'"]
)
def test_whatever_a_template_does_with_tools_a_model_starts(
    templated: WithTemplate, monkeypatch: pytest.MonkeyPatch, when: str, what: str
) -> None:
    monkeypatch.setattr(bounded_jinja, "SECONDS", 0.1)
    made = templated.given(f"{{% if {when} %}}{what}{{% endif %}}{FOR_TOOLS}")
    assert made.render(ALL) == FOLDED
    monkeypatch.undo()
    rendered = made.render([*ONE_CALL, *AND_ON], [tool(1)])
    assert in_order(texts([*ONE_CALL, *AND_ON], systems=False), rendered)
    assert made.tool_call_format is hermes.FORMAT


# -- two templates ----------------------------------------------------------------------------------


def test_conversations_with_tools_have_a_template_of_their_own(templated: WithTemplate, template: Templates) -> None:
    both = templated.given(source(LLAMA_3), source(HERMES_TOOL_USE))
    assert both.tool_call_format is hermes.FORMAT
    assert template(LLAMA_3).tool_call_format is llama.FORMAT
    for messages, tools in CONVERSATIONS.values():
        with_tools = bool(tools) or any(message["role"] == "tool" for message in messages)
        expected = template(HERMES_TOOL_USE if with_tools else LLAMA_3)
        assert both.render(messages, tools) == expected.render(messages, tools)


@pytest.mark.parametrize("broken", ["{% if %}", "Hello", "{{ raise_exception('no') }}", "{{ messages[0].content }}"])
def test_a_broken_template_for_tools_is_ignored(
    templated: WithTemplate, template: Templates, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    with caplog.at_level(logging.WARNING):
        both = templated.given(source(QWEN_3), broken)
    assert [record.getMessage()[:41] for record in caplog.records] == ["The GGUF's template tool_use is ignored: "[:41]]
    assert both.render(ONE_CALL, [tool(1)]) == template(QWEN_3).render(ONE_CALL, [tool(1)])
