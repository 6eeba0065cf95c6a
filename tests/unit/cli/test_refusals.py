"""Expected failures of the other commands: one sentence on standard error, status 1."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from support.command_line import Result, Run

pytestmark = pytest.mark.usefixtures("no_aws_of_this_machine")


def refused(told: Result) -> str:
    assert (told.status, told.out) == (1, "")
    assert told.err.startswith("Error: ")
    assert told.err.count("\n") == 1
    assert "Traceback" not in told.err
    return told.err


# -- serve ------------------------------------------------------------------------------------------


def test_a_port_in_use_is_refused_before_anything_is_loaded(run: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(run("serve", tmp_path / "missing.gguf", "--port", port))
    assert f"127.0.0.1:{port} can't be listened on" in said
    assert "choose another --port" in said


def test_an_address_of_somebody_else_is_refused(run: Run, tmp_path: Path) -> None:
    assert "192.0.2.1:8080 can't be listened on" in refused(run("serve", tmp_path / "m.gguf", "--host", "192.0.2.1"))


def test_a_model_that_is_not_there_is_refused(run: Run, tmp_path: Path) -> None:
    assert "There is no file" in refused(run("serve", tmp_path / "missing.gguf", "--port", 0))


def test_a_model_that_does_not_fit_is_refused(run: Run, demo_model: Path) -> None:
    assert "does not fit" in refused(run("serve", demo_model, "--port", 0, "--memory-mb", 64))


def test_the_word_of_an_authorizer_that_is_not_there_is_not_waited_for(
    run: Run, demo_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMBDA_LLM_TENANT", "authorizer")
    said = refused(run("serve", demo_model, "--port", 0))
    assert "LAMBDA_LLM_TENANT=authorizer is for functions behind an API Gateway" in said


# -- push -------------------------------------------------------------------------------------------


def test_what_is_no_model_is_not_pushed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a model")
    assert "is not a GGUF file" in refused(run("push", tmp_path / "notes.txt", "s3://bucket/key"))


def test_a_target_that_is_not_in_s3_is_refused(run: Run, demo_model: Path, tmp_path: Path) -> None:
    assert "write s3://BUCKET/KEY" in refused(run("push", demo_model, tmp_path / "copy.gguf"))


# -- chat -------------------------------------------------------------------------------------------


class Stranger(BaseHTTPRequestHandler):
    """A server, but not one of OpenAI's kind."""

    answer = b""
    status = 200
    kind = "text/html"

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Type", self.kind)
        self.send_header("Content-Length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *_: object) -> None:
        """Nothing on standard error: that is what is tested."""


@pytest.fixture
def stranger() -> Iterator[tuple[type[Stranger], str]]:
    handler = type("Handler", (Stranger,), {})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield handler, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_nobody_at_the_address_is_told(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    said = refused(run("chat", f"http://127.0.0.1:{port}/v1", "--ask", "Hello"))
    assert "The server can't be reached" in said
    assert "is it running there?" in said


@pytest.mark.parametrize("url", ["nonsense", "", "ftp://127.0.0.1", "http://", "http://[bad"])
def test_an_address_that_is_none_is_told(run: Run, url: str) -> None:
    refused(run("chat", url, "--ask", "Hello"))


@pytest.mark.parametrize(
    ("status", "kind", "answer", "says"),
    [
        (200, "text/html", b"<html>hello</html>", "is not a list of models"),
        (200, "application/json", b"{}", "is not a list of models"),
        (200, "application/json", b'{"data": []}', "is not a list of models"),
        (200, "application/json", b"{", "is not a list of models"),
        (404, "text/html", b"<html>no</html>", "refused (404)"),
        (403, "application/json", b'{"Message": "Forbidden"}', "lambda:InvokeFunctionUrl and lambda:InvokeFunction"),
        (500, "text/plain", b"", "refused (500)"),
    ],
)
def test_a_server_of_another_kind_is_told(
    run: Run, stranger: tuple[type[Stranger], str], status: int, kind: str, answer: bytes, says: str
) -> None:
    handler, url = stranger
    handler.status, handler.kind, handler.answer = status, kind, answer
    assert says in refused(run("chat", url, "--ask", "Hello"))


def test_a_function_url_without_credentials_is_told(run: Run) -> None:
    said = refused(run("chat", "https://abc.lambda-url.eu-central-1.on.aws/v1", "--ask", "Hello"))
    assert "The request needs a signature, but there are no AWS credentials" in said


# -- proxy ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["nonsense", "", "ftp://127.0.0.1", "http://", "http://exa\tmple"])
def test_an_address_that_is_none_can_t_be_signed_for(run: Run, url: str) -> None:
    assert "is not a URL: give the Function URL" in refused(run("proxy", url))


def test_what_is_no_function_url_needs_a_region(run: Run) -> None:
    said = refused(run("proxy", "https://llm.example.com"))
    assert "is not a Function URL" in said
    assert "give --region if it is a custom domain" in said


@pytest.mark.parametrize(
    "arguments", [["https://abc.lambda-url.eu-central-1.on.aws"], ["https://llm.example.com", "--region", "us-east-1"]]
)
def test_a_proxy_without_credentials_does_not_begin(run: Run, arguments: list[str]) -> None:
    assert "there are no AWS credentials: configure them" in refused(run("proxy", *arguments))
