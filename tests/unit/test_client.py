"""Requests to a Function URL are signed as AWS checks it: recomputed here from what arrived, by AWS's description.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hashlib
import hmac
import json
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import quote

import httpx2
import pytest
from botocore.credentials import Credentials
from openai import OpenAI

from lambda_llm.client import CredentialsError, FunctionURLAuth, function_url_auth
from support.answers import user

URL = "https://abc123.lambda-url.eu-central-1.on.aws"
SECRETS = {"AKIDEXAMPLE": "secret one", "AKIDRENEWED": "secret two"}


@dataclass
class Arrived:
    """A request as the server saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    fields: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        scheme, _, rest = self.headers["authorization"].partition(" ")
        assert scheme == "AWS4-HMAC-SHA256"
        self.fields = dict(part.strip().split("=", 1) for part in rest.split(","))

    def signature(self) -> str:
        """What the signature must be."""
        key_id, day, region, service, end = self.fields["Credential"].split("/")
        signed = self.fields["SignedHeaders"].split(";")
        path, _, query = self.path.partition("?")
        canonical = "\n".join(
            [
                self.method,
                quote(path),
                "&".join(sorted(query.split("&"))),
                *(f"{name}:{self.headers[name].strip()}" for name in signed),
                "",
                ";".join(signed),
                hashlib.sha256(self.body).hexdigest(),
            ]
        )
        scope = f"{day}/{region}/{service}/{end}"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        to_sign = f"AWS4-HMAC-SHA256\n{self.headers['x-amz-date']}\n{scope}\n{digest}"
        key = f"AWS4{SECRETS[key_id]}".encode()
        for part in (day, region, service, end):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.digest(key, to_sign.encode(), "sha256").hex()


class FunctionURL(httpx2.HTTPTransport):
    """The way to a server on loopback that takes itself for the Function URL."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived: list[Arrived] = []
        arrived = self.arrived

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                arrived.append(Arrived(self.command, self.path, headers, body))
                answer = json.dumps({"object": "list", "data": [{"id": "demo", "object": "model"}]}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST  # noqa: N815 - http.server's name

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self._server.server_port)
        return super().handle_request(request)

    def close(self) -> None:
        super().close()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def function_url() -> Iterator[FunctionURL]:
    transport = FunctionURL()
    yield transport
    transport.close()


@pytest.fixture(autouse=True)
def _no_aws_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def _with_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRETS["AKIDEXAMPLE"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a session token")


@pytest.mark.usefixtures("_with_credentials")
def test_openai_s_client_signs_whatever_it_sends(function_url: FunctionURL) -> None:
    http = httpx2.Client(auth=function_url_auth(f"{URL}/v1"), transport=function_url)
    with OpenAI(base_url=f"{URL}/v1", api_key="unused", http_client=http) as client:
        client.models.list()
        client.models.list(extra_query={"b": "two", "a": "1"})
        client.chat.completions.create(model="demo", messages=[user("Grüße 🎉")])  # type: ignore[list-item]
    assert [each.method for each in function_url.arrived] == ["GET", "GET", "POST"]
    for each in function_url.arrived:
        assert each.headers["host"] == "abc123.lambda-url.eu-central-1.on.aws"
        assert each.headers["x-amz-security-token"] == "a session token"
        assert re.fullmatch(r"AKIDEXAMPLE/\d{8}/eu-central-1/lambda/aws4_request", each.fields["Credential"])
        assert {"host", "x-amz-date", "x-amz-security-token"} <= set(each.fields["SignedHeaders"].split(";"))
        assert each.fields["Signature"] == each.signature()
        assert "unused" not in each.headers["authorization"]


@pytest.mark.usefixtures("_with_credentials")
def test_a_body_changed_on_the_way_breaks_the_signature(function_url: FunctionURL) -> None:
    with httpx2.Client(auth=function_url_auth(URL), transport=function_url) as client:
        client.post(f"{URL}/v1/chat/completions", json={"model": "demo"})
    (arrived,) = function_url.arrived
    assert arrived.fields["Signature"] == arrived.signature()
    arrived.body += b" "
    assert arrived.fields["Signature"] != arrived.signature()


def test_credentials_that_were_renewed_sign_the_next_request(function_url: FunctionURL) -> None:
    class Renewed(Credentials):
        ids = iter(SECRETS)

        def get_frozen_credentials(self):
            key_id = next(self.ids)
            return Credentials(key_id, SECRETS[key_id]).get_frozen_credentials()

    with httpx2.Client(auth=FunctionURLAuth("us-east-1", Renewed("", "")), transport=function_url) as client:
        for _ in SECRETS:
            client.get(f"{URL}/health")
    for each, key_id in zip(function_url.arrived, SECRETS, strict=True):
        assert each.fields["Credential"].startswith(f"{key_id}/")
        assert each.fields["Signature"] == each.signature()


@pytest.mark.usefixtures("_with_credentials")
@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/v1",
        "https://example.com",
        "https://abc.lambda-url.eu-central-1.on.aws.example.com",
        "https://example.com/abc.lambda-url.eu-central-1.on.aws",
        "https://lambda-url.eu-central-1.on.aws",
    ],
)
def test_nobody_else_is_sent_a_signature(url: str) -> None:
    assert function_url_auth(url) is None


def test_without_credentials_a_function_url_can_t_be_called() -> None:
    with pytest.raises(CredentialsError, match="needs a signature, but there are no AWS credentials: configure them"):
        function_url_auth(URL)
