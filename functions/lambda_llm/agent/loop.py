"""The agent's loop as a pure state machine: `next_` takes a state and an event, and returns a state and a command.

It reads no clock, no file and no network, and its states and commands are values: `durable.py` performs the commands,
and a replay of the same events makes the same commands. Every end is a `Done`, whose statuses `commands.py` lists.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from lambda_llm.agent import history, inference, results
from lambda_llm.agent.agent import Agent, Known
from lambda_llm.agent.budget import Spent, reached, warnings
from lambda_llm.agent.commands import Act, Ask, Attempt, Command, Compact, Done, Think, Wait
from lambda_llm.agent.errors import ToolError
from lambda_llm.agent.events import Acted, Answered, Began, Broken, Compacted, Considered, Event, Waited
from lambda_llm.agent.inference import Call, Thought, Unanswered
from lambda_llm.agent.references import Reference
from lambda_llm.agent.tools import human
from lambda_llm.agent.tools.arguments import check
from lambda_llm.agent.tools.tool import Answer, Outcome, Question

THINKS: Final = 6
"""Requests to the model in a row that may fail before the execution does."""

PAUSE_SECONDS: Final = 15
"""Before a request is repeated; doubled each time. A cold function, or a throttled one, takes that long."""

PAUSE_MOST: Final = 15 * 60
"""Longest pause that a server's Retry-After can ask for."""

REPAIRS: Final = 1
"""Answers in a row that may be unusable, and are sent back with what was wrong."""

QUESTIONS: Final = 8
"""Questions of tools that a human answers in one turn; a server could ask without end."""

SHOWN: Final = 2_000
"""Characters of a call's arguments that a human sees."""

TOO_LONG: Final = "context_length_exceeded"
"""Code of the error for a prompt that is too long."""


@dataclass(frozen=True)
class State:
    """Everything that the loop knows. It is rebuilt by each replay and never stored.

    Attributes:
        agent: its instructions and limits.
        tools: by name.
        messages: of the conversation.
        spent: so far.
        number: of the next command; names of operations are made of it.
        calls: of the current turn.
        parsed: their checked arguments, by id.
        outcomes: of calls that are over, by id.
        approvals: humans' answers about calls that need approval, by id.
        questions: that calls have asked and nobody has answered yet, by id.
        replies: to the questions of calls that are to be made again, by id.
        asking: questions of tools that were answered in this turn.
        memory: of sources, by name.
        asked: the call that the current `Ask` or `Wait` is about; empty: none.
        failures: requests to the model in a row that failed.
        repairs: answers in a row that could not be used.
        compaction: what a `Compact` in progress keeps.
        compacted: bytes to which a compaction has brought the conversation; 0: none was needed yet.
    """

    agent: Agent
    tools: Mapping[str, Known] = field(default_factory=dict)
    messages: tuple[Mapping[str, Any], ...] = ()
    spent: Spent = field(default_factory=Spent)
    number: int = 1
    calls: tuple[Call, ...] = ()
    parsed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    approvals: Mapping[str, Answer] = field(default_factory=dict)
    questions: Mapping[str, Question] = field(default_factory=dict)
    replies: Mapping[str, Answer] = field(default_factory=dict)
    asking: int = 0
    memory: Mapping[str, Any] = field(default_factory=dict)
    asked: str = ""
    failures: int = 0
    repairs: int = 0
    compaction: history.Compaction | None = None
    compacted: int = 0

    @property
    def warnings(self) -> tuple[str, ...]:
        """Names of the limits that are half reached."""
        return warnings(self.spent, self.agent.limits)


Next = tuple[State, Command]


def next_(state: State, event: Event) -> Next:
    """The state after an event, and what to do now.

    Args:
        state: before it; at first `State(agent)`.
        event: what came of the last command; at first `Began`.
    """
    state = replace(state, spent=state.spent.plus(operations=event.operations, bytes=event.written))
    match event:
        case Broken(what, why):
            return state, Done(f"failed:{what}", why=why)
        case Began():
            return _begin(state, event)
        case Considered(outcome):
            return _thought(state, outcome) if isinstance(outcome, Thought) else _unanswered(state, outcome)
        case Compacted(reference):
            return _compacted(state, reference)
        case Acted() | Answered() | Waited():
            return _turn(state, event)


