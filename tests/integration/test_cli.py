"""The commands as processes: push, inspect, serve, chat, one after the other as a person would."""

import base64
import json
import os
import pty
import re
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx2

from scripts.local_aws.server import LocalAWS
from support.answers import EXPECTED, LONG_QUESTION, OTHER_EXPECTED, OTHER_QUESTION, QUESTION
from support.commands import COMMAND, INTERRUPTED, interrupted, run, running
from support.gate import Gate
from support.servers import LIMIT_SECONDS, Server, raw_request, until

MODEL_ID = "lambda-llm-demo"


# -- push, inspect, serve ---------------------------------------------------------------------------


def test_a_model_is_pushed_inspected_served_and_asked(local_aws: LocalAWS, demo_model: Path) -> None:
    local_aws.make_bucket("cli-models")
    uri = "s3://cli-models/a [v1] folder/demo.gguf"
    done = run("push", demo_model, uri, "--json", environment=local_aws.environment)
    assert (done.returncode, done.stderr) == (0, "")
    pushed = json.loads(done.stdout)
    assert (pushed["model"], pushed["size"]) == (uri, demo_model.stat().st_size)
    pins = ["--version-id", pushed["version_id"], "--sha256", pushed["sha256"]]

    inspected = run("inspect", uri, *pins, "--json", environment=local_aws.environment)
    assert (inspected.returncode, inspected.stderr) == (0, "")
    facts = json.loads(inspected.stdout)
    for name in ("model", "version_id", "size", "crc64nvme", "memory"):
        assert facts[name] == pushed[name]
    # The fields by which Terraform's modules know a model; S3's own spelling of the checksum.
    assert f"s3://{pushed['bucket']}/{pushed['key']}" == uri
    assert len(base64.b64decode(pushed["crc64nvme"], validate=True)) == 8

    with running("serve", uri, *pins, "--port", 0, "--json", environment=local_aws.environment) as server:
        assert server.stdout
        ready = json.loads(server.stdout.readline())
        assert (ready["model"], ready["size"]) == (MODEL_ID, pushed["size"])
        assert ready["checksums"] == ["CRC64NVME", "SHA-256"]
        assert ready["resident"] > ready["resident_before"]
        asked = run("chat", ready["url"], "--temperature", 0, "--ask", QUESTION)
        assert EXPECTED in asked.stdout
        assert asked.stderr == ""
        assert interrupted(server) == ""


def test_what_push_prints_can_be_pinned(local_aws: LocalAWS, demo_model: Path) -> None:
    local_aws.make_bucket("cli-pins")
    uri = "s3://cli-pins/demo [q8].gguf"
    told = run("push", demo_model, uri, environment=local_aws.environment)
    assert told.returncode == 0
    pins = dict(re.findall(r"^  (LAMBDA_LLM_\w+)=(.+)$", told.stdout, re.MULTILINE))
    assert set(pins) == {"LAMBDA_LLM_MODEL", "LAMBDA_LLM_MODEL_VERSION_ID", "LAMBDA_LLM_MODEL_SHA256"}
    assert pins["LAMBDA_LLM_MODEL"] == uri
    again = run("push", demo_model, uri, "--json", environment=local_aws.environment)
    assert json.loads(again.stdout)["version_id"] != pins["LAMBDA_LLM_MODEL_VERSION_ID"]
    with running("serve", uri, "--port", 0, environment=local_aws.environment | pins) as server:
        assert server.stderr
        said = server.stderr.readline() + server.stderr.readline()
        assert said.startswith(f"{MODEL_ID}: 3.6 MB in")
        assert "verified by CRC64NVME and SHA-256" in said
        url = re.findall(r"lambda-llm chat (http://\S+)", said)[0]
        assert httpx2.get(f"{url}/models").json()["data"][0]["id"] == MODEL_ID
        interrupted(server)


def test_a_bucket_that_is_not_there_is_one_sentence(local_aws: LocalAWS, demo_model: Path) -> None:
    told = run("push", demo_model, "s3://cli-nowhere/demo.gguf", environment=local_aws.environment)
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.startswith("Error: There is no bucket 'cli-nowhere'")
    told = run("serve", "s3://cli-nowhere/demo.gguf", "--port", 0, environment=local_aws.environment)
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.startswith("Error: There is no bucket 'cli-nowhere'")
    assert told.stderr.count("\n") == 1


