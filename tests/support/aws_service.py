"""A service of AWS on loopback whose answers are what botocore's model says, or the test fails.

Requests are read, and answers checked and written, by the model of the installed botocore: a field of another name or
type is an error here, as a request that AWS would refuse by its patterns and lengths is.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import botocore.session
from botocore.model import OperationModel
from botocore.validate import ParamValidator

from support.event_streams import frame, wire


class ServiceError(Exception):
    """An error that the service tells: its name, as HTTP has it."""

    def __init__(self, name: str, message: str = "so it is", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(name)
        self.name, self.message, self.headers = name, message, headers or {}


@dataclass
class AWSService:
    """Operations by name, each called with the request's parameters; `asked` is what came."""

    name: str
    operations: dict[str, Callable[[dict[str, Any]], Any]]
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    url: str = ""
    faults: list[AssertionError] = field(default_factory=list)

    def of(self, operation: str) -> list[dict[str, Any]]:
        return [parameters for name, parameters in self.asked if name == operation]


@contextmanager
def aws_service(service: AWSService) -> Iterator[AWSService]:
    model = _session().get_service_model(service.name)
    routes = [(_pattern(model.operation_model(name)), model.operation_model(name)) for name in service.operations]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            try:
                self.answered()
            except ConnectionError:
                self.close_connection = True
            except AssertionError as fault:
                service.faults.append(fault)
                self.close_connection = True

        def answered(self) -> None:
            address = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            operation, path = _routed(routes, self.command, address.path)
            parameters = _parameters(operation, path, parse_qs(address.query), self.headers, body)
            service.asked.append((operation.name, parameters))
            try:
                result = service.operations[operation.name](parameters)
            except ServiceError as error:
                shape = next(each for each in operation.error_shapes if each.name == error.name)
                status = shape.metadata.get("error", {}).get("httpStatusCode", 400)
                headers = {"x-amzn-errortype": error.name, "content-type": "application/json", **error.headers}
                self.write(status, headers, json.dumps({"message": error.message}).encode())
                return
            if result is None and operation.output_shape is not None and operation.output_shape.required_members:
                self.close_connection = True
                return
            self.write(*_answer(operation, result or {}))

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - names of http.server

        def write(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert service.faults == []


@cache
def _session() -> botocore.session.Session:
    return botocore.session.get_session()


def _pattern(operation: OperationModel) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", operation.http["requestUri"]))


def _routed(
    routes: list[tuple[re.Pattern[str], OperationModel]], method: str, path: str
) -> tuple[OperationModel, dict[str, str]]:
    for pattern, operation in routes:
        match = pattern.fullmatch(path)
        if match and operation.http["method"] == method:
            return operation, match.groupdict()
    raise AssertionError(f"{method} {path} is no operation")


def _parameters(
    operation: OperationModel, path: Mapping[str, str], query: Mapping[str, list[str]], headers: Any, body: bytes
) -> dict[str, Any]:
    shape = operation.input_shape
    assert shape is not None
    payload = shape.serialization.get("payload")
    parameters: dict[str, Any] = ({payload: body} if payload else json.loads(body)) if body else {}
    for name, member in shape.members.items():
        wire = member.serialization.get("name", name)
        place = member.serialization.get("location")
        if place == "uri":
            parameters[name] = unquote(path[wire])
        elif place == "querystring" and wire in query:
            parameters[name] = query[wire][0]
        elif place == "header" and headers.get(wire):
            number = member.type_name in ("integer", "long")
            parameters[name] = int(headers[wire]) if number else headers[wire]
    _check(shape, parameters)
    return parameters


def _check(shape: Any, value: Any) -> None:
    """What AWS checks and botocore's client does not: patterns, lengths, bounds, names."""
    rules = shape.metadata
    if rules.get("document"):
        return
    if shape.type_name == "structure":
        assert set(value) <= set(shape.members), f"unknown: {set(value) - set(shape.members)}"
        assert set(shape.required_members) <= set(value), f"missing: {set(shape.required_members) - set(value)}"
        for name, each in value.items():
            _check(shape.members[name], each)
    elif shape.type_name == "blob":
        assert len(value) <= rules.get("max", 10**9), (shape.name, len(value))
    elif shape.type_name == "list":
        assert rules.get("min", 0) <= len(value) <= rules.get("max", 10**9), (shape.name, len(value))
        for each in value:
            _check(shape.member, each)
    elif shape.type_name == "string":
        assert rules.get("min", 0) <= len(value) <= rules.get("max", 10**9), (shape.name, value)
        assert re.fullmatch(_python(rules.get("pattern", r"[\s\S]*")), value), (shape.name, value)
        assert not rules.get("enum") or value in rules["enum"], (shape.name, value)
    elif shape.type_name in ("integer", "long"):
        assert rules.get("min", value) <= value <= rules.get("max", value), (shape.name, value)


def _python(pattern: str) -> str:
    """A pattern in Python's words."""
    words = {r"[\p{Print}]": "[ -~]", r"\p{ASCII}": r"[\x00-\x7f]", r"\A": "", r"\z": ""}
    for theirs, ours in words.items():
        pattern = pattern.replace(theirs, ours)
    return pattern


def _answer(operation: OperationModel, result: Any) -> tuple[int, dict[str, str], bytes]:
    shape = operation.output_shape
    status = operation.http.get("responseCode", 200)
    if shape is None:
        return status, {"content-type": "application/json"}, b"{}"
    if operation.has_event_stream_output:
        stream = operation.get_event_stream_output()
        body = b"".join(
            event if isinstance(event, bytes) else _event(stream, *next(iter(event.items()))) for event in result
        )
        return status, {"content-type": "application/vnd.amazon.eventstream"}, body
    report = ParamValidator().validate(result, shape)
    assert not report.has_errors(), report.generate_report()
    _check(shape, result)
    headers = {"content-type": "application/json"}
    places = {name: member.serialization for name, member in shape.members.items() if name in result}
    for name, place in places.items():
        if place.get("location") == "header":
            headers[place.get("name", name)] = result[name]
    if (payload := shape.serialization.get("payload")) is not None:
        return status, headers, result.get(payload, b"")
    return (
        status,
        headers,
        json.dumps(wire({each: result[each] for each in result if "location" not in places[each]})).encode(),
    )


def _event(stream: Any, name: str, value: Any) -> bytes:
    shape = stream.members[name]
    report = ParamValidator().validate(value, shape)
    assert not report.has_errors(), report.generate_report()
    _check(shape, value)
    kind = "exception" if shape.metadata.get("exception") else "event"
    headers = {f":{kind}-type": name, ":content-type": "application/json", ":message-type": kind}
    return frame(headers, json.dumps(wire(value)).encode())
