"""The agent's function: `handle` runs an execution, or a part of one, each time that it is invoked.

Lambda invokes it again when what it waits for has come: an answer of the model, a human's decision, the end of a wait.
Tasks, answers and results of tools are never logged.
"""

from lambda_llm.agent.definition import find
from lambda_llm.agent.durable import Surroundings, handler
from lambda_llm.agent.settings import AgentSettings
from lambda_llm.agent.store import S3Store
from lambda_llm.telemetry import emf, logs, process, spans
from lambda_llm.telemetry.lines import AGENT_INIT

logs.configure()
spans.configure("agent")

_settings = AgentSettings.load()

handle = handler(
    find(_settings.agent),
    Surroundings(store=lambda tenant: S3Store(_settings.state, tenant), function=_settings.inference, lines=True),
)
emf.write(AGENT_INIT, InitSeconds=process.seconds(), resident_bytes=process.resident_bytes())