def _turn(state: State, event: Acted | Answered | Waited) -> Next:
    match event:
        case Acted():
            return _acted(state, event)
        case Answered():
            return _answered(state, event)
        case Waited():
            return _waited(state)


def _begin(state: State, event: Began) -> Next:
    messages = ({"role": "system", "content": state.agent.instructions}, {"role": "user", "content": event.task})
    spent = replace(state.spent, began=event.at, now=event.at)
    return _think(replace(state, tools=event.tools, messages=messages, spent=spent))


def _think(state: State) -> Next:
    """Ask the model, unless a limit is reached or the conversation is too long for one request."""
    if limit := reached(state.spent, state.agent.limits):
        return state, _limited(state, limit)
    if history.size(state.messages) > (most := state.compacted or state.agent.history_bytes):
        return _compact(state, most)
    request = inference.body(state.agent, state.tools, state.messages)
    return _numbered(state, Think(f"think-{state.number}", request))


def _compact(state: State, most: int) -> Next:
    compaction = history.compact(state.messages, most)
    if not compaction.removed:
        return state, Done(
            "failed:model",
            _last(state),
            "The conversation is too long for the model, and nothing is left to leave out: give it a shorter task, or "
            "tools with shorter results.",
        )
    return _numbered(replace(state, compaction=compaction), Compact(f"compact-{state.number}", compaction.removed))


def _compacted(state: State, reference: Reference) -> Next:
    compaction = state.compaction
    if compaction is None:
        raise TypeError
    messages = history.noted(compaction.kept, len(compaction.removed), reference)
    return _think(replace(state, messages=messages, compaction=None, compacted=0))


def _unanswered(state: State, outcome: Unanswered) -> Next:
    if outcome.code == TOO_LONG and not state.failures:
        most = history.size(state.messages) // 2
        return _compact(replace(state, failures=1), most)
    failures = state.failures + 1
    if not outcome.later or failures >= THINKS:
        return state, Done("failed:model", _last(state), outcome.why)
    pause = max(PAUSE_SECONDS * 2 ** (failures - 1), min(PAUSE_MOST, int(outcome.retry_after)))
    state = replace(state, failures=failures, asked="")
    if limit := reached(state.spent, state.agent.limits):
        return state, _limited(state, limit)
    return _numbered(state, Wait(f"pause-{state.number}", pause))


def _thought(state: State, thought: Thought) -> Next:
    spent = state.spent.plus(turns=1, tokens=thought.tokens, inference_seconds=thought.seconds).at(thought.at)
    state = replace(state, spent=spent, failures=0)
    if thought.refusal or thought.finish == "content_filter":
        return state, Done("refused", thought.text, thought.refusal or "The server's filter refused the answer.")
    if thought.calls:
        return _called(state, thought)
    if thought.finish == "length":
        return _repair(state, thought.text, "Your answer was cut off because it was too long. Answer shorter.")
    if not thought.text.strip():
        return _repair(state, thought.text, "Your answer was empty. Answer the question, or call a tool.")
    return replace(state, messages=(*state.messages, {"role": "assistant", "content": thought.text})), Done(
        "answered", thought.text
    )


def _repair(state: State, text: str, what: str) -> Next:
    if state.repairs >= REPAIRS:
        return state, Done("failed:nonsense", text, f"The model's answers can't be used: {what}")
    messages = (
        *state.messages,
        {"role": "assistant", "content": text or "(nothing)"},
        {"role": "user", "content": what},
    )
    return _think(replace(state, messages=messages, repairs=state.repairs + 1))


