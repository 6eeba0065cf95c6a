"""Finds an agent that somebody wrote: in a module, or in a file."""

import importlib
import importlib.util
import sys
from pathlib import Path

from lambda_llm.agent.agent import Agent
from lambda_llm.agent.errors import AgentDefinitionError
from lambda_llm.errors import LambdaLLMError

NAME = "agent"
"""Of the variable, where none is named."""


def find(where: str) -> Agent:
    """The agent at `MODULE`, `MODULE:NAME`, `FILE.py` or `FILE.py:NAME`; the name is `agent` by default.

    Raises:
        AgentDefinitionError: there is none, or its module can't be imported.
    """
    place, _, name = where.partition(":")
    try:
        module = _from_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except LambdaLLMError:
        raise  # its sentence says what is wrong with the agent
    except Exception as error:
        raise AgentDefinitionError(
            f"The agent's module {place} can't be imported ({type(error).__name__}: {error}): correct it, or name "
            "another one, as MODULE:NAME."
        ) from error
    agent = getattr(module, name or NAME, None)
    if not isinstance(agent, Agent):
        raise AgentDefinitionError(f"{place} has no Agent named {name or NAME}: write MODULE:NAME.")
    return agent


def _from_file(path: Path) -> object:
    if not path.is_file():
        raise AgentDefinitionError(f"{path} is no file: name one that has an Agent, as FILE.py:NAME.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise AgentDefinitionError(f"{path} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # annotations are looked up in it
    spec.loader.exec_module(module)
    return module
