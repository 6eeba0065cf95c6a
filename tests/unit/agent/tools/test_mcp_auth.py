"""How the official server, behind a check of its own, comes to know an agent, and who else hears its secrets."""

import base64
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from lambda_llm.agent.errors import AgentDefinitionError, ToolError
from lambda_llm.agent.tools.mcp import Allowed, McpSource
from lambda_llm.agent.tools.mcp_auth import Authentication, Bearer, ClientCredentials, SigV4
from support.function_url import KEY, OTHER_KEY, REGION, FunctionURL, Key, listening, no_aws_of_this_machine
from support.mcp_servers import GENERATIONS, Generation, context, serving_official

__all__ = ["no_aws_of_this_machine"]

SECRET = "s3cr:et/with+signs"  # noqa: S105 - opens nothing but these servers


def say(url: str, auth: Authentication | None, generation: Generation = "2026-07-28") -> Any:
    source = McpSource("weather", url, {"say": Allowed()}, auth=auth, protocol=generation)
    return source.call("say", {"text": "ok"}, context()).content


# -- Signatures ----------------------------------------------------------------------------------------


@contextmanager
def gateway(monkeypatch: pytest.MonkeyPatch, *keys: Key) -> Iterator[tuple[str, FunctionURL]]:
    """The server behind a verifier of signatures for AgentCore."""
    doors: list[FunctionURL] = []

    def behind(app: ASGIApp) -> ASGIApp:
        doors.append(FunctionURL(app, *keys, service="bedrock-agentcore"))
        return doors[0]

    for name, value in KEY.environment.items():
        monkeypatch.setenv(name, value)
    with serving_official(behind) as server:
        yield server.url, doors[0]


@pytest.mark.usefixtures("no_aws_of_this_machine")
@pytest.mark.parametrize("generation", GENERATIONS)
def test_every_request_is_signed(monkeypatch: pytest.MonkeyPatch, generation: Generation) -> None:
    with gateway(monkeypatch) as (url, door):
        assert say(url, SigV4(REGION), generation) == "ok"
        assert {request.headers["authorization"].partition(" ")[0] for request in door.arrived} == {"AWS4-HMAC-SHA256"}
        assert len(door.arrived) >= 2


@pytest.mark.usefixtures("no_aws_of_this_machine")
@pytest.mark.parametrize("auth", [None, SigV4("us-east-1"), SigV4(REGION, service="lambda"), Bearer(lambda: "x")])
def test_another_signature_is_refused(monkeypatch: pytest.MonkeyPatch, auth: Authentication | None) -> None:
    with (
        gateway(monkeypatch) as (url, _),
        pytest.raises(ToolError, match=r"answered 403 \(Forbidden\)") as caught,
    ):
        say(url, auth)
    assert not caught.value.unknown


@pytest.mark.usefixtures("no_aws_of_this_machine")
def test_another_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with gateway(monkeypatch, OTHER_KEY) as (url, _), pytest.raises(ToolError, match="answered 403"):
        say(url, SigV4(REGION))


@pytest.mark.usefixtures("no_aws_of_this_machine")
def test_without_credentials_the_sentence_says_so() -> None:
    with serving_official() as server, pytest.raises(ToolError, match="there are no AWS credentials"):
        say(server.url, SigV4(REGION))


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("g-1.gateway.bedrock-agentcore.eu-west-1.amazonaws.com", "eu-west-1"),
        ("bedrock-agentcore.us-east-1.amazonaws.com", "us-east-1"),
        ("g.gateway.bedrock-agentcore.cn-north-1.amazonaws.com.cn", "cn-north-1"),
    ],
)
def test_the_region_is_in_the_name_of_a_gateway(host: str, region: str) -> None:
    auth = SigV4()
    McpSource("a", f"https://{host}/mcp", {"t": Allowed()}, auth=auth)
    assert auth.region == region


@pytest.mark.parametrize(
    "host",
    ["example.com", "bedrock-agentcore.us-east-1.amazonaws.com.evil.example", "xbedrock-agentcore.a.amazonaws.com"],
)
def test_another_host_needs_its_region_told(host: str) -> None:
    with pytest.raises(AgentDefinitionError, match=r"give it, as in SigV4\(region='eu-central-1'\)"):
        McpSource("a", f"https://{host}/mcp", {"t": Allowed()}, auth=SigV4())


# -- Tokens --------------------------------------------------------------------------------------------


@dataclass
class Issuer:
    """Gives tokens for client credentials, and lets through who has one that is valid.

    Attributes:
        asked: forms that came, with their Authorization header.
        valid: tokens that are let through.
        answer: what is given in place of a token.
        life: of a token in seconds.
        url: of the endpoint.
        guarded: of the tool server.
    """

    asked: list[tuple[dict[str, list[str]], str]] = field(default_factory=list)
    valid: set[str] = field(default_factory=set)
    answer: Response | None = None
    life: Any = 3600
    url: str = ""
    guarded: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        self.asked.append((parse_qs((await request.body()).decode()), request.headers.get("authorization", "")))
        token = f"token-{len(self.asked)}"
        self.valid.add(token)
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": self.life}
        await (self.answer or JSONResponse(answer))(scope, receive, send)

    def guarding(self, app: ASGIApp) -> ASGIApp:
        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                scheme, _, token = Request(scope).headers.get("authorization", "").partition(" ")
                if scheme != "Bearer" or token not in self.valid:
                    await Response(status_code=401)(scope, receive, send)
                    return
            await app(scope, receive, send)

        return guarded


