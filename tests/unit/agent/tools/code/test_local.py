"""The local sandbox, attacked as a model's code could: each attack ends in the right answer, not only without harm."""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import lambda_llm
from lambda_llm.agent.errors import SandboxError, SandboxUnavailableError
from lambda_llm.agent.tools.code.backend import OUTPUT_MOST, Session, SessionGoneError
from lambda_llm.agent.tools.code.local import LocalBackend, LocalLimits
from support.servers import until

pytestmark = [
    pytest.mark.needs("bwrap", get="apt install bubblewrap"),
    pytest.mark.needs("unshare", get="apt install util-linux"),
]

SECONDS = 30
MIB = 1024 * 1024
PACKAGE = Path(lambda_llm.__file__).parent
DEAF = "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\n"
"""Code that does not hear that it takes too long."""

TO_ITSELF = (
    "import sys\nf = sys._getframe()\nwhile 'interpreter' not in f.f_locals: f = f.f_back\n"
    "i = f.f_locals['interpreter']\n"
)
"""Code that finds what runs it."""

ANSWER = (
    "import json, os, struct\ndef say(m):\n  b = m if isinstance(m, bytes) else json.dumps(m).encode()\n"
    "  os.write(4, struct.pack('>I', len(b)) + b)\n"
)
"""Code that writes answers of its own."""


@pytest.fixture
def backend() -> Iterator[LocalBackend]:
    backend = LocalBackend(LocalLimits(memory=256 * MIB, disk=8 * MIB, files=200, processes=16, cpu_seconds=20))
    yield backend
    backend.close()


@pytest.fixture
def session(backend: LocalBackend) -> Session:
    return backend.open(None, "key")


def printed(session: Session, code: str) -> str:
    run = session.run(code, SECONDS)
    assert (run.ok, run.error, run.stderr) == (True, "", "")
    return run.stdout


