"""The tool as the loop calls it, over the local sandbox and over places that do not answer or end at will."""

import hashlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from lambda_llm.agent.errors import AgentDefinitionError, AgentError, BadReferenceError, SandboxError
from lambda_llm.agent.references import Reference
from lambda_llm.agent.tools.code.backend import Backend, File, Run, Session, SessionGoneError
from lambda_llm.agent.tools.code.local import LocalBackend
from lambda_llm.agent.tools.code.source import CodeSource, Kept
from lambda_llm.agent.tools.tool import CallContext, Effects, Outcome

needs_bwrap = pytest.mark.needs("bwrap", get="apt install bubblewrap")


class MemoryStore:
    """Content by its hash, as the state bucket has it."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.failing = False

    def put(self, content: bytes, kind: str) -> Reference:
        if self.failing:
            raise AgentError("the store can't be written")
        name = hashlib.sha256(content).hexdigest()
        self.contents[name] = content
        return Reference(f"s3://state/{name}", name, len(content), kind)

    def get(self, reference: Reference, most: int) -> bytes:
        content = self.contents.get(reference.sha256)
        if content is None or len(content) > most:
            raise BadReferenceError("there is no such content")
        return content


class Execution:
    """Calls one after the other, as the loop makes them: with the memory of the one before."""

    def __init__(self, source: CodeSource, name: str = "execution") -> None:
        self.source, self.name, self.store = source, name, MemoryStore()
        self.memory: Any = None
        self._calls = 0

    def call(self, code: str, seconds: float = 30) -> Outcome:
        self._calls += 1
        key = hashlib.sha256(f"{self.name}/{self._calls}".encode()).hexdigest()
        context = CallContext(key, self.name, seconds, self.store, self.memory)
        outcome = self.source.call("run_code", {"code": code}, context)
        self.memory = outcome.memory
        return outcome


@pytest.fixture
def backend() -> Iterator[LocalBackend]:
    backend = LocalBackend()
    yield backend
    backend.close()


@pytest.fixture
def execution(backend: LocalBackend) -> Execution:
    return Execution(CodeSource(backend))


def test_the_tool() -> None:
    (tool,) = CodeSource(LocalBackend(), "sandbox", approval=True, seconds=9).describe()
    assert (tool.name, tool.effects, tool.kind, tool.approval, tool.seconds, tool.turn) == (
        "run_code",
        Effects.ONCE,
        "call",
        True,
        9,
        "sandbox",
    )
    assert tool.parameters["required"] == ["code"]


@pytest.mark.parametrize(
    "limits",
    [{"keeps": Kept(files=65)}, {"keeps": Kept(files=-1)}, {"keeps": Kept(file_bytes=1 << 30)}, {"seconds": 0}],
)
def test_limits_that_cannot_be(limits: dict[str, Any]) -> None:
    with pytest.raises(AgentDefinitionError, match="keeps 0 to 64 files of at most 4,194,304 bytes"):
        CodeSource(LocalBackend(), **limits)


@needs_bwrap
class TestResults:
    @pytest.mark.parametrize(
        ("code", "content"),
        [
            ("print(6 * 7)", {"output": "42\n"}),
            ("6 * 7", {"output": "42\n"}),
            ("print('a')\n'b'", {"output": "a\n'b'\n"}),
            ("x = 1", {"output": ""}),
            ("import sys; print('oh', file=sys.stderr)", {"output": "", "stderr": "oh\n"}),
        ],
    )
    def test_as_the_prompt_shows_it(self, execution: Execution, code: str, content: object) -> None:
        outcome = execution.call(code)
        assert (outcome.status, outcome.content, outcome.references) == ("ok", content, ())

    def test_an_exception(self, execution: Execution) -> None:
        outcome = execution.call("print('before')\n1/0")
        assert outcome.status == "error"
        assert outcome.content == {"error": "ZeroDivisionError: division by zero", "line": 2, "output": "before\n"}
        assert execution.call("1/0").content == {"error": "ZeroDivisionError: division by zero", "line": 1}

    def test_a_long_output_is_a_reference_with_a_head(self, execution: Execution) -> None:
        outcome = execution.call("print('x' * 2_000 + 'y' * 8_000)")
        assert outcome.content == {
            "output": "x" * 2_000,
            "note": "These are the first 2,000 of 10,001 characters of output.",
        }
        (reference,) = outcome.references
        assert reference.type == "text/plain; charset=utf-8"
        assert execution.store.get(reference, 10_001) == b"x" * 2_000 + b"y" * 8_000 + b"\n"

    def test_more_than_is_kept(self, execution: Execution) -> None:
        outcome = execution.call("print('é' * 1_000_000)")
        assert outcome.content["note"].endswith("The code wrote more than is kept.")
        assert [each.size for each in outcome.references] == [65_536]

    def test_a_store_that_fails_loses_no_result(self, execution: Execution) -> None:
        execution.store.failing = True
        outcome = execution.call("open('a', 'w').write('1'); print('x' * 3_000)")
        assert outcome.status == "ok"
        assert outcome.content["output"] == "x" * 2_000
        assert "The rest of output could not be kept." in outcome.content["note"]
        assert "a." in outcome.content["note"]
        assert outcome.memory["files"] == {}


@needs_bwrap
class TestState:
    def test_variables_and_files_from_call_to_call(self, execution: Execution) -> None:
        assert execution.call("x = 1\nopen('a.csv', 'w').write('1,2')").content == {"output": "3\n", "files": ["a.csv"]}
        outcome = execution.call("print(x, open('a.csv').read())")
        assert (outcome.content, outcome.references) == ({"output": "1 1,2\n"}, ())

    def test_executions_share_nothing(self, backend: LocalBackend) -> None:
        source = CodeSource(backend)
        one, two = Execution(source, "one"), Execution(source, "two")
        one.call("x = 1\nopen('a', 'w').write('1')")
        assert two.call("x").content == {"error": "NameError: name 'x' is not defined", "line": 1}
        assert two.call("import os; os.listdir()").content == {"output": "[]\n"}

    @pytest.mark.parametrize("restart", [False, True])
    def test_a_session_that_ended_while_it_waited(
        self, backend: LocalBackend, execution: Execution, *, restart: bool
    ) -> None:
        execution.call("import os; x = 1; os.mkdir('d'); open('d/b.bin', 'wb').write(bytes(100_000))")
        first = execution.memory["session"]
        execution.source.close(execution.memory)
        assert backend.find(first) is None
        if restart:
            execution.source = CodeSource(LocalBackend())
        outcome = execution.call("print(sum(open('d/b.bin', 'rb').read()), 'x' in dir())")
        assert outcome.content == {
            "output": "0 False\n",
            "note": "This is a new session: variables of earlier calls are gone, its files are back: d/b.bin.",
        }
        assert outcome.memory["session"] != first
        assert outcome.references == ()
        assert execution.call("print(1)").content == {"output": "1\n"}
        execution.source.close(execution.memory)

    def test_a_session_that_its_code_ended(self, execution: Execution) -> None:
        execution.call("open('kept', 'w').write('1')")
        outcome = execution.call("open('lost', 'w').write('2'); import os; os._exit(0)")
        assert outcome.status == "error"
        assert outcome.content == {
            "error": "The code was stopped and its session with it, because its interpreter ended."
        }
        outcome = execution.call("import os; os.listdir()")
        assert outcome.content["output"] == "['kept']\n"
        assert outcome.content["note"].startswith("This is a new session")

    def test_the_first_answer_was_lost(self, execution: Execution) -> None:
        """So was its memory: the session is found by the execution, and its files are kept after all."""
        execution.call("x = 5\nopen('a', 'w').write('1')")
        execution.memory = None
        outcome = execution.call("x")
        assert outcome.content == {"output": "5\n", "files": ["a"]}

    def test_changed_and_deleted_files(self, execution: Execution) -> None:
        execution.call("for n in 'abc': open(n, 'w').write(n)")
        outcome = execution.call("import os; os.remove('a'); open('b', 'w').write('B'); os.utime('b', (0, 0))")
        assert outcome.content["files"] == ["b"]
        assert [execution.store.get(each, 9) for each in outcome.references] == [b"B"]
        assert list(outcome.memory["files"]) == ["b", "c"]

    def test_what_is_too_much_is_left_out_and_said(self, backend: LocalBackend) -> None:
        execution = Execution(CodeSource(backend, keeps=Kept(files=2, file_bytes=10, total_bytes=15)))
        outcome = execution.call("import os\nfor n, s in zip('abcde', (11, 8, 8, 7, 1)): open(n, 'wb').write(bytes(s))")
        assert outcome.content["files"] == ["b", "d"]
        assert outcome.content["note"] == (
            "Not kept for later sessions, because 2 files of 10 bytes, 15 together, can be: a, c, e."
        )

    def test_links_are_not_files(self, execution: Execution) -> None:
        outcome = execution.call("import os; os.symlink('/etc/passwd', 'p'); os.symlink('/proc/self/environ', 'e')")
        assert outcome.content == {"output": ""}

    def test_a_name_that_cannot_be_a_path_is_left_out(self, execution: Execution) -> None:
        outcome = execution.call("open('a\\nb', 'w').write('1'); open('c', 'w').write('1')")
        assert outcome.content["files"] == ["c"]
        assert list(outcome.memory["files"]) == ["c"]

    def test_a_file_that_is_missing_in_the_store_ends_the_execution(self, execution: Execution) -> None:
        execution.call("open('a', 'w').write('1')")
        execution.source.close(execution.memory)
        execution.store.contents.clear()
        with pytest.raises(BadReferenceError, match="there is no such content"):
            execution.call("1")

    @pytest.mark.parametrize(
        "memory",
        [
            [],
            {"session": None},
            {"session": None, "files": {"../a": {}}, "versions": {}},
            {"session": None, "files": {"a": {"uri": "x"}}, "versions": {}},
        ],
    )
    def test_memory_that_is_none(self, execution: Execution, memory: Any) -> None:
        execution.memory = memory
        with pytest.raises(BadReferenceError):
            execution.call("1")


class Place(Backend):
    """A place whose sessions do as they are told."""

    def __init__(self, *sessions: "Scripted") -> None:
        self.sessions = list(sessions)
        self.keys: list[str] = []

    def find(self, session: str) -> Session | None:
        return next((each for each in self.sessions if each.id == session and not each.gone), None)

    def start(self, key: str) -> Session:
        self.keys.append(key)
        return self.sessions[len(self.keys) - 1]


class Scripted(Session):
    """A session whose `run` raises or waits for the test's end."""

    def __init__(self, name: str, does: Exception | threading.Event | None = None, *, slow: bool = False) -> None:
        self.id, self.fresh, self.gone, self._does, self._slow = name, True, False, does, slow
        self.contents: dict[str, bytes] = {}
        self.suspended = False

    def run(self, code: str, seconds: float) -> Run:  # noqa: ARG002 - as told
        if isinstance(self._does, Exception):
            raise self._does
        if self._does:
            self._does.wait()
        return Run(ok=True, stdout=code)

    def write(self, path: str, content: bytes) -> None:
        self.contents[path] = content

    def read(self, path: str, most: int) -> bytes:
        return self.contents[path][:most]

    def files(self) -> dict[str, File]:
        if self._slow:
            raise SandboxError("not now")
        return {path: File(len(content), "1") for path, content in self.contents.items()}

    def suspend(self) -> None:
        self.suspended = True

    def close(self) -> None:
        self.gone = True