def test_ctrl_c_ends_a_server_that_is_loading(gate: Gate, pinned: dict[str, str]) -> None:
    environment = pinned | {"AWS_ENDPOINT_URL": gate.endpoint}
    with running("serve", pinned["LAMBDA_LLM_MODEL"], "--port", 0, environment=environment) as server:
        assert gate.reached.wait(LIMIT_SECONDS)
        server.send_signal(signal.SIGINT)
        gate.open.set()
        _, errors = server.communicate(timeout=LIMIT_SECONDS)
        assert server.returncode == INTERRUPTED
        assert "Traceback" not in errors


def test_ctrl_c_ends_a_server_in_the_midst_of_an_answer(endless_model: Path) -> None:
    with running("serve", endless_model, "--port", 0, "--json") as process:
        assert process.stdout
        ready = json.loads(process.stdout.readline())
        port = httpx2.URL(ready["url"]).port
        assert port
        server = Server(process, port, Path())
        body = {"model": "endless", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
        with raw_request(server, "POST", "/v1/chat/completions", body | {"temperature": 0}):
            until(lambda: server.requests()["active"])
            assert interrupted(process) == ""


# -- chat -------------------------------------------------------------------------------------------


def test_one_question_is_asked_in_words_and_in_json(demo_server: Server) -> None:
    words = run("chat", demo_server.url, "--temperature", 0, "--ask", QUESTION)
    assert (words.returncode, words.stderr) == (0, "")
    told = run("chat", f"{demo_server.url}/v1/", "--temperature", 0, "--ask", QUESTION, "--json")
    assert (told.returncode, told.stderr) == (0, "")
    answer = json.loads(told.stdout)
    assert (answer["model"], answer["answer"]) == (MODEL_ID, words.stdout.rstrip("\n"))
    assert EXPECTED in answer["answer"]
    assert answer["tokens"] > 5
    assert answer["seconds_to_first_token"] > 0
    assert answer["tokens_per_second"] > 0


def test_one_of_several_models_is_named(demo_server: Server) -> None:
    named = run("chat", demo_server.url, "--model", MODEL_ID, "--temperature", 0, "--ask", QUESTION)
    assert (named.returncode, EXPECTED in named.stdout) == (0, True)
    other = run("chat", demo_server.url, "--model", "other", "--ask", QUESTION)
    assert (other.returncode, other.stdout) == (1, "")
    assert other.stderr == f"Error: The server has no model 'other': use one of {MODEL_ID}.\n"


def test_a_refusal_of_the_server_is_one_sentence(demo_server: Server) -> None:
    told = run("chat", demo_server.url, "--ask", "word " * 3000)
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.startswith("Error: The server refused (400): This model's context length is 2048 tokens")
    assert told.stderr.count("\n") == 1


def test_a_conversation_through_a_pipe_keeps_answers_and_talk_apart(demo_server: Server) -> None:
    before = len(demo_server.lines())
    said = [
        QUESTION,
        "",
        OTHER_QUESTION,
        "/reset",
        QUESTION,
        "/system Be brief.",
        QUESTION,
        "/system",
        "/sing",
        "/exit",
        "x",
    ]
    told = run("chat", demo_server.url, "--temperature", 0, said="\n".join(said))
    assert told.returncode == 0
    answers = told.stdout.splitlines()
    assert len(answers) == 4
    assert EXPECTED in answers[0]
    assert OTHER_EXPECTED in answers[1]
    assert answers[2] == answers[0]
    for line in (MODEL_ID, "Conversation cleared.", "System prompt set.", "System prompt removed.", "tokens/s"):
        assert line in told.stderr
    # Once at the beginning, once in answer to a command that is none.
    assert told.stderr.count("clears the conversation") == 2
    ended = [line["message"] for line in demo_server.lines()[before:] if "generation ended" in line["message"]]
    prompts = [int(re.findall(r"prompt (\d+) tokens", line)[0]) for line in ended]
    assert prompts[0] < prompts[1], "the second question comes with the conversation so far"
    assert prompts[0] == prompts[2], "until it is forgotten"
    assert prompts[0] < prompts[3], "and the system prompt comes with each"


def test_the_end_of_the_input_ends_a_conversation(demo_server: Server) -> None:
    assert run("chat", demo_server.url).returncode == 0


def test_a_refused_message_does_not_end_a_conversation(demo_server: Server) -> None:
    told = run("chat", demo_server.url, "--temperature", 0, said=f"{'word ' * 3000}\n{QUESTION}\n")
    assert told.returncode == 0
    assert "The server refused (400)" in told.stderr
    assert EXPECTED in told.stdout


def test_a_server_that_dies_in_the_midst_of_an_answer_is_one_sentence(endless_model: Path) -> None:
    with running("serve", endless_model, "--port", 0, "--json") as server:
        assert server.stdout
        url = json.loads(server.stdout.readline())["url"]
        with running("chat", url, "--temperature", 0, "--ask", "Hello") as talking:
            assert talking.stdout
            assert talking.stdout.read(10)
            server.kill()
            _, errors = talking.communicate(timeout=LIMIT_SECONDS)
            assert talking.returncode == 1
            assert errors.startswith("Error: The server can't be reached")
            assert errors.count("\n") == 1


class Terminal:
    """A person's end of a terminal in which a command runs."""

    def __init__(self, *arguments: object) -> None:
        self._shown = ""
        self._seen = 0
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            environment = {**os.environ, "TERM": "dumb", "COLUMNS": "120"}
            os.execve(sys.executable, [*COMMAND, *map(str, arguments)], environment)  # noqa: S606

    def expect(self, text: str, *, insist: str = "") -> None:
        """Wait until `text` is shown, behind what was expected before; until then type `insist` every second."""
        self._read_until(lambda: text in self._shown[self._seen :], insist)
        self._seen = self._shown.index(text, self._seen) + len(text)

    def expect_more(self, count: int) -> None:
        """Wait for `count` more characters, whatever they are."""
        self._read_until(lambda: len(self._shown) >= self._seen + count)
        self._seen = len(self._shown)

    def _read_until(self, condition: Callable[[], bool], insist: str = "") -> None:
        deadline = time.monotonic() + LIMIT_SECONDS
        while not condition():
            assert time.monotonic() < deadline, self._shown
            ready, _, _ = select.select([self._fd], [], [], 1)
            if ready:
                self._shown += os.read(self._fd, 4096).decode(errors="replace")
            elif insist:
                self.type(insist)

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def ended(self) -> int:
        """Its exit status."""
        while True:
            try:
                if not os.read(self._fd, 4096):
                    break
            except OSError:  # how Linux says that the other end is closed
                break
        os.close(self._fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_a_conversation_in_a_terminal(endless_server: Server) -> None:
    before = endless_server.settled()
    terminal = Terminal("chat", endless_server.url, "--temperature", 0)
    terminal.expect("endless")
    terminal.expect("> ")
    # Python forgets a Ctrl-C that comes in the moment before input() begins to wait.
    terminal.expect("(Ctrl-D quits)", insist="\x03")
    terminal.expect("> ")
    terminal.type(f"{LONG_QUESTION}\r")
    terminal.expect(LONG_QUESTION)
    terminal.expect_more(50)
    terminal.type("\x03")
    terminal.expect("tokens", insist="\x03")
    terminal.expect("> ")
    until(lambda: endless_server.requests()["cancelled"] == before["cancelled"] + 1)
    terminal.type("/reset\r")
    terminal.expect("Conversation cleared.")
    terminal.expect("> ")
    terminal.type("\x04")
    assert terminal.ended() == 0


def test_ctrl_c_stops_waiting_for_an_answer_that_does_not_begin() -> None:
    listed = b'{"object": "list", "data": [{"id": "silent", "object": "model", "created": 1, "owned_by": "x"}]}'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(listed)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(LIMIT_SECONDS)
        terminal = Terminal("chat", f"http://127.0.0.1:{server.getsockname()[1]}")
        connection, _ = server.accept()
        with connection:
            assert connection.recv(65536).startswith(b"GET /v1/models")
            connection.sendall(head + listed)
            terminal.expect("silent")
            terminal.expect("> ")
            terminal.type("Hello\r")
            assert connection.recv(65536).startswith(b"POST /v1/chat/completions")
            terminal.expect("(stopped)", insist="\x03")
            terminal.expect("> ")
            terminal.type("\x04")
            assert terminal.ended() == 0