def host_processes(mark: str) -> list[str]:
    """Processes of this machine whose command line has a text."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = each.read_bytes()
        except OSError:
            continue
        if mark.encode() in command:
            found.append(each.parent.name)
    return found


class TestState:
    def test_variables_and_files_are_kept(self, backend: LocalBackend, session: Session) -> None:
        assert session.fresh
        assert session.run("x = 20\nopen('a.txt', 'w').write('abc')\nx + 1", SECONDS).value == "21"
        again = backend.open(session.id, "other")
        assert (again.id, again.fresh) == (session.id, False)
        assert printed(again, "print(x * 2, open('a.txt').read())") == "40 abc\n"

    def test_a_key_starts_one_session(self, backend: LocalBackend, session: Session) -> None:
        assert backend.open(None, "key").id == session.id
        other = backend.open(None, "key2")
        assert other.id != session.id
        assert other.run("x", SECONDS).error == "NameError: name 'x' is not defined"

    def test_a_class_of_the_code_can_be_pickled(self, session: Session) -> None:
        code = "import pickle\nclass A: pass\nprint(type(pickle.loads(pickle.dumps(A()))).__name__)"
        assert printed(session, code) == "A\n"

    def test_a_session_that_was_closed_is_gone(self, backend: LocalBackend, session: Session) -> None:
        session.close()
        assert backend.find(session.id) is None
        with pytest.raises(SessionGoneError, match="it was closed"):
            session.run("1", SECONDS)
        assert backend.open(session.id, "next").fresh

    def test_the_one_that_was_idle_longest_makes_room(self) -> None:
        backend = LocalBackend(sessions=2)
        first, second = backend.open(None, "1"), backend.open(None, "2")
        backend.open(first.id, "")
        third = backend.open(None, "3")
        assert [backend.find(each.id) is not None for each in (first, second, third)] == [True, False, True]
        backend.close()

    def test_nobody_asks_any_more(self) -> None:
        backend = LocalBackend(idle_seconds=0)
        session = backend.open(None, "key")
        assert until(lambda: backend.find(session.id) is None)
        backend.close()

    def test_the_thread_that_opened_it_may_end(self, backend: LocalBackend) -> None:
        opened: list[Session] = []
        thread = threading.Thread(target=lambda: opened.append(backend.open(None, "key")))
        thread.start()
        thread.join()
        assert printed(opened[0], "print(1)") == "1\n"


class TestAnswers:
    def test_output_of_the_code_and_of_processes_it_starts(self, session: Session) -> None:
        code = "import os, sys, subprocess\nprint('a')\nsys.stdout.buffer.write(b'b\\n')\nos.system('echo c')"
        assert printed(session, f"{code}\nNone") == "a\nb\nc\n"
        assert session.run("import subprocess; subprocess.run(['ls', '/nope'])", SECONDS).stderr.startswith("ls:")

    @pytest.mark.parametrize(
        ("code", "error", "line"),
        [
            ("x = 1\n1/0", "ZeroDivisionError: division by zero", 2),
            ("def f(:", "SyntaxError: invalid syntax", 1),
            ("import sys\nsys.exit('no')", "SystemExit: no", 2),
            ("def f():\n  return f()\nf()", "RecursionError: maximum recursion depth exceeded", 2),
            ("class E(Exception):\n  def __str__(self): raise E\nraise E", "E", 3),
            ("raise KeyboardInterrupt", "KeyboardInterrupt", 1),
            ("bytearray(1 << 30)", "MemoryError", 1),
            ("open('big', 'wb').write(bytes(9 << 20))", "OSError: [Errno 27] File too large", 1),
        ],
    )
    def test_an_exception_costs_no_variables(self, session: Session, code: str, error: str, line: int) -> None:
        printed(session, "kept = 5")
        run = session.run(code, SECONDS)
        assert (run.ok, run.error, run.line, run.value) == (False, error, line, None)
        assert printed(session, "print(kept)") == "5\n"

    def test_a_flood_keeps_its_head(self, session: Session) -> None:
        run = session.run("for i in range(100_000): print(i)", SECONDS)
        assert (run.ok, run.truncated, len(run.stdout)) == (True, True, OUTPUT_MOST)
        assert run.stdout.startswith("0\n1\n2\n")
        run = session.run(
            "import os; os.system('head -c 1000000 /dev/zero | tr \"\\\\0\" x'); 'v' * 1_000_000", SECONDS
        )
        assert (run.truncated, run.stdout, run.value) == (True, "x" * OUTPUT_MOST, "'" + "v" * (OUTPUT_MOST - 1))
        assert printed(session, "print('after')") == "after\n"

    def test_what_is_no_unicode(self, session: Session) -> None:
        run = session.run("import sys; sys.stdout.buffer.write(b'\\xff\\n'); print('\\ud800'); '\\ud800'", SECONDS)
        assert (run.ok, run.stdout, run.value) == (True, "\ufffd\n\\ud800\n", "'\\ud800'")

    def test_too_slow_for_the_code_alone(self, session: Session) -> None:
        printed(session, "kept = 5")
        assert session.run("while True: pass", 2).error == "TimeoutError: it took too long"
        assert printed(session, "print(kept)") == "5\n"

    @pytest.mark.parametrize(
        "code",
        [
            f"{DEAF}while True: pass",
            "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})\nwhile True: pass",
            "import os\nfor n in range(3, 20):\n  try: os.close(n)\n  except OSError: pass\nwhile True: pass",
            "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
        ],
    )
    def test_too_slow_and_deaf(self, backend: LocalBackend, session: Session, code: str) -> None:
        with pytest.raises(SandboxError, match=r"^The code was stopped and its session with it, because ") as caught:
            session.run(code, 1)
        assert not caught.value.unknown
        assert backend.find(session.id) is None


class TestFiles:
    def test_written_listed_and_read(self, session: Session) -> None:
        session.write("data/in.bin", b"\x00\xff" * 1000)
        assert printed(session, "print(sum(open('data/in.bin', 'rb').read()))") == "255000\n"
        printed(session, "open('out.txt', 'w').write('héé')")
        files = session.files()
        assert {path: file.size for path, file in files.items()} == {"data/in.bin": 2000, "out.txt": 5}
        assert session.read("out.txt", 100) == "héé".encode()
        assert session.read("data/in.bin", 3) == b"\x00\xff\x00"
        session.write("out.txt", b"new")
        assert session.files()["out.txt"].version != files["out.txt"].version
        assert session.files()["data/in.bin"] == files["data/in.bin"]

    def test_a_change_shows_when_size_and_time_stay(self, session: Session) -> None:
        printed(session, "open('a', 'w').write('1'); import os; os.utime('a', (0, 0))")
        before = session.files()["a"]
        printed(session, "open('a', 'w').write('2'); os.utime('a', (0, 0))")
        assert (session.files()["a"].size, session.files()["a"].version == before.version) == (1, False)

    def test_links_and_pipes_are_not_followed(self, session: Session) -> None:
        printed(
            session,
            "import os; os.symlink('/etc/passwd', 'l'); os.symlink('/usr/lib', 'd'); os.mkfifo('p'); os.mkdir('e')",
        )
        assert session.files() == {}
        for path in ("l", "d/os-release", "e"):
            with pytest.raises(SandboxError, match="The sandbox refused it"):
                session.read(path, 10)
        with pytest.raises(SandboxError, match="The sandbox refused it"):
            session.write("d/x", b"")
        session.write("l", b"mine")
        assert (session.read("l", 10), list(session.files())) == (b"mine", ["l"])

    @pytest.mark.parametrize("path", ["", "/etc/passwd", "../a", "a/../../b", "a//b", "a\nb", "a\0b", "x" * 201])
    def test_paths_that_lead_elsewhere(self, session: Session, path: str) -> None:
        for act in (lambda: session.read(path, 1), lambda: session.write(path, b"")):
            with pytest.raises(SandboxError, match="A file's path is relative"):
                act()


class TestIsolation:
    def test_nothing_of_the_host_is_seen(self, session: Session) -> None:
        seen = printed(session, "import os; print(sorted(os.listdir('/')), os.listdir('/dev/shm'), os.listdir('/tmp'))")
        assert seen == "['bin', 'dev', 'lib', 'lib64', 'proc', 'tmp', 'usr', 'work'] [] []\n"
        assert (
            printed(session, "print(dict(os.environ))")
            == str({"HOME": "/work", "PATH": "/usr/bin", "LANG": "C.UTF-8", "PWD": "/work"}) + "\n"
        )
        assert printed(session, "print(os.getuid(), os.getgid(), os.uname().nodename)") == "65534 65534 sandbox\n"

    def test_the_environment_is_nowhere_in_proc(self, backend: LocalBackend, monkeypatch: pytest.MonkeyPatch) -> None:
        secret = secrets.token_hex(8)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        code = "import glob\nprint([open(p).read().split('\\0') for p in sorted(glob.glob('/proc/[0-9]*/environ'))])"
        seen = printed(backend.open(None, "key"), code)
        assert secret not in seen
        assert seen.count("PWD=/") == 2

    def test_no_other_process_is_seen(self, session: Session) -> None:
        code = "import os; print([open(f'/proc/{p}/comm').read().strip() for p in os.listdir('/proc') if p.isdigit()])"
        assert printed(session, code) == "['bwrap', 'python3']\n"

    def test_no_capability_no_new_privileges_and_a_filter_for_all(self, session: Session) -> None:
        code = (
            "for p in (1, 'self'):\n  s = dict(l.split(':\\t', 1) for l in open(f'/proc/{p}/status'))\n"
            "  print(*(s[k].strip() for k in ('CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'NoNewPrivs', 'Seccomp')))"
        )
        none = "0000000000000000"
        assert printed(session, code) == f"{none} {none} {none} {none} 1 2\n" * 2

    def test_only_the_protocol_is_inherited(self, session: Session) -> None:
        code = "import os\nfor n in range(64):\n  try: print(n, os.readlink(f'/proc/self/fd/{n}')[:5])\n"
        seen = printed(session, f"{code}  except OSError: pass")
        assert seen == "0 /dev/\n1 /tmp/\n2 /tmp/\n3 pipe:\n4 pipe:\n"

    @pytest.mark.parametrize("path", ["/x", "/dev/x", "/usr/x", "/proc/sys/kernel/core_pattern"])
    def test_what_cannot_be_written(self, session: Session, path: str) -> None:
        error = session.run(f"open({path!r}, 'w')", SECONDS).error
        assert error.startswith(("OSError: [Errno 30] Read-only", "PermissionError: [Errno 13]"))

    @pytest.mark.parametrize(
        "call",
        [
            "socket.socket()",
            "socket.socket(socket.AF_UNIX)",
            "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
            "socket.socketpair()",
            "os.memfd_create('m')",
        ],
    )
    def test_calls_that_python_has(self, session: Session, call: str) -> None:
        assert (
            session.run(f"import os, socket\n{call}", SECONDS).error == "OSError: [Errno 38] Function not implemented"
        )

    @pytest.mark.parametrize(
        ("name", "arguments"),
        [
            ("ptrace", "0, 0, 0, 0"),
            ("process_vm_readv", "1, 0, 0, 0, 0, 0"),
            ("mount", "0, 0, 0, 0, 0"),
            ("umount2", "0, 0"),
            ("pivot_root", "0, 0"),
            ("unshare", "0x10000000"),
            ("setns", "0, 0"),
            ("bpf", "0, 0, 0"),
            ("keyctl", "0, 0, 0"),
            ("add_key", "0, 0, 0, 0, 0"),
            ("io_uring_setup", "1, 0"),
            ("userfaultfd", "0"),
            ("perf_event_open", "0, 0, 0, 0, 0"),
            ("open_by_handle_at", "0, 0, 0"),
            ("shmget", "0, 4096, 0o1600"),
            ("msgget", "0, 0o1600"),
            ("mq_open", "0, 0, 0, 0"),
            ("seccomp", "0, 0, 0"),
            ("clone3", "0, 0"),
            ("personality", "0"),
            ("chroot", "0"),
        ],
    )
    def test_calls_that_are_not_there(self, session: Session, name: str, arguments: str) -> None:
        code = (
            "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nseccomp = ctypes.CDLL('libseccomp.so.2')\n"
            f"n = seccomp.seccomp_syscall_resolve_name(b'{name}')\nassert n > 0\n"
            f"print(libc.syscall(n, {arguments}), ctypes.get_errno())"
        )
        assert printed(session, code) == "-1 38\n"

    def test_a_namespace_by_clone(self, session: Session) -> None:
        code = (
            "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nn = ctypes.CDLL('libseccomp.so.2')"
            ".seccomp_syscall_resolve_name(b'clone')\n"
            "print(libc.syscall(n, 0x10000011, 0, 0, 0, 0), ctypes.get_errno())"
        )
        assert printed(session, code) == "-1 38\n"

    def test_typing_for_the_terminal(self, session: Session) -> None:
        code = "import fcntl\nfcntl.ioctl(1, 0x5412, b'x')"
        assert session.run(code, SECONDS).error == "OSError: [Errno 38] Function not implemented"
        assert session.run("open('/dev/tty')", SECONDS).error.startswith("OSError: [Errno 6]")

    def test_no_signal_reaches_the_host(self, session: Session) -> None:
        code = "import os\nfor p in (0, 1):\n  print(os.getppid())\nos.kill(1, 9)\nprint(os.path.exists('/proc/1'))"
        assert printed(session, code) == "1\n1\nTrue\n"
        assert session.run(f"import os; os.kill({os.getpid()}, 0)", SECONDS).error.startswith("ProcessLookupError")


class TestLimits:
    def test_bytes_of_all_files_together(self, session: Session) -> None:
        code = (
            "import os\nn = 0\ntry:\n  while True:\n    for d in ('/work', '/tmp', '/dev/shm'):\n"
            "      with open(f'{d}/{n}', 'wb', 0) as f: f.write(bytes(1 << 20))\n      n += 1\n"
            "except OSError as e: print(n, e.strerror)"
        )
        assert printed(session, code) in {"7 No space left on device\n", "8 No space left on device\n"}
        assert (
            printed(
                session,
                "for n in range(9):\n  for d in ('/work', '/tmp', '/dev/shm'):\n"
                "    if os.path.exists(f'{d}/{n}'): os.remove(f'{d}/{n}')\nprint(2)",
            )
            == "2\n"
        )

    def test_number_of_files(self, session: Session) -> None:
        code = "n = 0\ntry:\n  while True: open(str(n), 'w').close(); n += 1\nexcept OSError as e: print(n, e.strerror)"
        number, why = printed(session, code).split(" ", 1)
        assert (150 < int(number) < 200, why) == (True, "No space left on device\n")

    def test_processes(self, session: Session) -> None:
        code = (
            "import os, signal\nmade = []\ntry:\n  while True:\n    p = os.fork()\n    if p == 0: signal.pause()\n"
            "    made.append(p)\nexcept OSError as e: print(len(made), e.strerror)\n"
            "for p in made: os.kill(p, 9), os.waitpid(p, 0)"
        )
        number, why = printed(session, f"{code}\nNone").split(" ", 1)
        assert (10 <= int(number) < 16, why) == (True, "Resource temporarily unavailable\n")
        assert printed(session, "print(3)") == "3\n"

    def test_a_bomb_of_processes_ends_with_its_session(self, backend: LocalBackend, session: Session) -> None:
        mark = secrets.token_hex(8)
        printed(session, f"import os, signal\nos.spawnv(os.P_NOWAIT, '/usr/bin/sleep', ['{mark}', '600'])\nprint(1)")
        with pytest.raises(SandboxError, match="because it took longer than 1 s"):
            session.run(f"{DEAF}while True:\n  try: os.fork()\n  except OSError: pass", 1)
        assert host_processes(mark) == []
        assert backend.find(session.id) is None

    def test_memory_of_all_processes_together(self, backend: LocalBackend, session: Session) -> None:
        code = (
            "import os, time\nfor n in range(8):\n  if os.fork() == 0:\n    held = bytearray(b'1') * (100 << 20)\n"
            "    time.sleep(60)\ntime.sleep(60)"
        )
        with pytest.raises(SandboxError, match="because its processes took more than 256 MiB of memory"):
            session.run(code, SECONDS)
        assert backend.find(session.id) is None

    def test_processor_time_of_all_processes_together(self) -> None:
        backend = LocalBackend(LocalLimits(cpu_seconds=1))
        code = "import os\nfor n in range(3):\n  if os.fork() == 0:\n    while True: pass\nimport time; time.sleep(60)"
        with pytest.raises(SandboxError, match="because it took more than 1 s of processor time"):
            backend.open(None, "key").run(code, SECONDS)
        backend.close()

    def test_raising_them_again(self, session: Session) -> None:
        for name in ("AS", "NPROC", "FSIZE", "CPU", "NOFILE", "CORE"):
            run = session.run(f"import resource as r; r.setrlimit(r.RLIMIT_{name}, (r.RLIM_INFINITY,) * 2)", SECONDS)
            assert run.error in {
                "ValueError: not allowed to raise maximum limit",
                "ValueError: current limit exceeds maximum limit",
            }


class TestEnds:
    @pytest.mark.parametrize(
        "code",
        [
            "import os; os._exit(0)",
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "import ctypes; ctypes.string_at(0)",
            "import os; os.execv('/usr/bin/true', ['true'])",
        ],
    )
    def test_the_code_ends_its_interpreter(self, backend: LocalBackend, session: Session, code: str) -> None:
        text = r"^The code was stopped and its session with it, because its interpreter ended\.$"
        with pytest.raises(SandboxError, match=text) as caught:
            session.run(code, SECONDS)
        assert not caught.value.unknown
        assert until(lambda: backend.find(session.id) is None)

    def test_nothing_is_left(self, backend: LocalBackend) -> None:
        mark = secrets.token_hex(8)
        session = backend.open(None, "key")
        printed(
            session,
            "import os\nfor n in range(3):\n  if os.fork() == 0:\n    os.setsid()\n"
            f"    os.execv('/usr/bin/sleep', ['{mark}', '60'])\nNone",
        )
        until(lambda: len(host_processes(mark)) == 3)
        session.close()
        assert host_processes(mark) == []

    def test_nothing_is_left_of_a_host_that_was_killed(self) -> None:
        mark = secrets.token_hex(8)
        code = f"import os\nos.spawnv(os.P_NOWAIT, '/usr/bin/sleep', ['{mark}', '600'])\nprint(1)\nwhile True: pass"
        script = (
            "import sys\nfrom lambda_llm.agent.tools.code.local import LocalBackend\n"
            "LocalBackend().open(None, 'k').run(sys.argv[1], 600)"
        )
        host = subprocess.Popen(
            [sys.executable, "-c", script, code],
            env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        )
        until(lambda: host_processes(f"{mark}\x00600"))
        host.kill()
        host.wait()
        assert until(lambda: not host_processes(f"{mark}\x00600"))


class TestForgery:
    """The interpreter's descriptor is the code's too: what it writes there is an answer like any other, or an end."""

    @pytest.mark.parametrize(
        "code",
        [
            "say({'id': '', 'ok': True, 'stdout': 'forged'})",
            "say([1])",
            "say(b'{')",
            "say(b'[' * 100_000)",
            "os.write(4, b'\\xff' * 8)",
            "os.write(4, struct.pack('>I', 100) + b'{'); os._exit(0)",
        ],
    )
    def test_answers_that_are_none(self, backend: LocalBackend, session: Session, code: str) -> None:
        with pytest.raises(SandboxError, match=r"because (the code wrote answers of its own|its interpreter ended)\."):
            session.run(ANSWER + code, SECONDS)
        assert backend.find(session.id) is None

    def test_an_answer_for_the_next_call(self, backend: LocalBackend, session: Session) -> None:
        """It does not know the next call's name."""
        session.run(
            f"{ANSWER}import threading, time\nthreading.Timer(0.2, say, [{{'id': 'x', 'ok': True}}]).start()", SECONDS
        )
        with pytest.raises(SandboxError, match="because the code wrote answers of its own"):
            session.run("import time; time.sleep(5)", SECONDS)
        assert backend.find(session.id) is None

    @pytest.mark.parametrize(
        "files",
        [
            "[]",
            "{'a': 1}",
            "{'a': [-5, '']}",
            "{'a': [float('inf'), '']}",
            "{'a': [1, 'v' * 101]}",
            "{str(n): [1, ''] for n in range(1001)}",
        ],
    )
    def test_lists_that_are_none(self, session: Session, files: str) -> None:
        printed(session, f"{TO_ITSELF}type(i).files = lambda self: {files}")
        with pytest.raises(SandboxError, match="because the code wrote answers of its own"):
            session.files()

    def test_an_answer_of_odd_types(self, session: Session) -> None:
        printed(session, f"{TO_ITSELF}type(i).run = lambda *a: {{'ok': 1, 'stdout': [2], 'line': 'x'}}")
        run = session.run("1", SECONDS)
        assert (run.ok, run.stdout, run.value, run.error, run.line) == (False, "[2]", None, "Error", None)


