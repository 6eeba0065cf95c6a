"""A server on loopback that takes itself for a Function URL with IAM: it checks signatures as AWS describes them.

The signature is worked out here from what arrived, without botocore, which makes it on the other side.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import datetime as dt
import hashlib
import hmac
import json
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest
import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REGION = "eu-central-1"
CLOCK_SECONDS = 300


@dataclass(frozen=True)
class Key:
    id: str = "AKIDEXAMPLE"
    secret: str = "secret one"  # noqa: S105 - opens nothing but this server
    token: str | None = "a session token"  # noqa: S105 - as above

    @property
    def environment(self) -> dict[str, str]:
        given = {"AWS_ACCESS_KEY_ID": self.id, "AWS_SECRET_ACCESS_KEY": self.secret}
        return given if self.token is None else given | {"AWS_SESSION_TOKEN": self.token}


KEY = Key()
OTHER_KEY = Key("AKIDRENEWED", "secret two", None)


@dataclass
class Arrived:
    """A request as the server saw it."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    fields: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        scheme, _, rest = self.headers.get("authorization", "").partition(" ")
        parts = [part.strip().partition("=") for part in rest.split(",")] if scheme == "AWS4-HMAC-SHA256" else []
        self.fields = {name: value for name, _, value in parts}

    def signature(self, secret: str) -> str:
        """What the signature must be."""
        _, day, region, service, end = self.fields["Credential"].split("/")
        signed = self.fields["SignedHeaders"].split(";")
        canonical = "\n".join(
            [
                self.method,
                quote(self.path),
                "&".join(sorted(self.query.split("&"))),
                *(f"{name}:{self.headers[name].strip()}" for name in signed),
                "",
                ";".join(signed),
                hashlib.sha256(self.body).hexdigest(),
            ]
        )
        scope = f"{day}/{region}/{service}/{end}"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        to_sign = f"AWS4-HMAC-SHA256\n{self.headers['x-amz-date']}\n{scope}\n{digest}"
        key = f"AWS4{secret}".encode()
        for part in (day, region, service, end):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.digest(key, to_sign.encode(), "sha256").hex()

    def problem(self, keys: Mapping[str, Key], service: str = "lambda") -> str | None:
        """Why AWS would not let it through."""
        if not {"Credential", "SignedHeaders", "Signature"} <= self.fields.keys():
            return "Forbidden. For troubleshooting Function URL authorization issues, see: https://docs.aws.amazon.com/"
        key_id, _, *scope = self.fields["Credential"].split("/")
        key = keys.get(key_id, Key(secret="", token=""))
        must_be_signed = {"host", *(name for name in self.headers if name.startswith("x-amz-"))}
        signed_at = dt.datetime.strptime(self.headers["x-amz-date"] + "+0000", "%Y%m%dT%H%M%SZ%z")
        age = (dt.datetime.now(dt.UTC) - signed_at).total_seconds()
        checks = {
            "The security token included in the request is expired": (
                key_id in keys and self.headers.get("x-amz-security-token") == key.token
            ),
            "Credential should be scoped to a valid region.": scope == [REGION, service, "aws4_request"],
            "'Host' or 'x-amz-' headers must be signed.": (
                must_be_signed <= set(self.fields["SignedHeaders"].split(";"))
            ),
            "Signature expired": abs(age) < CLOCK_SECONDS,
            "The value of the header x-amz-content-sha256 is not the body's.": (
                self.headers["x-amz-content-sha256"] == hashlib.sha256(self.body).hexdigest()
            ),
            "The request signature we calculated does not match the signature you provided.": (
                hmac.compare_digest(self.fields["Signature"], self.signature(key.secret))
            ),
        }
        return next((problem for problem, passed in checks.items() if not passed), None)


class FunctionURL:
    """Lets through to `app` what is signed with one of `keys`, and refuses the rest as Lambda does.

    Attributes:
        arrived: every request, the refused ones included.
        keys: that are valid; tests exchange them.
        service: that must be signed for: other services check as this one does.
        url: where it listens.
    """

    def __init__(self, app: ASGIApp, *keys: Key, service: str = "lambda") -> None:
        self.arrived: list[Arrived] = []
        self.keys = {key.id: key for key in keys or (KEY,)}
        self.service = service
        self.url = ""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        arrived = Arrived(scope["method"], scope["raw_path"].decode(), scope["query_string"].decode(), headers, body)
        self.arrived.append(arrived)
        if problem := arrived.problem(self.keys, self.service):
            refusal = JSONResponse({"Message": problem}, 403, {"x-amzn-ErrorType": "AccessDeniedException"})
            await refusal(scope, receive, send)
            return
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, again, send)


class Wallet:
    """Credentials where the AWS command line looks for them, exchanged as a person or a program does it."""

    def __init__(self, folder: Path) -> None:
        self._config, self._shared, self._said = folder / "config", folder / "credentials", folder / "said.json"

    @property
    def environment(self) -> dict[str, str]:
        return {"AWS_CONFIG_FILE": str(self._config), "AWS_SHARED_CREDENTIALS_FILE": str(self._shared)}

    def in_a_file(self, key: Key) -> None:
        token = f"aws_session_token = {key.token}\n" if key.token else ""
        self._shared.write_text(
            f"[default]\naws_access_key_id = {key.id}\naws_secret_access_key = {key.secret}\n{token}"
        )

    def nowhere(self) -> None:
        self._shared.unlink(missing_ok=True)

    def from_a_process(self, key: Key | None) -> None:
        """Temporary ones, so near their end that each request asks for newer ones; None: there are none."""
        expires = (dt.datetime.now(dt.UTC) + dt.timedelta(minutes=5)).isoformat()
        said = {"Version": 1, "Expiration": expires}
        if key:
            said |= {"AccessKeyId": key.id, "SecretAccessKey": key.secret, "SessionToken": key.token or ""}
        self._said.write_text(json.dumps(said) if key else "")
        self._config.write_text(f"[default]\ncredential_process = cat {self._said}\n")


@contextmanager
def listening(app: ASGIApp) -> Iterator[str]:
    """Serve an ASGI application beside the test; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # which asyncio sets only on sockets of its own
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def serving_signed(app: ASGIApp, *keys: Key) -> Iterator[FunctionURL]:
    """The same behind a Function URL."""
    function_url = FunctionURL(app, *keys)
    with listening(function_url) as function_url.url:
        yield function_url


def aws_nowhere(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment without whatever credentials the machine has."""
    kept = {name: value for name, value in environment.items() if not name.startswith("AWS_")}
    return kept | {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture
def no_aws_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's credentials but the test's own."""
    for name in [each for each in os.environ if each.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in aws_nowhere().items():
        monkeypatch.setenv(name, value)
