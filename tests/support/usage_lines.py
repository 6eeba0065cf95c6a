"""Lines of functions that were called together, as `emf` makes them."""

from datetime import UTC, datetime
from typing import Any

from lambda_llm.telemetry import emf
from lambda_llm.telemetry.context import correlated
from lambda_llm.telemetry.lines import AGENT_EXECUTION, BATCH_PART, INFERENCE_REQUEST, ROUTER_REQUEST, Line

NOW = datetime(2026, 11, 26, 23, 59, tzinfo=UTC).timestamp()
DAY = 86_400.0


def line(kind: Line, request: str, day: int = 0, **values: Any) -> dict[str, Any]:
    """A line of a request, some days after 2026-11-26."""
    with correlated(request_id=request):
        return emf.line(kind, NOW + day * DAY, **values)


def of_router(request: str, kind: str, dollars: float, tenant: str = "acme", **values: Any) -> dict[str, Any]:
    """The router's."""
    given = {"model": "chat", "backend": "b", "InputTokens": 100, "OutputTokens": 10, "Errors": 0, **values}
    return line(ROUTER_REQUEST, request, tenant=tenant, backend_kind=kind, Dollars=dollars, **given)


def of_function(request: str, dollars: float, **values: Any) -> dict[str, Any]:
    """The model's function's."""
    given = {"model": "llama", "InputTokens": 90, "OutputTokens": 9, "Errors": 0, **values}
    return line(INFERENCE_REQUEST, request, Dollars=dollars, **given)


def of_part(batch: str, kind: str, dollars: float, records: int, **values: Any) -> dict[str, Any]:
    """A batch worker's."""
    given = {"model": "chat", "tenant": "acme", "InputTokens": 50, "OutputTokens": 5, "RecordErrors": 0, **values}
    return line(BATCH_PART, "", batch=batch, backend_kind=kind, Dollars=dollars, Records=records, **given)


def of_agent(tenant: str, dollars: float, day: int = 0) -> dict[str, Any]:
    """The end of an agent's execution."""
    return line(AGENT_EXECUTION, "", day, tenant=tenant, Dollars=dollars, Errors=0, Steps=7)