def refused(script: str, *start: str) -> str:
    """What a machine says that is as `start` makes it."""
    code = (
        "from lambda_llm.agent.tools.code.local import LocalBackend\nfrom lambda_llm.agent.errors import "
        f"SandboxUnavailableError\ntry:\n  print({script})\nexcept SandboxUnavailableError as e:\n  print(e)"
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        shutil.copytree(PACKAGE, Path(folder) / "lambda_llm", ignore=shutil.ignore_patterns("__pycache__"))
        done = subprocess.run(
            [*start, "/usr/bin/python3", "-B", "-W", "error", "-c", code],
            env={"PYTHONPATH": folder},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.stderr == ""
    return done.stdout


AS_DAEMON = ("setpriv", "--reuid=1", "--regid=1", "--clear-groups")
root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")


class TestRefusals:
    @pytest.mark.parametrize(("left_out", "package"), [("bwrap", "bubblewrap"), ("unshare", "util-linux")])
    def test_a_program_is_missing(self, tmp_path: Path, left_out: str, package: str) -> None:
        for name in {"bwrap", "unshare", "mount"} - {left_out}:
            (tmp_path / name).symlink_to(shutil.which(name) or "")
        with pytest.raises(SandboxUnavailableError) as caught:
            LocalBackend(programs=str(tmp_path)).open(None, "key")
        assert str(caught.value) == f"Code can't be isolated here for want of {left_out}: install {package}."

    @pytest.mark.parametrize("platform", ["darwin", "win32"])
    def test_another_system(self, monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
        monkeypatch.setattr(sys, "platform", platform)
        with pytest.raises(SandboxUnavailableError, match=f"by namespaces that {platform} does not have"):
            LocalBackend().open(None, "key")

    @root
    def test_no_user_namespaces(self) -> None:
        last = 'echo 1 > /proc/sys/user/max_user_namespaces && exec unshare --map-user=1000 "$@"'
        text = refused("LocalBackend().open(None, 'k')", "unshare", "--map-root-user", "sh", "-c", last, "sh")
        assert text.startswith("bubblewrap can't isolate code here (unshare: unshare failed: No space left on device):")
        assert text.endswith("or give the agent another backend, such as AgentCoreBackend.\n")
        assert text.count("\n") == 1

    @root
    def test_root_that_cannot_become_nobody(self) -> None:
        text = refused("LocalBackend().open(None, 'k')", "unshare", "--map-root-user")
        assert text == (
            "Code can't be isolated here: /usr/bin/unshare does not start as an unprivileged user "
            "(Operation not permitted).\n"
        )

    @root
    def test_as_an_unprivileged_user(self) -> None:
        code = "import os; print(os.getuid(), sorted(os.listdir(chr(47))))"
        text = refused(f"LocalBackend().open(None, 'k').run({code!r}, 30).stdout", *AS_DAEMON)
        assert text == "65534 ['bin', 'dev', 'lib', 'lib64', 'proc', 'tmp', 'usr', 'work']\n\n"

    @root
    def test_root_becomes_nobody(self, session: Session) -> None:
        mark = secrets.token_hex(8)
        printed(session, f"import os\nos.spawnv(os.P_NOWAIT, '/usr/bin/sleep', ['{mark}', '600'])\nprint(1)")
        assert {Path(f"/proc/{each}").stat().st_uid for each in until(lambda: host_processes(mark))} == {65534}