def _called(state: State, thought: Thought) -> Next:
    """Check every call; those that can't be made have their outcome at once."""
    outcomes: dict[str, Outcome] = {}
    parsed: dict[str, Mapping[str, Any]] = {}
    for call in thought.calls:
        try:
            parsed[call.id] = _arguments(state, call)
        except ToolError as error:
            outcomes[call.id] = results.failed(error)
    nonsense = not parsed
    if nonsense and state.repairs >= REPAIRS:
        why = outcomes[thought.calls[0].id].content
        return state, Done("failed:nonsense", thought.text, f"The model's calls can't be made: {why}")
    message = {
        "role": "assistant",
        "content": thought.text or None,
        "tool_calls": [
            {
                "id": call.id,
                "type": "function",
                # Servers parse what they are sent back; what was no JSON is told in the result.
                "function": {"name": _named(call.name), "arguments": json.dumps(parsed.get(call.id, {}))},
            }
            for call in thought.calls
        ],
    }
    return _proceed(
        replace(
            state,
            messages=(*state.messages, message),
            calls=thought.calls,
            parsed=parsed,
            outcomes=outcomes,
            approvals={},
            questions={},
            replies={},
            asking=0,
            repairs=state.repairs + 1 if nonsense else 0,
        )
    )


def _arguments(state: State, call: Call) -> Mapping[str, Any]:
    if call.name not in state.tools:
        names = ", ".join(state.tools)
        raise ToolError(f"There is no tool {_named(call.name)}. There are: {names or 'none'}."[:500])
    if len(call.arguments) > inference.CALL_CHARACTERS:
        raise ToolError(f"The arguments have more than {inference.CALL_CHARACTERS:,} characters.")
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        raise ToolError("The arguments are no JSON. Write one JSON object.") from None
    if not isinstance(arguments, dict):
        raise ToolError("The arguments are no JSON object. Write one.")
    tool = state.tools[call.name].tool
    check(tool.parameters, arguments)
    human.check_suspending(tool.kind, arguments)
    return arguments


def _proceed(state: State) -> Next:
    """The next command of a turn: approvals first, then calls, then what suspends, then the model again."""
    if limit := reached(state.spent, state.agent.limits):
        return state, _limited(state, limit)
    waiting = [call for call in state.calls if call.id not in state.outcomes]
    for call in waiting:
        if state.tools[call.name].tool.approval and call.id not in state.approvals:
            return _ask(state, call, f"May {call.name} be called with {call.arguments[:SHOWN]}?")
    ready = [call for call in waiting if state.tools[call.name].tool.kind == "call" and call.id not in state.questions]
    if ready:
        return _numbered(state, Act(f"act-{state.number}", tuple(_attempt(state, call) for call in ready)))
    if waiting:
        return _suspended(state, waiting[0])
    told = tuple(
        {"role": "tool", "tool_call_id": call.id, "content": results.render(state.outcomes[call.id])}
        for call in state.calls
    )
    return _think(replace(state, messages=(*state.messages, *told), calls=()))


def _suspended(state: State, call: Call) -> Next:
    """The command that a call suspends the execution for."""
    if question := state.questions.get(call.id):
        return _ask(state, call, f"{call.name} asks: {question.text[:SHOWN]}", question.schema)
    if state.tools[call.name].tool.kind == "ask":
        return _ask(state, call, str(state.parsed[call.id]["question"]))
    seconds = human.seconds_of(state.parsed[call.id])
    if state.spent.seconds + seconds > state.agent.limits.seconds:
        return state, _limited(state, "seconds")
    return _numbered(replace(state, asked=call.id), Wait(f"wait-{state.number}", seconds))


def _attempt(state: State, call: Call) -> Attempt:
    known = state.tools[call.name]
    return Attempt(call, known, state.parsed[call.id], state.memory.get(known.source), state.replies.get(call.id))


def _ask(state: State, call: Call, text: str, schema: Mapping[str, Any] | None = None) -> Next:
    seconds = min(state.agent.answer_seconds, max(1, int(state.agent.limits.seconds - state.spent.seconds)))
    return _numbered(replace(state, asked=call.id), Ask(f"ask-{state.number}", text, seconds, schema))


