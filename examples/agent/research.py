"""A research assistant: finds and reads a document, runs the numbers, asks a human, waits, and answers.

Settings, as environment variables of the agent's function:

- `RESEARCH_TOOLS`: address of the server with the documents, such as an AgentCore Gateway.
- `RESEARCH_CODE`: where code runs: `agentcore` (default), `local` (a laptop, isolated by bubblewrap), or `none`.
- `RESEARCH_INTERPRETER`: id of the AgentCore code interpreter; by default AWS's own.
- `RESEARCH_MODEL`: the model's name at the inference function.
"""

import os

from lambda_llm.agent.agent import Agent
from lambda_llm.agent.budget import Limits
from lambda_llm.agent.tools.code.agentcore import SYSTEM, AgentCoreBackend
from lambda_llm.agent.tools.code.local import LocalBackend
from lambda_llm.agent.tools.code.source import CodeSource
from lambda_llm.agent.tools.human import ask_human, wait
from lambda_llm.agent.tools.mcp import Allowed, McpSource
from lambda_llm.agent.tools.mcp_auth import SigV4
from lambda_llm.agent.tools.tool import Effects

TOOLS = os.environ.get("RESEARCH_TOOLS", "")


def documents() -> McpSource:
    """Two tools of the server, by their full names there; both only read."""
    return McpSource(
        "documents",
        TOOLS,
        {
            "documents___find_document": Allowed(Effects.NONE, description="Find the document about a topic."),
            "documents___read_document": Allowed(Effects.NONE, description="Read a document by its name."),
        },
        auth=None if TOOLS.startswith("http://127.0.0.1:") else SigV4(),
    )


def code() -> CodeSource:
    """Code that reads what the agent was given and nothing else: it may be run again."""
    local = os.environ.get("RESEARCH_CODE") == "local"
    backend = LocalBackend() if local else AgentCoreBackend(os.environ.get("RESEARCH_INTERPRETER", SYSTEM))
    return CodeSource(backend, effects=Effects.IDEMPOTENT, description="Run Python code and get its output.")


agent = Agent(
    "You are a research assistant.",
    os.environ.get("RESEARCH_MODEL", "lambda-llm-demo"),
    (
        *([documents()] if TOOLS else []),
        *([] if os.environ.get("RESEARCH_CODE") == "none" else [code()]),
        ask_human(),
        wait(),
    ),
    limits=Limits(turns=20, dollars=0.05, seconds=30 * 24 * 60 * 60),
    denial="continue",
    options={"temperature": 0},
)
