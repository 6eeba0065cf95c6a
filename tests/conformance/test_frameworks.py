"""docs/frameworks.md: its programs, as they stand there, run by the frameworks' own environments against the server.

Nothing but the server is spoken to: whatever else a framework would reach goes to a proxy that must hear nothing.
"""

import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from scripts import ROOT
from scripts.models.demo_model.tools import WEATHER
from support.servers import Server

DOCUMENT: Final = (ROOT / "docs/frameworks.md").read_text(encoding="utf-8")
QUESTION: Final = "What is the weather in Paris?"
TOOL: Final = re.findall(r"^```python\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE)[0]
PROGRAMS: Final = dict(re.findall(r"^## (\S+) [\d.]+$.*?^```python\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE))

OPENAI_AGENTS = f"""
import asyncio
from agents import OpenAIProvider, RunConfig, Runner
from assistant import agent

async def main():
    for responses in (False, True):
        config = RunConfig(model_provider=OpenAIProvider(use_responses=responses))
        print((await Runner.run(agent, {QUESTION!r}, run_config=config)).final_output)
        streamed = Runner.run_streamed(agent, {QUESTION!r}, run_config=config)
        pieces = [
            event.data.delta async for event in streamed.stream_events()
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
        ]
        assert len(pieces) > 1
        print("".join(pieces))

asyncio.run(main())
"""

PYDANTIC_AI = f"""
import asyncio
from assistant import agent
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput

class Limit(BaseModel):
    "A limit."
    megabytes: int

async def main():
    print((await agent.run({QUESTION!r})).output)
    async with agent.run_stream({QUESTION!r}) as streamed:
        pieces = [piece async for piece in streamed.stream_text(delta=True, debounce_by=None)]
    assert len(pieces) > 1
    print("".join(pieces))
    reader = Agent(agent.model, output_type=NativeOutput(Limit), model_settings=agent.model_settings)
    print(type((await reader.run("How large can a response of a Lambda function be?")).output.megabytes).__name__)

asyncio.run(main())
"""

HARNESS = f"""
import json
from pathlib import Path
from aws_durable_execution_sdk_python_testing import DurableFunctionTestRunner
from pydantic_ai import Agent

def run(handler):
    with DurableFunctionTestRunner(handler) as runner:
        done = runner.run(json.dumps({{"question": {QUESTION!r}}}), execution_timeout=60)
    print(done.status.value, json.loads(done.result or "null"))
    print([f"{{each.operation_type.value}} {{each.name}}" for each in done.operations])

run(handler)

def get_weather(city: str) -> str:
    "Get the current weather of a city."
    with Path("effects").open("a") as effects:
        effects.write(city + " ")
    raise OSError("no answer")

failing = Agent(agent.model, name="failing", tools=[get_weather], model_settings=agent.model_settings)

@durable_execution
@durable_agent_handler
async def failing_handler(event, context):
    return (await failing.run(event["question"], capabilities=[AWSLambdaDurability()])).output

run(failing_handler)
print(Path("effects").read_text())
"""


@dataclass(frozen=True)
class Place:
    """Where a program runs."""

    folder: Path
    environment: dict[str, str]
    outside: socket.socket

    def run(self, environment: str, program: str, name: str = "program") -> list[str]:
        (self.folder / f"{name}.py").write_text(program, encoding="utf-8")
        done = subprocess.run(
            [ROOT / ".build" / environment / "bin" / "python", f"{name}.py"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        with pytest.raises(BlockingIOError):
            self.outside.accept()
        return [line for line in done.stdout.splitlines() if line]


@pytest.fixture
def place(demo_server: Server, tmp_path: Path) -> Iterator[Place]:
    with socket.create_server(("127.0.0.1", 0)) as outside:
        outside.settimeout(0)
        proxy = f"http://127.0.0.1:{outside.getsockname()[1]}"
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "AWS_DEFAULT_REGION": "eu-central-1",
            "OPENAI_BASE_URL": f"{demo_server.url}/v1",
            "OPENAI_API_KEY": "unused",
            "HTTP_PROXY": proxy,
            "HTTPS_PROXY": proxy,
            "NO_PROXY": "127.0.0.1",
        }
        (tmp_path / "weather.py").write_text(TOOL, encoding="utf-8")
        yield Place(tmp_path, environment, outside)


def told(place: Place, degrees: int) -> str:
    """What the tool tells, and so what the answer must be."""
    (place.folder / "weather.json").write_text(json.dumps({"Paris": degrees}), encoding="utf-8")
    return f"It is {degrees} degrees in Paris."


def test_the_page_tells_what_is_run() -> None:
    locked = "".join((ROOT / f"requirements/{name}.txt").read_text() for name in ("frameworks", "strands"))
    for title, version in re.findall(r"^## (\S+) ([\d.]+)$", DOCUMENT, re.MULTILINE):
        package = {"pydantic-ai": "pydantic-ai-slim", "strands": "strands-agents"}.get(title, title)
        assert f"\n{package}=={version} " in locked
    tool = WEATHER["function"]
    assert f"def {tool['name']}(city: str)" in TOOL
    assert f'"""{tool["description"]}"""' in TOOL


def test_openai_agents(place: Place) -> None:
    answer = told(place, 21)
    assert place.run("frameworks", PROGRAMS["openai-agents"], "assistant") == [answer]
    assert place.run("frameworks", OPENAI_AGENTS) == [answer] * 4


def test_pydantic_ai(place: Place) -> None:
    answer = told(place, 17)
    assert place.run("frameworks", PROGRAMS["pydantic-ai"], "assistant") == [answer]
    assert place.run("frameworks", PYDANTIC_AI) == [answer, answer, "int"]


def test_its_harness(place: Place) -> None:
    answer = told(place, 21)
    (place.folder / "assistant.py").write_text(PROGRAMS["pydantic-ai"], encoding="utf-8")
    whole, steps, failed, _, effects = place.run("frameworks", PROGRAMS["pydantic-ai-harness"] + HARNESS)
    assert whole == f"SUCCEEDED {answer}"
    model, tool = "STEP assistant__model.request", "STEP assistant__function_toolset__<agent>.call_tool:get_weather"
    assert steps == str([model, tool, model])
    assert failed == "FAILED None"
    assert effects.split() == ["Paris"] * 6
    assert "6 times in all" in DOCUMENT


def test_strands(place: Place) -> None:
    answer = told(place, 21)
    assert place.run("strands", PROGRAMS["strands"]) == [answer]
