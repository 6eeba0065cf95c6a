"""The agent function's settings, read from environment variables."""

import os
from dataclasses import dataclass
from typing import Final, Self

from lambda_llm.agent.errors import AgentDefinitionError

AGENT: Final = "LAMBDA_LLM_AGENT"
INFERENCE: Final = "LAMBDA_LLM_AGENT_INFERENCE"
STATE: Final = "LAMBDA_LLM_STATE"


@dataclass(frozen=True)
class AgentSettings:
    """All settings.

    Attributes:
        agent: where the agent is: `module:name`, of a module at the top of the zip.
        inference: ARN of the alias of the inference function.
        state: `s3://bucket/prefix/` of documents and large results.
    """

    agent: str
    inference: str
    state: str

    @classmethod
    def load(cls) -> Self:
        """Read the environment; raises AgentDefinitionError if a variable is missing."""
        return cls(
            agent=_text(AGENT, "where the agent is, as MODULE:NAME"),
            inference=_text(INFERENCE, "the ARN of an inference function's alias"),
            state=_text(STATE, "the prefix of the state, as s3://BUCKET/PREFIX/"),
        )


def _text(name: str, meaning: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise AgentDefinitionError(f"{name} is not set: set it to {meaning}.")
    return value
