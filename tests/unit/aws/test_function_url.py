"""Requests to a Function URL are signed as AWS checks it, by a server that checks."""

import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx2
import litellm
import pytest
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, OpenAI, PermissionDeniedError
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from lambda_llm.aws.errors import CredentialsError
from lambda_llm.aws.function_url import function_url_auth
from lambda_llm.engine.engine import Engine
from support.answers import EXPECTED, QUESTION, user
from support.chat import MODEL_ID, body, made
from support.function_url import KEY, OTHER_KEY, REGION, FunctionURL, Key, Wallet, serving_signed

URL = "https://abc123.lambda-url.eu-central-1.on.aws"
MESSAGES: Any = [user(QUESTION)]

pytestmark = pytest.mark.usefixtures("no_aws_of_this_machine")


@pytest.fixture
def _with_credentials(no_aws_of_this_machine: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - first
    for name, value in KEY.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def function_url(engine: Engine) -> Iterator[FunctionURL]:
    """The real application over the demo model, behind a Function URL."""
    with serving_signed(made(engine)) as function_url:
        yield function_url


class Way(httpx2.HTTPTransport):
    """Every host name leads to the server on loopback."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = httpx2.URL(url)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(scheme="http", host=self._url.host, port=self._url.port)
        return super().handle_request(request)


# -- clients ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_with_credentials")
def test_openai_s_client_signs_whatever_it_sends(function_url: FunctionURL) -> None:
    http = httpx2.Client(auth=function_url_auth(f"{URL}/v1"), transport=Way(function_url.url))
    with OpenAI(base_url=f"{URL}/v1", api_key="unused", http_client=http) as client:
        assert [each.id for each in client.models.list()] == [MODEL_ID]
        client.models.list(extra_query={"b": "two words", "a": "1+1=2&ü"})
        answer = client.chat.completions.create(model=MODEL_ID, messages=MESSAGES, temperature=0)
        assert EXPECTED in (answer.choices[0].message.content or "")
        client.chat.completions.create(model=MODEL_ID, messages=[{"role": "user", "content": "Grüße 🎉"}], max_tokens=1)
    assert [each.method for each in function_url.arrived] == ["GET", "GET", "POST", "POST"]
    for each in function_url.arrived:
        assert each.headers["host"] == "abc123.lambda-url.eu-central-1.on.aws"
        assert "unused" not in each.headers["authorization"]


@pytest.mark.usefixtures("_with_credentials")
def test_openai_s_client_streams(function_url: FunctionURL) -> None:
    http = httpx2.Client(auth=function_url_auth(function_url.url, REGION))
    with OpenAI(base_url=f"{function_url.url}/v1", api_key="unused", http_client=http) as client:
        stream = client.chat.completions.create(model=MODEL_ID, messages=MESSAGES, temperature=0, stream=True)
        pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
    assert EXPECTED in "".join(pieces)
    assert len(pieces) > 3


@pytest.mark.usefixtures("_with_credentials")
async def test_openai_s_asynchronous_client_streams(function_url: FunctionURL) -> None:
    http = httpx2.AsyncClient(auth=function_url_auth(function_url.url, REGION))
    async with AsyncOpenAI(base_url=f"{function_url.url}/v1", api_key="unused", http_client=http) as client:
        stream = await client.chat.completions.create(model=MODEL_ID, messages=MESSAGES, temperature=0, stream=True)
        assert EXPECTED in "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


@pytest.mark.usefixtures("_with_credentials")
@pytest.mark.filterwarnings("ignore:Items? .* using the `ReadOnly` qualifier:UserWarning")  # LiteLLM's own types
async def test_langchain_and_litellm_sign_too(function_url: FunctionURL, monkeypatch: pytest.MonkeyPatch) -> None:
    auth: Any = function_url_auth(function_url.url, REGION)
    with httpx2.Client(auth=auth) as http, httpx.Client(auth=auth) as old_http:
        async with httpx2.AsyncClient(auth=auth) as later, httpx.AsyncClient(auth=auth) as old_later:
            given: Any = {"model": MODEL_ID, "base_url": f"{function_url.url}/v1", "api_key": "unused"}
            chain = ChatOpenAI(**given, temperature=0, http_client=http, http_async_client=later)
            assert EXPECTED in str(chain.invoke(QUESTION).content)
            assert EXPECTED in str((await chain.ainvoke(QUESTION)).content)
            assert EXPECTED in "".join(str(each.content) for each in chain.stream(QUESTION))
            monkeypatch.setattr(litellm, "client_session", old_http)
            monkeypatch.setattr(litellm, "aclient_session", old_later)
            given |= {"model": f"openai/{MODEL_ID}", "messages": MESSAGES, "temperature": 0}
            assert EXPECTED in str(litellm.completion(**given))
            assert EXPECTED in str(await litellm.acompletion(**given))
    assert all(each.problem(function_url.keys) is None for each in function_url.arrived)


@pytest.mark.usefixtures("_with_credentials")
@pytest.mark.parametrize("changed", ["body", "path", "query", "type", "date", "key"])
def test_one_byte_changed_on_the_way_is_refused(function_url: FunctionURL, changed: str) -> None:
    class Tampering(Way):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            content = request.content
            if changed == "body":
                content = content.replace(b"memory", b"Memory")
            elif changed == "type":
                request.headers["content-type"] += ";"
            elif changed == "date":
                request.headers["x-amz-date"] = "20261101T000000Z"
            elif changed == "key":
                request.headers["authorization"] = request.headers["authorization"].replace("Signature=", "Signature=0")
            elif changed == "path":
                request.url = request.url.copy_with(path=f"{request.url.path}/")
            else:
                request.url = request.url.copy_with(query=b"a=2")
            return super().handle_request(
                httpx2.Request(request.method, request.url, headers=request.headers, content=content)
            )

    with httpx2.Client(auth=function_url_auth(URL), transport=Tampering(function_url.url)) as client:
        answer = client.post(f"{URL}/v1/chat/completions?a=1", json=body())
    assert answer.status_code == 403, answer.text


@pytest.mark.usefixtures("_with_credentials")
def test_nothing_is_buffered_on_the_way_back() -> None:
    on_the_way = threading.Event()

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"first", "more_body": True})
            await anyio.to_thread.run_sync(on_the_way.wait)
            await send({"type": "http.response.body", "body": b"second"})

    with (
        serving_signed(app) as function_url,
        httpx2.Client(auth=function_url_auth(function_url.url, REGION)) as client,
        client.stream("POST", function_url.url, content=b"question") as answer,
    ):
        chunks = answer.iter_raw()
        assert next(chunks) == b"first"
        on_the_way.set()
        assert b"".join(chunks) == b"second"


# -- credentials ------------------------------------------------------------------------------------


@pytest.fixture
def wallet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wallet:
    wallet = Wallet(tmp_path)
    for name, value in wallet.environment.items():
        monkeypatch.setenv(name, value)
    return wallet


@pytest.fixture
def hello() -> Iterator[FunctionURL]:
    with serving_signed(JSONResponse({"hello": "you"})) as function_url:
        yield function_url


def renewed() -> Key:
    return dataclasses.replace(OTHER_KEY, token=f"{KEY.token}, renewed")


def test_credentials_that_were_renewed_sign_the_next_request(hello: FunctionURL, wallet: Wallet) -> None:
    wallet.from_a_process(KEY)
    with httpx2.Client(auth=function_url_auth(hello.url, REGION)) as client:
        client.get(hello.url).raise_for_status()
        hello.keys = {OTHER_KEY.id: renewed()}
        wallet.from_a_process(renewed())
        client.get(hello.url).raise_for_status()
    assert len(hello.arrived) == 2, "nothing was refused in between"


@pytest.mark.parametrize("content", [None, b"question"])
def test_a_login_in_the_meantime_is_noticed_when_the_old_keys_are_refused(
    hello: FunctionURL, wallet: Wallet, content: bytes | None
) -> None:
    wallet.in_a_file(KEY)
    with httpx2.Client(auth=function_url_auth(hello.url, REGION)) as client:
        client.post(hello.url, content=content).raise_for_status()
        hello.keys = {OTHER_KEY.id: OTHER_KEY}
        wallet.in_a_file(OTHER_KEY)
        client.post(hello.url, content=content).raise_for_status()
        client.post(hello.url, content=content).raise_for_status()
    assert [each.problem({KEY.id: KEY}) is None for each in hello.arrived] == [True, True, False, False]


async def test_a_login_is_noticed_by_an_asynchronous_client_too(hello: FunctionURL, wallet: Wallet) -> None:
    wallet.in_a_file(KEY)
    async with httpx2.AsyncClient(auth=function_url_auth(hello.url, REGION)) as client:
        (await client.post(hello.url, content=b"question")).raise_for_status()
        hello.keys = {OTHER_KEY.id: OTHER_KEY}
        wallet.in_a_file(OTHER_KEY)
        (await client.post(hello.url, content=b"question")).raise_for_status()


def test_a_refusal_with_the_keys_that_there_are_is_final(hello: FunctionURL, wallet: Wallet) -> None:
    wallet.in_a_file(OTHER_KEY)
    http = httpx2.Client(auth=function_url_auth(hello.url, REGION))
    with (
        OpenAI(base_url=hello.url, api_key="unused", http_client=http) as client,
        pytest.raises(PermissionDeniedError) as refused,
    ):
        client.models.list()
    assert "security token" in refused.value.response.text
    assert len(hello.arrived) == 1


def test_credentials_that_can_t_be_renewed_are_told(hello: FunctionURL, wallet: Wallet) -> None:
    wallet.from_a_process(KEY)
    with httpx2.Client(auth=function_url_auth(hello.url, REGION)) as client:
        wallet.from_a_process(None)
        with pytest.raises(CredentialsError, match=r"have expired and can't be renewed .*: log in again"):
            client.get(hello.url)
    assert hello.arrived == []


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


@pytest.mark.usefixtures("_with_credentials")
def test_the_region_comes_from_the_address_or_is_given_for_a_domain_of_one_s_own() -> None:
    for auth in (function_url_auth(URL), function_url_auth("https://llm.example.com", REGION)):
        assert auth
        assert auth.region == REGION


def test_without_credentials_a_function_url_can_t_be_called() -> None:
    with pytest.raises(CredentialsError, match="needs a signature, but there are no AWS credentials: configure them"):
        function_url_auth(URL)


def test_a_profile_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(CredentialsError, match=r"can't be read .*nobody.*: check the AWS configuration"):
        function_url_auth(URL)
