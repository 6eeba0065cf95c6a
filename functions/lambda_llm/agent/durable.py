"""Performs the loop's commands as operations of a durable execution. The only module that imports the durable SDK.

Names of operations are deterministic ASCII (`think-3`, `act-4-1`): the SDK compares them on replay. What the loop gets
is read from the history alone, so that a replay makes the same commands. Every value passes `serializer.dump` first.

Sources: https://docs.aws.amazon.com/lambda/latest/dg/durable-functions.html, and SDK 3.0.0.
"""

import dataclasses
import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from aws_durable_execution_sdk_python import (
    BatchResult,
    CallbackError,
    DurableContext,
    InvokeError,
    ParallelBranch,
    StepContext,
    StepError,
    durable_execution,
)
from aws_durable_execution_sdk_python.config import (
    CallbackConfig,
    CompletionConfig,
    Duration,
    InvokeConfig,
    NestingType,
    ParallelConfig,
    StepConfig,
    StepSemantics,
)
from aws_durable_execution_sdk_python.exceptions import CallbackTimeoutError, InvocationError
from aws_durable_execution_sdk_python.retries import RetryPresets, RetryStrategyConfig, create_retry_strategy
from aws_durable_execution_sdk_python.serdes import SerDes, SerDesContext

from lambda_llm.agent import inference, serializer
from lambda_llm.agent.agent import Agent, Known, Question, known
from lambda_llm.agent.budget import Spent
from lambda_llm.agent.commands import Act, Ask, Attempt, Command, Compact, Done, Think, Wait
from lambda_llm.agent.errors import AgentError, BadReferenceError, ToolError
from lambda_llm.agent.events import Acted, Answered, Began, Broken, Compacted, Considered, Event, Waited
from lambda_llm.agent.figures import Figures
from lambda_llm.agent.loop import State, next_
from lambda_llm.agent.outcomes import from_json, to_json
from lambda_llm.agent.references import Reference
from lambda_llm.agent.results import bounded, failed
from lambda_llm.agent.tools import human
from lambda_llm.agent.tools.tool import Answer, CallContext, Effects, Outcome, Store, ToolDescription, ToolSource
from lambda_llm.agent.tracing import Times, Trace
from lambda_llm.errors import LambdaLLMError
from lambda_llm.telemetry import spans
from lambda_llm.telemetry.context import correlated
from lambda_llm.telemetry.propagation import FLUSH_SECONDS
from lambda_llm.telemetry.span import Span

logger = logging.getLogger(__name__)

REPEATS: Final = 3
"""Attempts at a call that only reads, or that is idempotent."""

LONG_SECONDS: Final = 15 * 60
"""Waits from which on it pays to tell a sandbox that it may sleep."""

TASK_BYTES: Final = 64 * 1024
"""Most bytes of a task: a longer text is a document, and belongs into a tool's hands."""

ANSWER_BYTES: Final = 200_000
"""Most bytes of a model's answer that a step returns; the service takes 262,144."""

BATCH_BYTES: Final = 240
"""What a batch of parallel calls has beside its results, and again for each of these: more than was measured."""

COMMENT_CHARACTERS: Final = 2_000
DEFAULT_TENANT: Final = "default"

# Failures of an invocation that a second one would have, too.
FINAL: Final = ("ResourceNotFound", "AccessDenied", "InvalidParameter", "InvalidRequest", "KMS", "RequestTooLarge")


class Streamed(Protocol):
    """Inference over HTTP, for a person who waits: the orchestrator stays awake, and tokens arrive one by one."""

    def ask(self, request: Mapping[str, Any]) -> tuple[int, bytes, float]:
        """Status, body of the answer in one piece, and the seconds of Retry-After. It never raises."""


@dataclass(frozen=True)
class Surroundings:
    """What an agent runs in.

    Attributes:
        store: makes the store of a tenant.
        function: ARN of the alias of inference, which is invoked while the orchestrator is suspended; or
        streamed: inference over HTTP.
        client: of Lambda for the durable service; by default the SDK's.
        lines: whether executions write lines for figures on standard output.
    """

    store: Callable[[str], Store]
    function: str = ""
    streamed: Streamed | None = None
    client: Any = None
    lines: bool = False


