"""An execution as people read it: one timeline of what it thought, did, asked and waited for, and what that cost.

It is made from what Lambda says of an execution (`GetDurableExecution`, `GetDurableExecutionHistory`), real or local.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from lambda_llm.agent import inference
from lambda_llm.agent.budget import MEMORY_MB
from lambda_llm.agent.inference import Thought
from lambda_llm.cost import prices

TEXT_CHARACTERS: Final = 300
"""Most characters of an entry's text."""

RUNNING: Final = frozenset({"RUNNING", "PAUSING", "PAUSED"})
_KINDS: Final = {"think": "think", "act": "tool", "ask": "ask", "wait": "wait", "pause": "wait", "compact": "compact"}
_SUSPENDING: Final = ("ChainedInvoke", "Wait", "Callback")
_ENDS: Final = ("Succeeded", "Failed", "TimedOut", "Stopped", "Cancelled")


@dataclass(frozen=True)
class Entry:
    """One operation.

    Attributes:
        name: of the operation: `think-3`.
        kind: `begin`, `think`, `tool`, `ask`, `wait`, `compact`, or `rest`: a sandbox was told to sleep or to end.
        began, ended: in UTC; `ended` is None while it lasts.
        status: `running`, `ok`, `error`, `unknown`, `failed`, `approved`, `denied`, `timed out`, …
        text: what it was about, shortened.
        tokens: of prompt and answer.
        bytes: that it wrote.
        by: who answered, as the answer says.
        callback: id with which an open question is answered.
    """

    name: str
    kind: str
    began: datetime
    ended: datetime | None = None
    status: str = "running"
    text: str = ""
    tokens: int = 0
    bytes: int = 0
    by: str = ""
    callback: str = ""

    @property
    def seconds(self) -> float:
        """How long it took, or has taken until its end is known."""
        return ((self.ended or self.began) - self.began).total_seconds()


