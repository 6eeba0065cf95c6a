"""Conversations rewritten: nothing is lost, and each text stays before what was said after it."""

from typing import Any

import pytest

from lambda_llm.engine.turns import folded, in_parts, merged, with_instructions
from support.answers import user


def system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


def assistant(text: str | None, **others: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **others}


CALLING = assistant(None, tool_calls=[{"id": "c"}])
RESULT = {"role": "tool", "tool_call_id": "c", "content": "r"}


@pytest.mark.parametrize(
    ("messages", "none", "first"),
    [
        ([system("a"), user("b")], [user("a\n\nb")], [system("a"), user("b")]),
        ([system("a"), system("b"), user("c")], [user("a\n\nb\n\nc")], [system("a\n\nb"), user("c")]),
        (
            [user("a"), assistant("b"), system("c"), user("d")],
            [user("a"), assistant("b"), user("c\n\nd")],
            [user("a"), assistant("b"), user("c\n\nd")],
        ),
        ([user("a"), system("b")], [user("a\n\nb")], [user("a\n\nb")]),
        ([user("a"), system("b"), assistant("c")], [user("a\n\nb"), assistant("c")], [user("a\n\nb"), assistant("c")]),
        ([system("a"), assistant("b")], [user("a"), assistant("b")], [system("a"), assistant("b")]),
        ([system("a")], [user("a")], [system("a")]),
        (
            # A call and its result stay together.
            [user("a"), CALLING, system("b"), RESULT, user("c")],
            [user("a"), CALLING, RESULT, user("b\n\nc")],
            [user("a"), CALLING, RESULT, user("b\n\nc")],
        ),
        (
            [user("a"), CALLING, RESULT, system("b"), assistant("c")],
            [user("a"), CALLING, RESULT, user("b"), assistant("c")],
            [user("a"), CALLING, RESULT, user("b"), assistant("c")],
        ),
        ([system(""), user("a")], [user("a")], [system(""), user("a")]),
    ],
)
def test_a_system_message_goes_into_the_user_s_turn_that_follows(messages: Any, none: Any, first: Any) -> None:
    assert folded(messages, first=False) == none
    assert folded(messages, first=True) == first


@pytest.mark.parametrize(
    ("messages", "roles", "expected"),
    [
        ([user("a"), user("b"), user("c")], {"user"}, [user("a\n\nb\n\nc")]),
        ([user("a"), user("b")], {"assistant"}, [user("a"), user("b")]),
        ([assistant("a"), assistant("b"), user("c")], {"user", "assistant"}, [assistant("a\n\nb"), user("c")]),
        ([assistant("a"), CALLING], {"assistant"}, [assistant("a", tool_calls=[{"id": "c"}])]),
        ([CALLING, assistant("a")], {"assistant"}, [CALLING, assistant("a")]),
        ([CALLING, RESULT, RESULT], {"user", "assistant"}, [CALLING, RESULT, RESULT]),
    ],
)
def test_messages_of_one_role_are_merged(messages: Any, roles: set[str], expected: Any) -> None:
    assert merged(messages, roles) == expected


def test_content_becomes_parts() -> None:
    assert in_parts(user("a")) == {"role": "user", "content": [{"type": "text", "text": "a"}]}
    assert in_parts(assistant("")) == {"role": "assistant", "content": []}
    assert in_parts(CALLING) == CALLING


def test_instructions_go_into_the_system_message() -> None:
    assert with_instructions([system("a"), user("b")], "x") == [system("a\n\nx"), user("b")]
    assert with_instructions([user("b")], "x") == [system("x"), user("b")]
