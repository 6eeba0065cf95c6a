"""Running code as a tool of an agent: one interpreter per execution, whose files outlive it."""

import mimetypes
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from lambda_llm.agent.errors import AgentDefinitionError, AgentError, BadReferenceError, SandboxError
from lambda_llm.agent.references import Reference
from lambda_llm.agent.tools.code.backend import FILE_MOST, Backend, File, Run, Session, SessionGoneError, check_path
from lambda_llm.agent.tools.tool import CallContext, Effects, Outcome, Store, ToolDescription
from lambda_llm.agent.tools.within import within

TOOL: Final = "run_code"
CODE_MOST: Final = 50_000
"""Characters of a call's code."""

INLINE_MOST: Final = 2_000
"""Characters of a text that go to the model; of a longer one, the first ones and a reference."""

_DESCRIPTION: Final = (
    "Run Python code and return what it prints, and the value of its last line. Variables and files are kept between "
    "calls. There is no internet access."
)
_PARAMETERS: Final = {
    "type": "object",
    "properties": {"code": {"type": "string"}},
    "required": ["code"],
}


FILES_MOST: Final = 64
"""Most files that are kept."""


@dataclass(frozen=True)
class Kept:
    """Which files are kept between calls, beyond the life of a session.

    Attributes:
        files: number of them.
        file_bytes: most bytes of each; at most `FILE_MOST`.
        total_bytes: of all together.
    """

    files: int = 16
    file_bytes: int = FILE_MOST
    total_bytes: int = 4 * FILE_MOST


_KEPT: Final = Kept()


class CodeSource:
    """A `ToolSource` of one tool, `run_code`.

    What its calls share is in `Outcome.memory`: `{"session": id, "files": {path: reference}, "versions": …}`.
    A session that has ended, by a wait or a fault, is replaced by a new one with the same files, and the model is told
    that variables are gone.

    Args:
        backend: where code runs.
        name: of the source.
        effects: what running code again does; code in a sandbox without a network can be run again where its files
            don't matter.
        seconds: most that a call may take.
        keeps: which of its files.
        approval: whether a human must approve each call.
        description: for the model.

    Raises:
        AgentDefinitionError: limits that can't be.
    """

    def __init__(
        self,
        backend: Backend,
        name: str = "code",
        *,
        effects: Effects = Effects.ONCE,
        seconds: float = 60,
        keeps: Kept = _KEPT,
        approval: bool = False,
        description: str = _DESCRIPTION,
    ) -> None:
        if not 0 <= keeps.files <= FILES_MOST or not 0 < keeps.file_bytes <= FILE_MOST or seconds < 1:
            raise AgentDefinitionError(
                f"A code tool keeps 0 to {FILES_MOST} files of at most {FILE_MOST:,} bytes and takes at least one "
                f"second, not {keeps.files}, {keeps.file_bytes:,} and {seconds:g}."
            )
        self.name, self._description = name, description
        self._backend, self._effects, self._seconds, self._approval = backend, effects, seconds, approval
        self._files, self._file_bytes, self._total_bytes = keeps.files, keeps.file_bytes, keeps.total_bytes

    def describe(self) -> tuple[ToolDescription, ...]:
        """The one tool."""
        return (
            ToolDescription(
                TOOL,
                self._description,
                _PARAMETERS,
                effects=self._effects,
                approval=self._approval,
                seconds=self._seconds,
                turn=self.name,
            ),
        )

    def call(self, name: str, arguments: Mapping[str, Any], context: CallContext) -> Outcome:
        """Run code, as `ToolSource.call`."""
        if name != TOOL:
            raise SandboxError(f"There is no tool {name} here, only {TOOL}.")
        if len(arguments["code"]) > CODE_MOST:
            raise SandboxError(f"code must have at most {CODE_MOST:,} characters.")
        call = _Call(self._backend, context, str(arguments["code"]), _Memory.of(context.memory))
        try:
            run = within(context.seconds, call.run)
            if run is None:
                return call.unanswered()
        except SandboxError as error:
            return call.failed(error)
        files = self._keep(call, context.store)
        return call.outcome(run, files)

    def suspend(self, memory: Any) -> None:
        """Before a long wait: stop paying for the session of `memory`, where its place can."""
        session = self._session(memory)
        if session:
            session.suspend()

    def close(self, memory: Any) -> None:
        """At the end of an execution: end the session of `memory`."""
        session = self._session(memory)
        if session:
            session.close()

    def _session(self, memory: Any) -> Session | None:
        name = _Memory.of(memory).session
        return self._backend.find(name) if name else None

    def _keep(self, call: "_Call", store: Store) -> list[str]:
        """Store files that the code wrote or changed; their paths."""
        try:
            there = within(call.left(), call.session.files)
        except SandboxError:
            there = None
        if there is None:
            call.notes.append("Files that this code wrote could not be kept.")
            return []
        kept: list[str] = []
        left_out: list[str] = []
        files: dict[str, Reference] = {}
        versions: dict[str, str] = {}
        total = 0
        for path, file in sorted(there.items()):
            if len(files) >= self._files or file.size > self._file_bytes or total + file.size > self._total_bytes:
                left_out.append(path)
                continue
            reference = call.memory.files.get(path)
            if reference is None or call.memory.versions.get(path) != file.version:
                reference = within(call.left(), partial(_stored, call.session, path, file, store))
                if reference is None:
                    left_out.append(path)
                    continue
                kept.append(path)
            total += reference.size
            files[path], versions[path] = reference, file.version
        call.memory = _Memory(call.memory.session, files, versions)
        if left_out:
            call.notes.append(
                f"Not kept for later sessions, because {self._files} files of {self._file_bytes:,} bytes, "
                f"{self._total_bytes:,} together, can be: {', '.join(left_out[:5])[:300]}."
            )
        return kept