@dataclass(frozen=True)
class Timeline:
    """An execution.

    Attributes:
        arn, name, function: of it.
        status: the agent's own (`answered`, `limit:turns`, …) once it ended, otherwise Lambda's (`RUNNING`, `FAILED`).
        answer: the agent's answer, or why there is none.
        began, ended: in UTC.
        entries: in the order in which they began.
        operations: of the durable service.
        bytes: written.
        tokens: of all requests.
        invocations: of the orchestrator.
        billed_seconds: that the orchestrator ran.
        suspended_seconds: that it waited for free.
        dollars: estimate at us-east-1's prices: operations, bytes, and both functions' time.
    """

    arn: str
    name: str
    function: str
    status: str
    answer: str
    began: datetime
    ended: datetime | None
    entries: tuple[Entry, ...]
    operations: int
    bytes: int
    tokens: int
    invocations: int
    billed_seconds: float
    suspended_seconds: float
    dollars: float

    @property
    def questions(self) -> tuple[Entry, ...]:
        """Open questions to humans."""
        return tuple(one for one in self.entries if one.kind == "ask" and one.status == "running" and one.callback)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; times in ISO 8601."""
        return {
            "arn": self.arn,
            "name": self.name,
            "function": self.function,
            "status": self.status,
            "answer": self.answer,
            "began": self.began.isoformat(),
            "ended": self.ended and self.ended.isoformat(),
            "operations": self.operations,
            "bytes": self.bytes,
            "tokens": self.tokens,
            "invocations": self.invocations,
            "billed_seconds": round(self.billed_seconds, 3),
            "suspended_seconds": round(self.suspended_seconds, 3),
            "dollars": round(self.dollars, 6),
            "entries": [
                {
                    "name": one.name,
                    "kind": one.kind,
                    "began": one.began.isoformat(),
                    "seconds": round(one.seconds, 3),
                    "status": one.status,
                    "text": one.text,
                    "tokens": one.tokens,
                    "bytes": one.bytes,
                    "by": one.by,
                    "callback": one.callback,
                }
                for one in self.entries
            ],
        }


@dataclass
class _Reading:
    """What has been read so far."""

    entries: dict[str, Entry] = field(default_factory=dict)
    operations: set[str] = field(default_factory=set)
    bytes: int = 0
    tokens: int = 0
    inference_seconds: float = 0.0
    invocations: int = 0
    billed: float = 0.0
    woken: datetime | None = None
    """Since when the orchestrator may have run: the local service does not say when an invocation began."""


def timeline(execution: Mapping[str, Any], events: Iterable[Mapping[str, Any]]) -> Timeline:
    """The timeline of an execution.

    Args:
        execution: what `GetDurableExecution` returned.
        events: of `GetDurableExecutionHistory`, oldest first, with their data.
    """
    reading = _Reading()
    for event in events:
        _read(reading, event)
    began, ended = _utc(execution["StartTimestamp"]), execution.get("EndTimestamp")
    end = _utc(ended) if ended else None
    status, answer = _end(execution)
    latest = end or max((one.ended or one.began for one in reading.entries.values()), default=began)
    dollars = (
        prices.durable(len(reading.operations) + 1, reading.bytes)
        + prices.busy(reading.inference_seconds)
        + prices.busy(reading.billed, MEMORY_MB)
        + prices.REQUEST * reading.invocations
    )
    return Timeline(
        arn=execution["DurableExecutionArn"],
        name=execution.get("DurableExecutionName", ""),
        function=execution.get("FunctionArn", ""),
        status=status,
        answer=answer,
        began=began,
        ended=end,
        entries=tuple(sorted(reading.entries.values(), key=lambda one: one.began)),
        operations=len(reading.operations) + 1,
        bytes=reading.bytes,
        tokens=reading.tokens,
        invocations=reading.invocations,
        billed_seconds=reading.billed,
        suspended_seconds=max(0.0, (latest - began).total_seconds() - reading.billed),
        dollars=dollars,
    )


def _read(reading: _Reading, event: Mapping[str, Any]) -> None:
    kind, name, at = event["EventType"], event.get("Name") or "", _utc(event["EventTimestamp"])
    details = event.get(f"{kind}Details") or {}
    written = _payload(details.get("Input")) or _payload(details.get("Result"))
    reading.bytes += len(written.encode())
    if kind == "InvocationCompleted":
        reading.invocations += 1
        started = _utc(details["StartTimestamp"]) if details else reading.woken or at
        ended = _utc(details["EndTimestamp"]) if details else at
        reading.billed += max(0.0, (ended - started).total_seconds())
        reading.woken = ended
        return
    if kind == "ExecutionStarted" or (kind.startswith(_SUSPENDING) and kind.endswith(_ENDS)):
        reading.woken = max(reading.woken or at, at)
    if kind.startswith("Execution"):
        return
    reading.operations.add(event["Id"])
    if kind.startswith("Context"):
        return
    if name.endswith("-told"):
        _told(reading, name.removesuffix("-told"), written)
        return
    # The names of a loop's operations are its own; others' are shown as they are.
    kind_ = "rest" if name.endswith("-rest") or name == "close" else _KINDS.get(name.partition("-")[0], "begin")
    entry = reading.entries.get(event["Id"]) or Entry(name, kind_, at)
    entry = replace(
        entry, bytes=entry.bytes + len(written.encode()), callback=details.get("CallbackId") or entry.callback
    )
    if kind.endswith("Started"):
        reading.entries[event["Id"]] = replace(entry, began=at, text=entry.text or _about(kind, details))
        return
    if kind.endswith(_ENDS):
        reading.entries[event["Id"]] = _ended(reading, replace(entry, ended=at), kind, details, written)


def _about(kind: str, details: Mapping[str, Any]) -> str:
    return f"{details.get('Duration', 0):,} seconds" if kind == "WaitStarted" else ""


def _told(reading: _Reading, name: str, written: str) -> None:
    said = _object(written)
    for identity, entry in reading.entries.items():
        if entry.name == name and isinstance(said.get("question"), str):
            reading.entries[identity] = replace(entry, text=said["question"][:TEXT_CHARACTERS])


def _ended(reading: _Reading, entry: Entry, kind: str, details: Mapping[str, Any], written: str) -> Entry:
    good = kind.endswith("Succeeded")
    error = (details.get("Error") or {}).get("Payload") or {}
    if not good:
        words = {"TimedOut": "timed out", "Stopped": "stopped", "Cancelled": "stopped"}
        ending = next(end for end in _ENDS if kind.endswith(end))
        why = str(error.get("ErrorType") or "")[:TEXT_CHARACTERS]
        return replace(entry, status=words.get(ending, "failed"), text=entry.text or why)
    if entry.kind == "think":
        return _thought(reading, entry, written)
    return _made(entry, _object(written))


def _made(entry: Entry, said: Mapping[str, Any]) -> Entry:
    """A call, an answer or another step, by what it returned."""
    if entry.kind == "tool" and "outcome" in said:
        outcome = said["outcome"]
        content = json.dumps(outcome.get("content"), ensure_ascii=False)
        return replace(
            entry, status=outcome["status"], text=f"{said.get('tool', '')} {content}"[:TEXT_CHARACTERS].strip()
        )
    if entry.kind == "ask":
        approved = {"approve": "approved", "deny": "denied"}.get(str(said.get("action")), "denied")
        comment = str(said.get("comment") or "")
        text = f"{entry.text} - {comment}" if comment else entry.text
        return replace(entry, status=approved, by=str(said.get("by") or ""), text=text[:TEXT_CHARACTERS])
    return replace(entry, status="failed" if "broken" in said else "ok", text=entry.text or str(said.get("broken", "")))


def _thought(reading: _Reading, entry: Entry, written: str) -> Entry:
    step = _object(written)
    if "content" in step and "status" in step:  # a step that asked over HTTP
        outcome = inference.parse_body(step["status"], str(step["content"]).encode(), entry.name)
    else:
        outcome = inference.parse(written, entry.name)
    if not isinstance(outcome, Thought):
        return replace(entry, status="failed", text=outcome.why[:TEXT_CHARACTERS])
    reading.tokens += outcome.tokens
    reading.inference_seconds += outcome.seconds
    called = ", ".join(f"{call.name}({call.arguments})" for call in outcome.calls)
    return replace(entry, status="ok", tokens=outcome.tokens, text=(called or outcome.text)[:TEXT_CHARACTERS])


def _end(execution: Mapping[str, Any]) -> tuple[str, str]:
    """The agent's status and answer, or Lambda's."""
    result = _object(execution.get("Result") or "")
    if "status" in result:
        return str(result["status"]), str(result.get("answer") or result.get("why") or "")
    error = execution.get("Error") or {}
    return str(execution["Status"]), str(error.get("ErrorMessage") or "")[:TEXT_CHARACTERS]


def _payload(holder: Any) -> str:
    return str(holder.get("Payload") or "") if isinstance(holder, Mapping) else ""


def _object(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, Mapping) else {}


def _utc(at: Any) -> datetime:
    """A moment that botocore parsed, or seconds since 1970."""
    return at.astimezone(UTC) if isinstance(at, datetime) else datetime.fromtimestamp(float(at), UTC)