def _acted(state: State, event: Acted) -> Next:
    outcomes, questions, memory = dict(state.outcomes), dict(state.questions), dict(state.memory)
    for call in state.calls:
        if (outcome := event.outcomes.get(call.id)) is None:
            continue
        if outcome.memory is not None:
            memory[state.tools[call.name].source] = outcome.memory
        if outcome.status == "question" and outcome.question is not None:
            questions[call.id] = outcome.question
        else:
            outcomes[call.id] = outcome
    spent = state.spent.plus(tool_seconds=event.seconds).at(event.at)
    return _proceed(replace(state, outcomes=outcomes, questions=questions, memory=memory, spent=spent))


def _answered(state: State, event: Answered) -> Next:
    call = next(one for one in state.calls if one.id == state.asked)
    answer, tool = event.answer, state.tools[call.name].tool
    state = replace(state, asked="")
    if question := state.questions.get(call.id):
        return _replied(state, call, question, answer)
    if answer.action != "accept" and state.agent.denial == "end":
        status = "denied" if answer.action == "decline" else "unanswered"
        said = f" ({event.comment})" if event.comment else ""
        why = f"A human denied it{said}." if status == "denied" else "No human answered in time."
        return state, Done(status, _last(state), why)
    if tool.kind == "ask":
        outcome = Outcome("ok", _decision(answer, event.comment))
    elif answer.action == "accept":
        return _proceed(replace(state, approvals={**state.approvals, call.id: answer}))
    else:
        outcome = Outcome("error", f"The call was not made: {_decision(answer, event.comment)['answer']}.")
    return _proceed(replace(state, outcomes={**state.outcomes, call.id: outcome}))


def _replied(state: State, call: Call, question: Question, answer: Answer) -> Next:
    """A human's answer to what a tool asked: the call is made again with it, unless it is none."""
    questions = {key: value for key, value in state.questions.items() if key != call.id}
    state = replace(state, questions=questions, asking=state.asking + 1)
    why = f"The tool asked more than {QUESTIONS} times." if state.asking > QUESTIONS else ""
    if answer.action == "accept" and question.schema is not None:
        try:
            check(question.schema, answer.content if isinstance(answer.content, dict) else {})
        except ToolError as error:
            why = f"A human's answer does not fit what the tool asked: {error}"
    if why:
        return _proceed(replace(state, outcomes={**state.outcomes, call.id: Outcome("error", why)}))
    return _proceed(replace(state, replies={**state.replies, call.id: replace(answer, state=question.state)}))


def _decision(answer: Answer, comment: str) -> dict[str, str]:
    said = {"accept": "approved", "decline": "denied", "cancel": "nobody answered"}[answer.action]
    return {"answer": said, **({"comment": comment} if comment else {})}


def _waited(state: State) -> Next:
    if not state.asked:
        return _think(state)
    call = next(one for one in state.calls if one.id == state.asked)
    days = state.parsed[call.id]["days"]
    # Nobody has looked at a clock, but at least this time has passed.
    spent = state.spent.at(state.spent.now + human.seconds_of(state.parsed[call.id]))
    outcomes = {**state.outcomes, call.id: Outcome("ok", {"waited_days": days})}
    return _proceed(replace(state, asked="", outcomes=outcomes, spent=spent))


def _numbered(state: State, command: Command) -> Next:
    return replace(state, number=state.number + 1), command


def _limited(state: State, limit: str) -> Done:
    value = getattr(state.agent.limits, limit)
    return Done(f"limit:{limit}", _last(state), f"The execution reached its limit of {value:,} {limit}.")


def _last(state: State) -> str:
    """The last text that the model said."""
    said = (one["content"] for one in reversed(state.messages) if one["role"] == "assistant" and one.get("content"))
    return str(next(said, ""))


def _named(name: str) -> str:
    """A name that servers take, whatever the model made up."""
    return "".join(one if one.isascii() and (one.isalnum() or one in "_-") else "_" for one in name)[:64] or "_"
