"""Every line that the functions write for figures: what it is about, what it counts, and what it says beside.

The one home of these names. `emf` writes no other, `modules/observability` draws and alarms on them, `lambda-llm usage`
adds them up, and docs/observability.md has them as tables.

A metric is billed for each combination of its dimensions, about $0.30 a month. So there are few of either, and whatever
has many values is a field, which costs what a log costs: tenant, application, request, version, environment.
Source: https://aws.amazon.com/cloudwatch/pricing/
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

NAMESPACE: Final = "LambdaLLM"
"""Of the metrics in CloudWatch."""


OWN: Final = "lambda"
"""`backend_kind` of our functions, which write lines of their own: what they took is in those."""


class Plane(StrEnum):
    """What money is spent on: finding who answers, answering, and running what an answer asks for."""

    ORCHESTRATION = "orchestration"
    INFERENCE = "inference"
    EXECUTION = "execution"


class Unit(StrEnum):
    """As CloudWatch spells them.

    Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html
    """

    COUNT = "Count"
    PER_SECOND = "Count/Second"
    SECONDS = "Seconds"
    PERCENT = "Percent"
    NONE = "None"


@dataclass(frozen=True)
class Metric:
    """A number that CloudWatch keeps.

    Attributes:
        unit: of it.
        text: what it means.
    """

    unit: Unit
    text: str


METRICS: Final[Mapping[str, Metric]] = {
    "Errors": Metric(
        Unit.COUNT, "1 if the caller got an error of ours (5xx, a cut answer, a failed execution), else 0"
    ),
    "FirstTokenSeconds": Metric(Unit.SECONDS, "from the arrival of a request to its first token"),
    "DecodeRate": Metric(Unit.PER_SECOND, "tokens a second after the first one"),
    "InputTokens": Metric(Unit.COUNT, "of the prompt, cached ones included"),
    "CachedTokens": Metric(Unit.COUNT, "of the prompt that were not evaluated again: KV cache, or a backend's own"),
    "OutputTokens": Metric(Unit.COUNT, "of the answer, reasoning included"),
    "Restores": Metric(Unit.COUNT, "1 if the request is the first one behind a restore of the snapshot, else 0"),
    "Dollars": Metric(
        Unit.NONE, "US dollars that this took, by the price list; free tiers and discounts are not in it"
    ),
    "InitSeconds": Metric(Unit.SECONDS, "from the start of an init to a warm process"),
    "RestoreSeconds": Metric(Unit.SECONDS, "of our after-restore hook; Lambda's own part is in its REPORT line"),
    "Fallbacks": Metric(Unit.COUNT, "backends that failed or were left before the one that answered"),
    "BudgetUsed": Metric(Unit.PERCENT, "of the tenant's budget that is nearest to its end, the request included"),
    "ExecutionSeconds": Metric(Unit.SECONDS, "from the start of an agent's execution to its end, waits included"),
    "Steps": Metric(Unit.COUNT, "calls of models and tools in an execution"),
    "Records": Metric(Unit.COUNT, "of a batch that a worker ended, with an answer or an error"),
    "RecordErrors": Metric(Unit.COUNT, "those of them that ended with an error"),
    "UnusedVersions": Metric(Unit.COUNT, "published versions that no alias names, after a run of the pruner"),
}
"""By name."""

FIELDS: Final[Mapping[str, str]] = {
    # of every line
    "timestamp": "ISO 8601, UTC",
    "level": "INFO, or ERROR where Errors is 1",
    "event": "what kind of line it is",
    "service": "what kind of function wrote it",
    "plane": "what the money is spent on",
    "function": "the function's name",
    "function_version": "of the function",
    "environment": "random id of the environment that wrote it",
    "request_id": "of the request, the same in each function that it passes",
    "trace_id": "32 hex digits, as W3C and X-Ray have it",
    "lambda_request_id": "of the invocation, as Lambda's own lines have it",
    # of requests
    "status": "HTTP status, or how an execution, a call or a batch stands",
    "error": "kind of the error",
    "operation": "path of the request",
    "stream": "whether the answer came in pieces",
    "finish_reason": "why the answer ended; of several choices the last one's",
    "seconds": "from beginning to end",
    "queue_seconds": "that a request waited for those before it",
    "prefill_rate": "tokens of the prompt a second, without those from a cache",
    "restored_tokens": "of the prompt that came from the session store",
    "guessed_tokens": "evaluated before they were chosen",
    "accepted_tokens": "those of them that were chosen",
    "restored": "whether the environment came from a snapshot",
    "seconds_since_restore": "of the environment, or since its init",
    "cpu": "Graviton2, Graviton3, Graviton4, or what the CPU calls itself",
    "cpu_variant": "the CPU backend of llama.cpp",
    "model": "its name",
    "model_version": "version of the S3 object",
    "backend": "name of the backend that answered, or `lambda`",
    "backend_kind": "`lambda` for a function of ours; otherwise the backend's kind, as its configuration has it",
    "attempts": "backends that were asked, with what became of each",
    "tenant": "whose request it is",
    "own_dollars": "US dollars that this function's own time took, by the price list",
    "application": "what sent it: header X-Lambda-LLM-Application, or the role that signed",
    "budget_window": "of the budget that is nearest to its end: day, month, …",
    # memory, in bytes
    "weights_bytes": "the one copy of the weights",
    "kv_cache_bytes": "the KV cache",
    "compute_bytes": "llama.cpp's compute buffers",
    "prefix_bytes": "kept keys and values of prompts",
    "resident_bytes": "of the process",
    # of an init
    "download_seconds": "S3 to memory, verified",
    "open_seconds": "llama.cpp's loading of the weights",
    "warm_seconds": "evaluating the system prompts, and a few tokens",
    "warm_tokens": "in the KV cache of the snapshot",
    # of agents
    "execution": "ARN of the durable execution",
    "step": "name of the durable step",
    "tool": "name of the tool",
    "source": "where the tool is: mcp, sandbox, function, …",
    "model_calls": "of an execution",
    "tool_calls": "of an execution",
    # of batches
    "batch": "its id",
    "part": "number of the part",
    "records": "all of the batch",
    "completed": "with an answer",
    "failed": "with an error",
    # of the pruner
    "pruned": "versions that were deleted",
    "target": "function whose versions these are",
}
"""What a field means, by name."""

COMMON: Final = frozenset(
    {
        "timestamp",
        "level",
        "event",
        "service",
        "plane",
        "function",
        "function_version",
        "environment",
        "request_id",
        "trace_id",
        "lambda_request_id",
    }
)
"""Fields of every line, as far as they are known."""


@dataclass(frozen=True)
class Directive:
    """Metrics that CloudWatch keeps by the same dimensions.

    Attributes:
        dimensions: names of fields; one combination of their values is one metric.
        metrics: their names.
    """

    dimensions: tuple[str, ...]
    metrics: tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """A kind of line.

    Attributes:
        event: its name.
        service: what kind of function writes it.
        plane: what the money is spent on.
        directives: what CloudWatch keeps of it.
        fields: what it says beside `COMMON`, as far as it is known.
    """

    event: str
    service: str
    plane: Plane
    directives: tuple[Directive, ...]
    fields: frozenset[str]


_MEMORY: Final = frozenset({"weights_bytes", "kv_cache_bytes", "compute_bytes", "prefix_bytes", "resident_bytes"})
_MODEL: Final = frozenset({"model", "model_version", "cpu", "cpu_variant"})
_CALLER: Final = frozenset({"tenant", "application"})

INFERENCE_INIT: Final = Line(
    "init",
    "inference",
    Plane.INFERENCE,
    (Directive(("function",), ("InitSeconds",)),),
    _MODEL | _MEMORY | {"download_seconds", "open_seconds", "warm_seconds", "warm_tokens"},
)
INFERENCE_RESTORE: Final = Line(
    "restore",
    "inference",
    Plane.INFERENCE,
    (Directive(("function",), ("RestoreSeconds",)),),
    _MODEL | {"resident_bytes"},
)
INFERENCE_REQUEST: Final = Line(
    "request",
    "inference",
    Plane.INFERENCE,
    (
        Directive(
            ("function", "model"),
            (
                "Errors",
                "FirstTokenSeconds",
                "DecodeRate",
                "InputTokens",
                "CachedTokens",
                "OutputTokens",
                "Restores",
                "Dollars",
            ),
        ),
    ),
    _MODEL
    | _MEMORY
    | _CALLER
    | {
        "status",
        "error",
        "operation",
        "stream",
        "finish_reason",
        "seconds",
        "queue_seconds",
        "prefill_rate",
        "restored_tokens",
        "guessed_tokens",
        "accepted_tokens",
        "restored",
        "seconds_since_restore",
        "backend",
        "backend_kind",
    },
)
ROUTER_INIT: Final = Line(
    "init", "router", Plane.ORCHESTRATION, (Directive(("function",), ("InitSeconds",)),), frozenset({"resident_bytes"})
)
ROUTER_REQUEST: Final = Line(
    "request",
    "router",
    Plane.ORCHESTRATION,
    (
        Directive(
            ("function", "backend", "model"),
            (
                "Errors",
                "FirstTokenSeconds",
                "InputTokens",
                "CachedTokens",
                "OutputTokens",
                "Dollars",
                "Fallbacks",
            ),
        ),
        Directive(("function",), ("BudgetUsed",)),
    ),
    _CALLER
    | {
        "status",
        "error",
        "operation",
        "stream",
        "seconds",
        "model",
        "backend",
        "backend_kind",
        "attempts",
        "own_dollars",
        "budget_window",
    },
)
"""Its dollars are what the backend takes by the configuration's price; where none was asked, the backend is `none`."""

