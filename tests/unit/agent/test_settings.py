"""Settings of the agent's function."""

import pytest

from lambda_llm.agent.errors import AgentDefinitionError
from lambda_llm.agent.settings import AGENT, INFERENCE, STATE, AgentSettings


def test_all_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (AGENT, INFERENCE, STATE):
        monkeypatch.delenv(name, raising=False)
    for name in (AGENT, INFERENCE, STATE):
        with pytest.raises(AgentDefinitionError, match=f"{name} is not set: set it to"):
            AgentSettings.load()
        monkeypatch.setenv(name, f"value of {name}")
    assert AgentSettings.load() == AgentSettings(*(f"value of {name}" for name in (AGENT, INFERENCE, STATE)))
