"""Tools of the official server, in both generations of the protocol."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from lambda_llm.agent.errors import AgentDefinitionError, ToolError
from lambda_llm.agent.tools.mcp import Allowed, McpSource
from lambda_llm.agent.tools.mcp_auth import ClientCredentials
from lambda_llm.agent.tools.tool import Answer, Effects, ToolSource
from scripts import ROOT
from support.mcp_servers import GENERATIONS, KEY, PNG, Generation, Official, context, serving_official

ALLOW = {
    "weather___get_weather": Allowed(Effects.NONE, seconds=7, turn="weather"),
    "say": Allowed(Effects.IDEMPOTENT, description="Says it."),
    "show": Allowed(),
    "fail": Allowed(),
    "sleep": Allowed(seconds=1),
    "book": Allowed(Effects.IDEMPOTENT, approval=True),
    "sign_in": Allowed(),
}


@pytest.fixture(scope="module")
def running() -> Iterator[Official]:
    with serving_official() as seen:
        yield seen


@pytest.fixture
def server(running: Official) -> Official:
    running.forget()
    return running


@pytest.fixture(params=GENERATIONS)
def generation(request: pytest.FixtureRequest) -> Generation:
    found: Generation = request.param
    return found


def source(server: Official, generation: Any = "auto", **allow: Allowed) -> McpSource:
    return McpSource("weather", server.url, ALLOW | allow, protocol=generation)


def test_the_client_is_imported_when_a_server_is_called_and_not_before() -> None:
    code = (
        "import sys; from lambda_llm.agent.tools.mcp import Allowed, McpSource;"
        "McpSource('a', 'https://example.com/mcp', {'t': Allowed()});"
        "print([name for name in sys.modules if name.partition('.')[0] in {'mcp', 'mcp_types'}])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("protocol", ["auto", *GENERATIONS])
def test_what_is_allowed_is_described_as_it_is_configured(server: Official, protocol: str) -> None:
    tools: ToolSource = source(server, protocol)
    described = {tool.name: tool for tool in tools.describe()}
    assert list(described) == ["get_weather", "say", "show", "fail", "sleep", "book", "sign_in"]
    weather = described["get_weather"]
    assert weather.description == "Weather of a city."
    assert weather.parameters["properties"]["city"]["type"] == "string"
    assert (weather.effects, weather.approval, weather.seconds, weather.turn) == (Effects.NONE, False, 7, "weather")
    assert described["say"].description == "Says it."
    assert described["show"].effects is Effects.ONCE
    assert described["book"].approval


def test_what_is_not_allowed_can_not_be_called(server: Official) -> None:
    tools = McpSource("weather", server.url, {"say": Allowed()})
    assert [tool.name for tool in tools.describe()] == ["say"]
    for name in ("get_weather", "weather___get_weather", "show", ""):
        with pytest.raises(ToolError, match="There is no tool"):
            tools.call(name, {}, context())


def test_what_the_server_does_not_have_is_one_sentence(server: Official) -> None:
    with pytest.raises(AgentDefinitionError) as caught:
        source(server, get_weather=Allowed(), forecast=Allowed()).describe()
    assert str(caught.value) == (
        "The tool server 'weather' has no tool 'get_weather', 'forecast', which the agent is allowed: "
        "take its full name, with the target's in front at a gateway."
    )


def test_a_call_and_its_key(server: Official, generation: Generation) -> None:
    found = source(server, generation).call("get_weather", {"city": "Paris"}, context())
    assert (found.status, found.content) == ("ok", {"city": "Paris", "degrees": 21})
    assert server.keys == [KEY]


def test_a_server_that_answers_with_json() -> None:
    with serving_official(json_response=True) as server:
        for protocol in ("auto", *GENERATIONS):
            assert source(server, protocol).call("say", {"text": "a"}, context()).content == "a"


def test_text_pictures_and_links(server: Official, generation: Generation) -> None:
    told = context()
    tools = source(server, generation)
    assert tools.call("say", {"text": "ab", "times": 2}, told).content == "abab"
    found = tools.call("show", {}, told)
    (picture,) = found.references
    assert found.content == {
        "parts": [
            {"type": "text", "text": "a chart"},
            {"type": "image", "reference": picture.to_json()},
            {"type": "resource_link", "uri": "file:///chart", "name": "chart"},
        ]
    }
    assert picture.type == "image/png"
    assert told.store.get(picture, 1_000) == PNG


def test_a_failing_tool_says_so(server: Official, generation: Generation) -> None:
    found = source(server, generation).call("fail", {}, context())
    assert (found.status, found.content) == ("error", "Error executing tool fail")


def test_a_tool_that_takes_too_long_is_cancelled_at_the_server(server: Official, generation: Generation) -> None:
    with pytest.raises(ToolError, match="did not answer within 1 seconds") as caught:
        source(server, generation).call("sleep", {}, context(30))
    assert caught.value.unknown
    assert server.began.is_set()
    assert server.cancelled.wait(10)


def test_calls_run_beside_each_other(server: Official) -> None:
    tools, found = source(server), []
    threads = [
        threading.Thread(target=lambda text=text: found.append(tools.call("say", {"text": text}, context()).content))
        for text in "abcd"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ["a", "b", "c", "d"]


# -- Questions -----------------------------------------------------------------------------------------


def test_a_question_and_its_answer(server: Official, generation: Generation) -> None:
    tools = source(server, generation)
    found = tools.call("book", {}, context())
    assert found.status == "question"
    assert found.question is not None
    assert found.question.text == "The tool server 'weather' asks: Which seat?"
    assert found.question.schema is not None
    assert found.question.schema["required"] == ["seat"]
    assert server.booked == []
    answer = Answer("accept", {"seat": "4A"}, found.question.state)
    assert tools.call("book", {}, context(answer=answer)).content == {"booked": "4A"}
    assert server.booked == ["4A"]


@pytest.mark.parametrize("action", ["decline", "cancel"])
def test_an_answer_that_is_no(server: Official, generation: Generation, action: Any) -> None:
    tools = source(server, generation)
    found = tools.call("book", {}, context())
    assert found.question is not None
    answer = Answer(action, None, found.question.state)
    assert tools.call("book", {}, context(answer=answer)).content == {"booked": "nothing"}
    assert server.booked == []


def test_a_once_only_tool_of_the_newer_protocol_may_ask(server: Official) -> None:
    assert source(server, "2026-07-28", book=Allowed()).call("book", {}, context()).status == "question"


def test_a_once_only_tool_of_the_older_protocol_is_told_that_nobody_answers(server: Official) -> None:
    found = source(server, "legacy", book=Allowed(Effects.ONCE)).call("book", {}, context())
    assert found.status == "ok"
    assert found.content["result"] == {"booked": "nothing"}
    assert "it was told 'cancel'" in found.content["note"]
    assert server.booked == []


def test_a_page_that_is_wanted_first(server: Official) -> None:
    tools = source(server, "legacy")
    found = tools.call("sign_in", {}, context())
    assert found.question is not None
    assert "at the host login.example.com;" in found.question.text
    assert found.question.text.endswith(": https://login.example.com/start")
    declined = context(answer=Answer("decline", None, found.question.state))
    with pytest.raises(ToolError, match="the human's answer was 'decline'"):
        tools.call("sign_in", {}, declined)
    accepted = context(answer=Answer("accept", None, found.question.state))
    assert tools.call("sign_in", {}, accepted).content == {"signed_in": True}


# -- Configuration -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "url", "allow", "sentence"),
    [
        ("Weather", "https://example.com/mcp", {"t": Allowed()}, "needs a name of 1 to 32"),
        ("a" * 33, "https://example.com/mcp", {"t": Allowed()}, "needs a name of 1 to 32"),
        ("a", "https://example.com/mcp", {}, "allows no tool"),
        ("a", "https://example.com/mcp", {"t\n": Allowed()}, "names are printable"),
        ("a", "https://example.com/mcp", {"t" * 257: Allowed()}, "names are printable"),
        ("a", "http://example.com/mcp", {"t": Allowed()}, "must begin with https://"),
        ("a", "http://127.0.0.1.example.com/mcp", {"t": Allowed()}, "must begin with https://"),
        ("a", "ftp://example.com/mcp", {"t": Allowed()}, "must begin with https://"),
        ("a", "https://user:secret@example.com/mcp", {"t": Allowed()}, "no user"),
        ("a", "example.com/mcp", {"t": Allowed()}, "must have a host"),
        ("a", "https://exa mple.com:x/", {"t": Allowed()}, "is no URL"),
    ],
)
def test_a_configuration_that_can_not_be(name: str, url: str, allow: dict[str, Allowed], sentence: str) -> None:
    with pytest.raises(AgentDefinitionError, match=sentence) as caught:
        McpSource(name, url, allow)
    assert "secret" not in str(caught.value)


def test_the_snippets_of_the_documentation_are_true() -> None:
    found: dict[str, Any] = {}
    for snippet in re.findall(r"```python\n(.*?)```", (ROOT / "docs/agents-tools.md").read_text(), re.DOTALL):
        exec(snippet, found)  # noqa: S102 - ours
    assert found["weather"].name == "weather"
    assert isinstance(found["auth"], ClientCredentials)