@dataclass(frozen=True)
class _Memory:
    """What calls of an execution share."""

    session: str | None = None
    files: dict[str, Reference] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Any) -> "_Memory":
        """Of `Outcome.memory`.

        Raises:
            BadReferenceError: it is not what a code tool returned.
        """
        if value is None:
            return cls()
        try:
            files = {check_path(path): Reference.from_json(each) for path, each in value["files"].items()}
            return cls(value["session"], files, dict(value["versions"]))
        except (AttributeError, KeyError, TypeError, ValueError, SandboxError) as error:
            raise BadReferenceError("The memory of a code tool is an object of session, files and versions.") from error

    def to_json(self) -> dict[str, Any]:
        files = {path: reference.to_json() for path, reference in self.files.items()}
        return {"session": self.session, "files": files, "versions": self.versions}


class _Call:
    """One call: what it has come to, told also when it does not come back."""

    session: Session

    def __init__(self, backend: Backend, context: CallContext, code: str, memory: _Memory) -> None:
        self._backend, self._context, self._code, self.memory = backend, context, code, memory
        self._deadline = time.monotonic() + context.seconds
        self._began = False
        self.notes: list[str] = []

    def left(self) -> float:
        """Seconds."""
        return max(self._deadline - time.monotonic(), 0)

    def run(self) -> Run:
        """Open the session, with its files, and run the code: in another one, if it ends before the code begins."""
        before = self.memory.session
        key = f"{self._context.execution}/{before or ''}"
        self._open(before, key)
        try:
            return self._run()
        except SessionGoneError:
            self._began = False
            self._open(None, f"{key}/{self.session.id}")
            return self._run()

    def _open(self, session: str | None, key: str) -> None:
        had = self.memory
        self.session = self._backend.open(session, key)
        self.memory = _Memory(self.session.id, had.files, had.versions)
        if not self.session.fresh or had.session is None:
            return
        for path, reference in had.files.items():
            self.session.write(path, self._context.store.get(reference, FILE_MOST))
        there = self.session.files() if had.files else {}
        versions = {path: there[path].version for path in had.files if path in there}
        self.memory = _Memory(self.session.id, had.files, versions)
        files = f"its files are back: {', '.join(had.files)}" if had.files else "there were no files"
        self.notes = [f"This is a new session: variables of earlier calls are gone, {files}."]

    def _run(self) -> Run:
        # A fifth of the time is for opening and for keeping files.
        seconds = min(self.left(), self._context.seconds * 0.8)
        self._began = True
        return self.session.run(self._code, seconds)

    def unanswered(self) -> Outcome:
        """It did not come back in time."""
        if self._began:
            return self._told("unknown", "The time was up before the code's end was known; it may have run.")
        return self._told("error", "The time was up before a session could be had; the code was not run.")

    def failed(self, error: SandboxError) -> Outcome:
        """It was not run, or its end is not known."""
        return self._told("unknown" if error.unknown else "error", str(error))

    def _told(self, status: Any, text: str) -> Outcome:
        return Outcome(status, self._noted({"error": text[:INLINE_MOST]}), memory=self.memory.to_json())

    def outcome(self, run: Run, files: list[str]) -> Outcome:
        """What the model gets: as Python's prompt shows it, and no key that has nothing to say."""
        content: dict[str, Any] = {}
        references: list[Reference] = []
        shown = run.stdout if run.value is None else f"{run.stdout}{run.value}\n"
        if not run.ok:
            content["error"] = self._head("error", run.error, references)
            if run.line is not None:
                content["line"] = run.line
        if run.ok or shown:
            content["output"] = self._head("output", shown, references)
        if run.stderr:
            content["stderr"] = self._head("stderr", run.stderr, references)
        if files:
            content["files"] = files
        if run.truncated:
            self.notes.append("The code wrote more than is kept.")
        references += [self.memory.files[path] for path in files]
        status: Any = "ok" if run.ok else "error"
        return Outcome(status, self._noted(content), tuple(references), self.memory.to_json())

    def _head(self, name: str, text: str, references: list[Reference]) -> str:
        if len(text) <= INLINE_MOST:
            return text
        try:
            reference = self._context.store.put(text.encode(), "text/plain; charset=utf-8")
        except AgentError:
            self.notes.append(f"The rest of {name} could not be kept.")
        else:
            references.append(reference)
            self.notes.append(f"These are the first {INLINE_MOST:,} of {len(text):,} characters of {name}.")
        return text[:INLINE_MOST]

    def _noted(self, content: dict[str, Any]) -> dict[str, Any]:
        return {**content, "note": " ".join(self.notes)} if self.notes else content


def _stored(session: Session, path: str, file: File, store: Store) -> Reference | None:
    """A file of a session in the store; None: it can't be had, or is not what was listed."""
    try:
        content = session.read(check_path(path), file.size + 1)
        if len(content) != file.size:
            return None
        return store.put(content, mimetypes.guess_type(path)[0] or "application/octet-stream")
    except BadReferenceError:
        raise
    except AgentError:
        return None