AGENT_INIT: Final = Line(
    "init", "agent", Plane.ORCHESTRATION, (Directive(("function",), ("InitSeconds",)),), frozenset({"resident_bytes"})
)
AGENT_MODEL_CALL: Final = Line(
    "model_call",
    "agent",
    Plane.ORCHESTRATION,
    (Directive(("function", "model"), ("Errors", "InputTokens", "OutputTokens")),),
    frozenset({"execution", "step", "status", "error", "seconds", "tenant", "model"}),
)
AGENT_TOOL_CALL: Final = Line(
    "tool_call",
    "agent",
    Plane.EXECUTION,
    (Directive(("function", "tool"), ("Errors",)),),
    frozenset({"execution", "step", "status", "error", "seconds", "tenant", "tool", "source"}),
)
AGENT_EXECUTION: Final = Line(
    "execution",
    "agent",
    Plane.ORCHESTRATION,
    (Directive(("function",), ("Errors", "ExecutionSeconds", "Steps", "Dollars")),),
    frozenset({"execution", "status", "error", "tenant", "model_calls", "tool_calls"}),
)
"""Written once, at the end; its dollars are the agent's own: durable operations and its invocations."""

BATCH_PART: Final = Line(
    "part",
    "batch",
    Plane.ORCHESTRATION,
    (Directive(("function", "model"), ("Records", "RecordErrors", "InputTokens", "OutputTokens", "Dollars")),),
    frozenset(
        {"batch", "part", "tenant", "model", "backend", "backend_kind", "status", "error", "seconds", "own_dollars"}
    ),
)
"""One for each invocation of a worker: one for each record would cost as much as the record. Its dollars are the
backend's."""

BATCH: Final = Line(
    "batch",
    "batch",
    Plane.ORCHESTRATION,
    (),
    frozenset(
        {"batch", "tenant", "model", "backend_kind", "status", "error", "records", "completed", "failed", "seconds"}
    ),
)
"""Each time that a batch changes how it stands: validated, indexed, ended."""

PRUNE: Final = Line(
    "prune",
    "pruner",
    Plane.INFERENCE,
    (Directive(("function", "target"), ("UnusedVersions",)),),
    frozenset({"target", "pruned"}),
)

LINES: Final = (
    INFERENCE_INIT,
    INFERENCE_RESTORE,
    INFERENCE_REQUEST,
    ROUTER_INIT,
    ROUTER_REQUEST,
    AGENT_INIT,
    AGENT_MODEL_CALL,
    AGENT_TOOL_CALL,
    AGENT_EXECUTION,
    BATCH_PART,
    BATCH,
    PRUNE,
)
"""All of them."""
