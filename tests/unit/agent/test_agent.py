"""Agents as people write them, and the sentences for those that can't work."""

import json
from pathlib import Path
from typing import Any

import pytest

from lambda_llm.agent.agent import Agent, known
from lambda_llm.agent.definition import find
from lambda_llm.agent.errors import AgentDefinitionError
from lambda_llm.agent.inference import body
from lambda_llm.agent.tools.functions import tool
from lambda_llm.agent.tools.human import ask_human, wait
from lambda_llm.agent.tools.tool import Effects, Outcome, ToolDescription


@tool("none")
def look(city: str, days: int = 1) -> dict[str, Any]:
    """Look at a city."""
    return {"city": city, "days": days}


class Source:
    def __init__(self, name: str, *names: str, seconds: float = 60) -> None:
        self.name, self._names, self._seconds = name, names, seconds

    def describe(self) -> tuple[ToolDescription, ...]:
        return tuple(ToolDescription(name, "Acts.", {"type": "object"}, seconds=self._seconds) for name in self._names)

    def call(self, name: str, _arguments: Any, _context: Any) -> Outcome:
        return Outcome("ok", name)


def test_its_tools_are_known_by_name() -> None:
    agent = Agent("You act.", "demo", (look, ask_human(), wait(), Source("web", "search")))
    described = {source.name: source.describe() for source in agent.sources}
    tools = known(agent, described | {"human": agent.suspending})
    assert {name: one.source for name, one in tools.items()} == {
        "look": "functions",
        "ask_human": "human",
        "wait": "human",
        "search": "web",
    }


def test_two_sources_may_have_a_tool_of_one_name() -> None:
    agent = Agent("You act.", "demo")
    tools = known(agent, {"web": Source("web", "look").describe(), "functions": (look.description,)})
    assert {name: (one.source, one.name, one.tool.name) for name, one in tools.items()} == {
        "functions_look": ("functions", "look", "functions_look"),
        "web_look": ("web", "look", "web_look"),
    }


def test_a_model_is_shown_no_more_of_a_schema_than_it_needs() -> None:
    tools = known(Agent("You act.", "demo"), {"functions": (look.description,)})
    (shown,) = body(Agent("You act.", "demo"), tools, [])["tools"]
    assert json.dumps(shown["function"]["parameters"]) == (
        '{"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "default": 1}}, '
        '"required": ["city"]}'
    )


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"instructions": "  "}, "needs instructions"),
        ({"model": ""}, "needs instructions and the name of a model"),
        ({"options": {"messages": []}}, "which the loop sets itself"),
        ({"denial": "maybe"}, "set it to end or continue"),
        ({"max_tokens": 0}, "from 1 to"),
        ({"answer_seconds": 10**9}, "from 1 to 31,622,400"),
        ({"history_bytes": 10**6}, "from 1 to 524,288"),
        ({"tools": (Source("Web"),)}, "needs another name"),
        ({"tools": (Source("human"),)}, "needs another name"),
        ({"tools": (Source("web"), Source("web"))}, "needs another name"),
        ({"tools": (look, look)}, "'functions' calls a tool 'look'"),
        ({"tools": (wait(), wait())}, "'human' calls a tool 'wait'"),
        ({"tools": (ToolDescription("x", "X.", {}),)}, "can't be called"),
        ({"tools": tuple(Source(f"s{number}") for number in range(17))}, "at most 16 sources"),
    ],
    ids=lambda one: str(one)[:40],
)
def test_one_that_can_t_work(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(AgentDefinitionError, match=why):
        Agent(**({"instructions": "You act.", "model": "demo"} | changes))


def test_servers_may_list_what_an_agent_can_t_have() -> None:
    agent = Agent("You act.", "demo")
    for source, why in (
        (Source("web", "a b"), "its names must match"),
        (Source("web", "slow", seconds=601), "at most 600 seconds"),
        (Source("web", *(f"t{number}" for number in range(129))), "129 tools"),
    ):
        with pytest.raises(AgentDefinitionError, match=why):
            known(agent, {"web": source.describe()})


FILE = """
from lambda_llm.agent.agent import Agent
agent = Agent("You act.", "demo")
other = Agent("You act.", "other")
number = 7
"""


def test_it_is_found_in_a_file_and_in_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "found_agent.py"
    path.write_text(FILE)
    assert find(str(path)).model == "demo"
    assert find(f"{path}:other").model == "other"
    monkeypatch.syspath_prepend(tmp_path)
    assert find("found_agent:other").model == "other"


@pytest.mark.parametrize(
    ("where", "text", "why"),
    [
        ("gone.py", None, "is no file"),
        ("a1.py:number", FILE, "has no Agent named number"),
        ("a2.py", "import nothing_like_it", "can't be imported"),
        ("a3.py", "1 +", "SyntaxError"),
        ("a4.py", 'from lambda_llm.agent.agent import Agent\nAgent("", "")', "needs instructions"),
        ("no_such_module_here", None, "can't be imported"),
    ],
)
def test_one_that_is_not_there(tmp_path: Path, where: str, text: str | None, why: str) -> None:
    path = tmp_path / where.partition(":")[0]
    if text is not None:
        path.write_text(text)
    with pytest.raises(AgentDefinitionError, match=why):
        find(str(tmp_path / where) if ".py" in where else where)


def test_effects_are_the_configuration_s() -> None:
    assert look.description.effects is Effects.NONE
    with pytest.raises(AgentDefinitionError, match="set effects to none, idempotent or once"):
        tool("maybe")(lambda: None)