class TestPlaces:
    def test_a_session_that_goes_before_it_runs_is_replaced_once(self) -> None:
        place = Place(Scripted("one", SessionGoneError("gone")), Scripted("two"))
        execution = Execution(CodeSource(place))
        assert execution.call("hello").content == {
            "output": "hello",
            "note": "This is a new session: variables of earlier calls are gone, there were no files.",
        }
        assert place.keys == ["execution/", "execution//one"]
        assert execution.memory["session"] == "two"

    def test_a_place_where_every_session_goes(self) -> None:
        place = Place(*(Scripted(str(n), SessionGoneError("The session has ended.")) for n in range(3)))
        outcome = Execution(CodeSource(place)).call("1")
        assert (outcome.status, outcome.content["error"]) == ("error", "The session has ended.")
        assert len(place.keys) == 2

    @pytest.mark.parametrize(("unknown", "status"), [(False, "error"), (True, "unknown")])
    def test_an_error_is_a_value_with_memory(self, *, unknown: bool, status: str) -> None:
        place = Place(Scripted("one", SandboxError("It is so.", unknown=unknown)))
        outcome = Execution(CodeSource(place)).call("1")
        assert (outcome.status, outcome.content) == (status, {"error": "It is so."})
        assert outcome.memory == {"session": "one", "files": {}, "versions": {}}

    def test_a_place_that_does_not_answer(self) -> None:
        end = threading.Event()
        outcome = Execution(CodeSource(Place(Scripted("one", end)))).call("1", seconds=0.2)
        end.set()
        assert outcome.status == "unknown"
        assert outcome.content == {"error": "The time was up before the code's end was known; it may have run."}
        assert outcome.memory["session"] == "one"

    def test_files_that_cannot_be_listed_cost_no_result(self) -> None:
        outcome = Execution(CodeSource(Place(Scripted("one", slow=True)))).call("1")
        assert outcome.status == "ok"
        assert outcome.content == {"output": "1", "note": "Files that this code wrote could not be kept."}

    def test_suspend_and_close(self) -> None:
        session = Scripted("one")
        execution = Execution(CodeSource(Place(session)))
        execution.source.suspend(None)
        execution.call("1")
        execution.source.suspend(execution.memory)
        execution.source.close(execution.memory)
        assert (session.suspended, session.gone) == (True, True)
        execution.source.close(execution.memory)

    def test_a_tool_that_is_not_here(self) -> None:
        source = CodeSource(Place())
        with pytest.raises(SandboxError, match="There is no tool rm here, only run_code"):
            source.call("rm", {}, CallContext("0" * 64, "e", 1, MemoryStore()))