def handler(agent: Agent, surroundings: Surroundings) -> Callable[[Any, Any], Any]:
    """The Lambda handler of an agent.

    Its input is `{"task": …}`, with `tenant` for whoever serves several, and `request_id` and `traceparent` if it is a
    part of another request; its result has `status`, `answer`, `why`, what it spent and what it warned of.

    Args:
        agent: to run.
        surroundings: to run it in.
    """

    def run(event: Any, context: DurableContext) -> dict[str, Any]:
        execution = _Execution(agent, surroundings, event, context)
        try:
            with correlated(**execution.trace.fields):
                return execution.told_run()
        finally:  # of a suspension too: the process is frozen then
            spans.flush(FLUSH_SECONDS)

    return durable_execution(run, boto3_client=surroundings.client)


class _Again(Exception):  # noqa: N818 - it asks for another attempt
    """A call whose end is not known may be made again."""


class _Text(SerDes[str]):
    """Text that is serialized already."""

    def serialize(self, value: str, _: SerDesContext) -> str:
        return value

    def deserialize(self, data: str, _: SerDesContext) -> str:
        return data


_TEXT: Final = _Text()
_ONCE: Final = StepConfig(
    retry_strategy=RetryPresets.none(), step_semantics=StepSemantics.AT_MOST_ONCE_PER_RETRY, serdes=_TEXT
)
"""An interrupted step fails, and is not run again."""

_PLAIN: Final = StepConfig(retry_strategy=RetryPresets.none(), serdes=_TEXT)
"""An interrupted step is run again; a failed one is not, because expected failures are values."""

_REPEATED: Final = StepConfig(
    retry_strategy=create_retry_strategy(
        RetryStrategyConfig(
            max_attempts=REPEATS, initial_delay=Duration(2), max_delay=Duration(30), retryable_error_types=[_Again]
        )
    ),
    serdes=_TEXT,
)


_ALL: Final = CompletionConfig(tolerated_failure_percentage=100)
"""Every branch ends, whatever came of the others; the default is to give up at the first failure."""

_UNEXPECTED: Final = "failed:unexpected"
"""Status, in lines and spans, of an execution that has failed by a bug: the service has no result of it."""

Caller = Callable[[DurableContext, str, Attempt], str]