@pytest.fixture(scope="module")
def running() -> Iterator[Issuer]:
    found = Issuer()
    with listening(found) as address, serving_official(found.guarding) as server:
        found.url, found.guarded = f"{address}/token", server.url
        yield found


@pytest.fixture
def issuer(running: Issuer) -> Issuer:
    running.asked.clear()
    running.valid.clear()
    running.answer, running.life = None, 3600
    return running


def client(issuer: Issuer, **more: Any) -> ClientCredentials:
    return ClientCredentials(issuer.url, "agent:1", lambda: SECRET, **more)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_token_is_asked_for_once_and_kept_until_it_ends(issuer: Issuer, generation: Generation) -> None:
    auth = client(issuer, scope="tools", resource="https://example.com/mcp")
    assert [say(issuer.guarded, auth, generation) for _ in range(3)] == ["ok"] * 3
    ((form, header),) = issuer.asked
    assert form == {"grant_type": ["client_credentials"], "scope": ["tools"], "resource": ["https://example.com/mcp"]}
    assert base64.b64decode(header.removeprefix("Basic ")) == b"agent%3A1:s3cr%3Aet%2Fwith%2Bsigns"


def test_the_secret_may_go_in_the_body(issuer: Issuer) -> None:
    assert say(issuer.guarded, client(issuer, in_body=True)) == "ok"
    ((form, header),) = issuer.asked
    assert form == {"grant_type": ["client_credentials"], "client_id": ["agent:1"], "client_secret": [SECRET]}
    assert header == ""


@pytest.mark.parametrize("life", [0.001, 1])
def test_a_token_that_ends_is_replaced(issuer: Issuer, life: float, monkeypatch: pytest.MonkeyPatch) -> None:
    issuer.life, now = life, [1_000_000.0]
    monkeypatch.setattr("lambda_llm.agent.tools.mcp_auth.time.time", lambda: now[0])
    auth = client(issuer)
    assert say(issuer.guarded, auth) == "ok"
    now[0] += life
    assert say(issuer.guarded, auth) == "ok"
    assert len(issuer.asked) == 2


def test_a_token_that_is_refused_is_replaced_once(issuer: Issuer) -> None:
    auth = client(issuer)
    assert say(issuer.guarded, auth) == "ok"
    issuer.valid.clear()
    assert say(issuer.guarded, auth) == "ok"
    assert len(issuer.asked) == 2
    issuer.answer = JSONResponse({"access_token": "forged", "token_type": "bearer"})
    issuer.valid.clear()
    with pytest.raises(ToolError, match="answered 401") as caught:
        say(issuer.guarded, auth)
    assert not caught.value.unknown


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (JSONResponse({"error": "invalid_client", "error_description": SECRET}, 401), "answered 401 (invalid_client)"),
        (JSONResponse({"error": "x\ny"}, 400), "answered 400: check"),
        (Response("<html>", 200), "answered without a bearer token"),
        (Response("[" * 60_000, 200), "answered without a bearer token"),
        (JSONResponse([]), "answered without a bearer token"),
        (JSONResponse({"access_token": "t", "token_type": "mac"}), "answered without a bearer token"),
        (JSONResponse({"access_token": "two\nlines"}), "answered without a bearer token"),
        (JSONResponse({"access_token": ""}), "answered without a bearer token"),
        (Response("x" * 70_000), "answers with more than 65,536 bytes"),
        (Response(b"x", headers={"content-encoding": "gzip"}), "compressed body"),
        (Response(status_code=302, headers={"location": "https://example.com/"}), "answered 302"),
        (Response(status_code=503), "answered 503"),
    ],
)
def test_an_endpoint_that_gives_no_token(issuer: Issuer, answer: Response, sentence: str) -> None:
    issuer.answer = answer
    with pytest.raises(ToolError) as caught:
        say(issuer.guarded, client(issuer))
    assert str(caught.value).startswith("The token endpoint at 127.0.0.1 ")
    assert sentence in str(caught.value)
    assert SECRET not in str(caught.value)
    assert not caught.value.unknown
    assert caught.value.retriable is ("503" in sentence)


def test_the_endpoint_must_be_https() -> None:
    with pytest.raises(AgentDefinitionError, match="The address of the token endpoint must begin with https://"):
        ClientCredentials("http://example.com/token", "id", lambda: SECRET)


def test_a_given_token(issuer: Issuer) -> None:
    issuer.valid.add("given")
    tokens = ["given", "other"]
    auth = Bearer(lambda: tokens[0])
    assert say(issuer.guarded, auth) == "ok"
    tokens.pop(0)
    with pytest.raises(ToolError, match="answered 401"):
        say(issuer.guarded, auth)


@pytest.mark.parametrize("token", ["", "two\nlines", "ünïcode", "a b"])
def test_a_token_that_is_none_is_not_sent_and_not_told(issuer: Issuer, token: str) -> None:
    with pytest.raises(ToolError) as caught:
        say(issuer.guarded, Bearer(lambda: token))
    assert str(caught.value).startswith("The token for the tool server is empty")
    assert not token or token not in str(caught.value)


def test_no_secret_is_logged(issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert say(issuer.guarded, client(issuer)) == "ok"
    encoded = base64.b64encode(b"agent%3A1:s3cr%3Aet%2Fwith%2Bsigns").decode()
    assert [text for text in (SECRET, encoded, "token-1") if text in caplog.text] == []
