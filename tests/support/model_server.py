"""A server of OpenAI's API on loopback that follows a script, in one piece or streamed."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    script: list[Any]
    requests: list[dict[str, Any]]


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.append(request)
        script = self.server.script
        answer = script.pop(0) if len(script) > 1 else script[0]
        status = answer.get("status", 200)
        if status == 200 and request.get("stream"):
            self._sent(200, "text/event-stream", _events(answer))
        else:
            self._sent(status, "application/json", json.dumps(answer))

    def _sent(self, status: int, kind: str, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        if status == 429:
            self.send_header("retry-after", "7")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _events(answer: dict[str, Any]) -> str:
    message, finish = answer["choices"][0]["message"], answer["choices"][0]["finish_reason"]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": piece} for piece in (message.get("content") or "").split(" ") if piece]
    for index, call in enumerate(message.get("tool_calls") or ()):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        deltas.append({"tool_calls": [{"index": index, "function": {"name": name, "arguments": ""}}]})
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in arguments]
    chunks = [{"created": answer["created"], "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"created": answer["created"], "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    chunks.append({"created": answer["created"], "choices": [], "usage": answer["usage"]})
    ended = [] if answer.get("cut") else ["[DONE]"]
    if answer.get("cut"):
        chunks = chunks[:2]
    return "".join(f"data: {event}\n\n" for event in [*map(json.dumps, chunks), *ended])


@contextmanager
def model_server(*script: Any) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Serve a script, whose last answer is repeated; gives the URL and the requests."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.script, server.requests = list(script), []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", server.requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