class _Execution:
    """One invocation's view of an execution."""

    def __init__(self, agent: Agent, surroundings: Surroundings, event: Any, context: DurableContext) -> None:
        self._agent = agent
        self._surroundings = surroundings
        self._event = event
        self._context = context
        self._arn = context.execution_context.durable_execution_arn
        self._sources: Mapping[str, ToolSource] = {source.name: source for source in agent.sources}
        self._store: Store | None = None
        self._spent = Spent()
        given = event if isinstance(event, Mapping) else {}
        invocation = getattr(context.lambda_context, "aws_request_id", None)
        self.trace = Trace(self._arn, given, agent.model, invocation if isinstance(invocation, str) else None)
        self._figures = Figures(
            surroundings.lines, self._arn, str(given.get("tenant", DEFAULT_TENANT)), agent.model, context.is_replaying
        )

    def told_run(self) -> dict[str, Any]:
        """Run, and tell of an end that nobody has foreseen; what the service tries again is none."""
        try:
            return self.run()
        except InvocationError:
            raise
        except Exception as error:
            done = Done(_UNEXPECTED)
            self._figures.ended(done, self._spent, type(error).__name__)
            self.trace.ended(done, self._spent)
            raise

    def run(self) -> dict[str, Any]:
        state = State(self._agent)
        event: Event = self._begin()
        while True:
            warned = state.warnings
            state, command = next_(state, event)
            self._spent = state.spent
            for limit in state.warnings:
                if limit not in warned:
                    self._context.logger.warning("half of the limit of %s is reached", limit)
            if isinstance(command, Done):
                cost = self._told("close", "close", state)
                self._context.logger.info("the execution ended: %s", command.status)
                state = dataclasses.replace(state, spent=state.spent.plus(**cost))
                if not self._context.is_replaying():
                    self._figures.ended(command, state.spent)
                    self.trace.ended(command, state.spent)
                return _result(command, state)
            cost = {"operations": 0, "bytes": 0}
            if isinstance(command, Ask) or (isinstance(command, Wait) and command.seconds >= LONG_SECONDS):
                cost = self._told("suspend", f"{command.name}-rest", state)
            event = self._perform(command)
            state = dataclasses.replace(state, spent=state.spent.plus(**cost))

    def _begin(self) -> Event:
        given = self._event if isinstance(self._event, Mapping) else {}
        task, tenant = given.get("task"), given.get("tenant", DEFAULT_TENANT)
        size = len(json.dumps(self._event))
        if not isinstance(task, str) or not task.strip():
            return Broken("task", 'The input has no task: send {"task": "…"}.', written=size)
        if size > TASK_BYTES:
            return Broken(
                "task",
                f"The input has {size:,} bytes, and at most {TASK_BYTES:,} are taken: put documents where a tool can "
                "read them, and name them in the task.",
                written=size,
            )
        try:
            self._store = self._surroundings.store(str(tenant))
        except LambdaLLMError as error:
            return Broken("task", str(error), written=size)
        text = self._context.step(self._listed, "begin", _PLAIN)
        begun = serializer.load(text)
        cost: dict[str, int] = {"operations": 1, "written": size + len(text)}
        if why := begun.get("broken"):
            return Broken("tools", why, **cost)
        tools = {name: Known(source, _described(tool), inner) for name, (source, inner, tool) in begun["tools"].items()}
        return Began(task, tools, begun["at"], **cost)

    def _listed(self, _: StepContext) -> str:
        """The tools that there are now. A replay must see the same ones, whatever a server says later."""
        try:
            described = {name: source.describe() for name, source in self._sources.items()}
            tools = known(self._agent, {**described, human.SOURCE: self._agent.suspending})
            listed = {name: (one.source, one.name, dataclasses.asdict(one.tool)) for name, one in tools.items()}
            return serializer.dump({"at": time.time(), "tools": listed}, ANSWER_BYTES)
        except AgentError as error:
            return serializer.dump({"broken": str(error)[:2000]})
        except Exception as error:  # noqa: BLE001 - a source's bug must end the execution with a status
            return serializer.dump({"broken": f"A source of tools failed with {type(error).__name__}."})

    def _told(self, what: str, name: str, state: State) -> dict[str, int]:
        """Tell the sources that left something that it is not needed for long (`suspend`), or any more (`close`).

        What a sandbox costs meanwhile ends so. That it fails changes nothing: every place ends its sessions by itself.
        """
        left = {
            source: memory
            for source, memory in state.memory.items()
            if memory is not None and callable(getattr(self._sources.get(source), what, None))
        }
        if not left:
            return {"operations": 0, "bytes": 0}

        def tell(_: StepContext) -> str:
            failed_: dict[str, str] = {}
            for source, memory in left.items():
                try:
                    getattr(self._sources[source], what)(memory)
                except Exception as error:  # noqa: BLE001 - as above
                    logger.warning("%s of %s failed: %s", what, source, type(error).__name__)
                    failed_[source] = type(error).__name__
            return serializer.dump(failed_)

        text = self._context.step(tell, name, _PLAIN)
        return {"operations": 1, "bytes": len(text)}

    def _perform(self, command: Command) -> Event:
        match command:
            case Think():
                considered = self._think(command)
                self._figures.thought(command, considered.outcome)
                if self._recorded:
                    self.trace.thought(command.name, considered.outcome, self._times(command.name))
                return considered
            case Act():
                return self._act(command)
            case Ask():
                answered = self._ask(command)
                if self._recorded:
                    self.trace.waited("ask", command.name, self._times(command.name))
                return answered
            case Wait(name, seconds):
                self._context.wait(Duration(seconds), name)
                if self._recorded:
                    self.trace.waited("wait", name, self._times(name))
                return Waited(operations=1)
            case Compact():
                return self._compact(command)
            case Done():
                raise TypeError

    # -- Thinking -------------------------------------------------------------------------------------

    def _think(self, command: Think) -> Considered:
        if self._surroundings.streamed:
            return self._think_awake(command, self._surroundings.streamed)
        payload = inference.payload(command.request, self.trace.fields["request_id"], self.trace.headers(command.name))
        config = InvokeConfig[str, str](serdes_payload=_TEXT, serdes_result=_TEXT)
        try:
            text = self._context.invoke(self._surroundings.function, payload, command.name, config)
        except InvokeError as error:
            return Considered(_uninvoked(error), operations=1, written=len(payload))
        written = len(payload) + len((text or "").encode())
        return Considered(inference.parse(text, command.name), operations=1, written=written)

    def _think_awake(self, command: Think, streamed: Streamed) -> Considered:
        def ask(_: StepContext) -> str:
            status, content, retry_after = streamed.ask(command.request)
            answer = {"status": status, "content": content.decode(errors="replace"), "retry_after": retry_after}
            try:
                return serializer.dump(answer, ANSWER_BYTES)
            except AgentError:
                return serializer.dump({"status": 502, "content": "", "retry_after": 0})

        text = self._context.step(ask, command.name, _PLAIN)
        said = serializer.load(text)
        outcome = inference.parse_body(said["status"], said["content"].encode(), command.name, said["retry_after"])
        return Considered(outcome, operations=1, written=len(text))

    # -- Acting ---------------------------------------------------------------------------------------

    def _act(self, command: Act) -> Event:
        """One call is a step of its own; several are branches, and calls that share a turn share a branch."""
        self._figures.tool_calls += len(command.attempts)
        branches = _branches(command.attempts)
        named = {attempt.call.id: f"{command.name}-{place}" for place, attempt in enumerate(command.attempts)}
        if len(branches) == 1:
            texts = _together(self._context, branches[0], named, self._call)
            return _acted(texts, operations=len(texts), written=sum(map(len, texts.values())))
        batch: BatchResult[str] = self._context.parallel(
            [
                ParallelBranch(
                    lambda context, branch=branch: serializer.dump(
                        _together(context, branch, named, self._call), ANSWER_BYTES
                    ),
                    named[branch[0].call.id],
                )
                for branch in branches
            ],
            command.name,
            ParallelConfig(completion_config=_ALL, nesting_type=NestingType.FLAT),
        )
        texts = {}
        written = BATCH_BYTES
        for branch, item in zip(branches, batch.all, strict=True):
            got = item.result
            # A branch fails by a bug of ours alone: its calls may have been made.
            texts |= serializer.load(got) if got else {one.call.id: _lost(one) for one in branch}
            written += BATCH_BYTES + len(json.dumps(got)) + (sum(map(len, serializer.load(got).values())) if got else 0)
        return _acted(texts, operations=1 + len(command.attempts), written=written)

    def _call(self, context: DurableContext, name: str, attempt: Attempt) -> str:
        """Make one call in a step; returns the step's text."""
        tool = attempt.known.tool
        once = tool.effects is Effects.ONCE
        try:
            return context.step(lambda step: self._made(step, name, attempt), name, _ONCE if once else _REPEATED)
        except StepError as error:
            # The service's own text would be the only witness that the call may have been made.
            said = str(error.message) if _Again.__name__ in str(error.error_type) else "The call was interrupted."
            outcome = failed(ToolError(said), unknown=once or _Again.__name__ not in str(error.error_type))
            if not context.is_replaying():
                self._figures.called(name, attempt.known, outcome, None, "interrupted")
            return _noted(tool.name, outcome)

    @property
    def _recorded(self) -> bool:
        """Whether what has just ended is new, and has a span."""
        return spans.enabled() and not self._context.is_replaying()

    def _times(self, name: str) -> Times:
        """When an operation began and ended, as the durable service says."""
        now = time.time()
        for operation in self._context.state.operations.values():
            if operation.name == name and operation.start_timestamp is not None:
                end = operation.end_timestamp
                return operation.start_timestamp.timestamp(), now if end is None else end.timestamp()
        return now, now

    def _made(self, step: StepContext, name: str, attempt: Attempt) -> str:
        # A branch is a thread of its own, which knows nothing of whoever has begun it.
        with correlated(**self.trace.fields), self.trace.called(name, attempt.known, _Again) as span:
            return self._made_within(span, step, name, attempt)

    def _made_within(self, span: Span, step: StepContext, name: str, attempt: Attempt) -> str:
        tool, store = attempt.known.tool, self._opened()
        context = CallContext(
            key=_digest(f"{self._arn} {name}"),
            execution=_digest(self._arn)[:32],
            seconds=tool.seconds,
            store=store,
            memory=attempt.memory,
            answer=attempt.answer,
        )
        began = time.monotonic()
        kind: str | None = None
        try:
            outcome = self._sources[attempt.known.source].call(attempt.known.name, attempt.arguments, context)
            outcome = bounded(outcome, store)
        except BadReferenceError as error:
            return serializer.dump({"broken": str(error)})
        except AgentError as error:
            unknown = isinstance(error, ToolError) and error.unknown
            again = unknown or (isinstance(error, ToolError) and error.retriable)
            if again and tool.effects is not Effects.ONCE and step.attempt < REPEATS:
                raise _Again(str(error)[:2000]) from None
            outcome, kind = bounded(failed(error, unknown=unknown), store), type(error).__name__
        except Exception as error:  # noqa: BLE001 - a source's bug must not end the execution
            said = f"The tool failed with {type(error).__name__}."
            outcome, kind = failed(ToolError(said), unknown=tool.effects is Effects.ONCE), type(error).__name__
        if outcome.status in ("error", "unknown"):
            span.fail(kind or outcome.status)
        seconds = time.monotonic() - began
        text = _noted(tool.name, outcome, time.time(), seconds)
        self._figures.called(name, attempt.known, outcome, seconds, kind)
        return text

    # -- Asking, and what is left out -------------------------------------------------------------------

    def _ask(self, command: Ask) -> Event:
        """A callback, and a step that tells somebody its id: at most once, whatever is killed in between."""
        callback = self._context.create_callback(command.name, CallbackConfig(timeout=Duration(command.seconds)))
        question = Question(callback.callback_id, command.text, self._arn, command.schema)

        def told(_: StepContext) -> str:
            said = ""
            if self._agent.notify:
                try:
                    self._agent.notify(question)
                except Exception as error:  # noqa: BLE001 - the question still stands, and can be found
                    logger.warning("a question could not be brought to a human: %s", type(error).__name__)
                    said = type(error).__name__
            asked = {"callback": question.callback_id, "question": question.text, "schema": question.schema}
            return serializer.dump({**asked, **({"failed": said} if said else {})})

        try:
            text = self._context.step(told, f"{command.name}-told", _ONCE)
        except StepError:
            text = ""  # interrupted: whether somebody was told is not known, and the question can be found
        try:
            given = callback.result()
        except CallbackTimeoutError:
            return Answered(Answer("cancel"), operations=2, written=len(text))
        except CallbackError as error:
            comment = str(error.message)[:COMMENT_CHARACTERS]
            return Answered(Answer("decline"), comment, operations=2, written=len(text) + len(comment))
        return _answered(given, len(text))

    def _compact(self, command: Compact) -> Event:
        def stored(_: StepContext) -> str:
            try:
                content = json.dumps([dict(one) for one in command.removed]).encode()
                return serializer.dump({"reference": self._opened().put(content, "application/json").to_json()})
            except AgentError as error:
                return serializer.dump({"broken": str(error)[:2000]})

        text = self._context.step(stored, command.name, _PLAIN)
        said = serializer.load(text)
        if why := said.get("broken"):
            return Broken("state", why, operations=1, written=len(text))
        return Compacted(Reference.from_json(said["reference"]), operations=1, written=len(text))

    def _opened(self) -> Store:
        if self._store is None:
            raise TypeError
        return self._store


def _described(tool: Mapping[str, Any]) -> ToolDescription:
    return ToolDescription(**{**tool, "effects": Effects(tool["effects"])})


def _branches(attempts: Sequence[Attempt]) -> list[list[Attempt]]:
    """Calls that may be made beside each other; those that share a turn follow each other."""
    branches: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        turn = attempt.known.tool.turn
        branches.setdefault(f"turn {turn}" if turn else attempt.call.id, []).append(attempt)
    return list(branches.values())


def _together(
    context: DurableContext, branch: Sequence[Attempt], named: Mapping[str, str], call: Caller
) -> dict[str, str]:
    """Texts of the steps of a branch by the call's id; each call has what the one before it left."""
    texts: dict[str, str] = {}
    left: dict[str, Any] = {}
    for attempt in branch:
        source = attempt.known.source
        given = dataclasses.replace(attempt, memory=left[source]) if source in left else attempt
        texts[attempt.call.id] = text = call(context, named[attempt.call.id], given)
        if (memory := serializer.load(text).get("outcome", {}).get("memory")) is not None:
            left[source] = memory
    return texts


def _noted(tool: str, outcome: Outcome, at: float = 0.0, seconds: float = 0.0) -> str:
    """Text of a call; outside a step, where a replay would read another clock, without a time."""
    spent = {"at": at, "seconds": round(seconds, 3)}
    try:
        return serializer.dump({"tool": tool, "outcome": to_json(outcome), **spent})
    except AgentError:  # of a source that leaves much for its next call
        said = Outcome("unknown", "The call was made, but what the tool returned could not be kept.")
        return serializer.dump({"tool": tool, "outcome": to_json(said), **spent})


def _lost(attempt: Attempt) -> str:
    return _noted(attempt.known.tool.name, Outcome("unknown", "What came of the call was lost."))


def _acted(texts: Mapping[str, str], operations: int, written: int) -> Event:
    said = {identity: serializer.load(text) for identity, text in texts.items()}
    if why := next((one["broken"] for one in said.values() if "broken" in one), ""):
        return Broken("state", why, operations, written)
    outcomes = {identity: from_json(one["outcome"]) for identity, one in said.items()}
    latest = max((one["at"] for one in said.values()), default=0.0)
    return Acted(outcomes, latest, sum(one.get("seconds", 0) for one in said.values()), operations, written)


def _answered(given: str | None, written: int) -> Answered:
    """What a callback was sent: `{"action": "approve" | "deny", "comment": …, "by": …, "content": …}`.

    Whatever is not clearly an approval is a denial.
    """
    written += len((given or "").encode())
    try:
        said = json.loads(given or "")
        action, comment, by, content = (said.get(name) for name in ("action", "comment", "by", "content"))
    except (ValueError, AttributeError, RecursionError):
        action, comment, by, content = None, "the answer was no JSON object with an action", None, None
    if action not in {"approve", "deny"}:
        action, comment = "deny", _short(comment) or "the answer's action was neither approve nor deny"
    answer = Answer("accept" if action == "approve" else "decline", content)
    return Answered(answer, _short(comment), _short(by), operations=2, written=written)


def _short(value: Any) -> str:
    return value.encode(errors="replace").decode()[:COMMENT_CHARACTERS] if isinstance(value, str) else ""


def _uninvoked(error: InvokeError) -> inference.Unanswered:
    """A failed invocation of inference. Its message may quote the request."""
    kind = str(error.error_type or "")
    status = 400 if any(final in kind for final in FINAL) else 0
    shown = kind if inference.CODE.fullmatch(kind) else "an error without a type"
    return inference.Unanswered(status, "", f"The inference function could not be invoked, or failed: {shown}.")


def _result(done: Done, state: State) -> dict[str, Any]:
    spent = state.spent
    return {
        "status": done.status,
        "answer": done.answer,
        **({"why": done.why} if done.why else {}),
        "spent": {
            "turns": spent.turns,
            "tokens": spent.tokens,
            "operations": spent.operations,
            "bytes": spent.bytes,
            "dollars": round(spent.dollars, 6),
            "seconds": round(spent.seconds, 3),
        },
        **({"warnings": list(state.warnings)} if state.warnings else {}),
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
