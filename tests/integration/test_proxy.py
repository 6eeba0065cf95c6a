"""`lambda-llm proxy` as a process between official clients and a Function URL that checks signatures."""

import json
import re
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from openai import APIError, AsyncOpenAI, AuthenticationError, NotFoundError, OpenAI, PermissionDeniedError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from lambda_llm.limits import BUFFERED_PAYLOAD_BYTES
from scripts.demo import MODEL
from scripts.models.opening import open_engine
from support.answers import EXPECTED, QUESTION, user
from support.chat import MODEL_ID, made
from support.commands import INTERRUPTED, running
from support.function_url import KEY, OTHER_KEY, REGION, FunctionURL, Wallet, aws_nowhere, serving_signed
from support.servers import LIMIT_SECONDS, free_port

ASKED: Any = {"model": MODEL_ID, "messages": [user(QUESTION)], "temperature": 0}


class Odd:
    """What a function may do, step by step, as the test says."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.left = threading.Event()
        paths = [self.echo, self.chunks, self.endless, self.silent, self.events_cut, self.bytes_cut, self.crash]
        self.routes = [Route(f"/odd/{path.__name__}", path, methods=["GET", "POST"]) for path in paths]

    async def echo(self, request: Request) -> Response:
        said = {
            "path": request.scope["raw_path"].decode(),
            "query": request.scope["query_string"].decode(),
            "headers": [[name.decode(), value.decode()] for name, value in request.headers.raw],
            "body": (await request.body()).decode(),
        }
        response = JSONResponse(said, headers={"Connection": "X-Private", "X-Private": "1", "X-Public": "2"})
        response.set_cookie("one", "1")
        response.set_cookie("two", "2")
        return response

    async def chunks(self, _: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b"first"
            await anyio.to_thread.run_sync(self.go_on.wait)
            yield b"second"

        return StreamingResponse(body())

    async def endless(self, _: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            try:
                yield b"data: {}\n\n"
                await anyio.sleep_forever()
            finally:
                self.left.set()

        return StreamingResponse(body(), media_type="text/event-stream")

    async def silent(self, request: Request) -> Response:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self.left.set()
        return Response()

    async def events_cut(self, _: Request) -> Response:
        return Cut(b"data: {}\n\n", media_type="text/event-stream")

    async def bytes_cut(self, _: Request) -> Response:
        return Cut(b"half", media_type="application/octet-stream")

    async def crash(self, _: Request) -> Response:
        return PlainTextResponse("Internal Server Error", 502)


class Cut(Response):
    """Ends in the midst of its body."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG002 - ASGI's
        headers = [(b"content-type", str(self.media_type).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})


@pytest.fixture(scope="module")
def odd() -> Odd:
    return Odd()


@pytest.fixture(scope="module")
def function_url(odd: Odd) -> Iterator[FunctionURL]:
    """The real application over the demo model, and the odd paths, behind a Function URL."""
    with open_engine(MODEL) as engine:
        app = Starlette(routes=[*odd.routes, Mount("/", made(engine))])
        with serving_signed(app) as function_url:
            yield function_url


@contextmanager
def proxied(url: str, credentials: Mapping[str, str], *options: str) -> Iterator[tuple[Any, dict[str, str]]]:
    """The proxy in front of `url`: its process, and the line that it prints when it is ready."""
    environment = {**aws_nowhere(), **credentials}
    with running("proxy", url, "--region", REGION, "--port", 0, "--json", *options, environment=environment) as process:
        assert process.stdout
        assert process.stderr
        line = process.stdout.readline()
        assert line, process.stderr.read()
        yield process, json.loads(line)


@pytest.fixture(scope="module")
def proxy(function_url: FunctionURL) -> Iterator[str]:
    """Address of the proxy, without /v1."""
    with proxied(f"{function_url.url}/v1/", KEY.environment) as (_, ready):
        assert ready | {"url": ""} == {"url": "", "target": function_url.url, "region": REGION}
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1", ready["url"])
        yield ready["url"].removesuffix("/v1")


@pytest.fixture
def client(proxy: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{proxy}/v1", api_key="any key", max_retries=0) as client:
        yield client


@pytest.fixture
def plain(proxy: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=proxy, timeout=LIMIT_SECONDS) as client:
        yield client


# -- what goes through ------------------------------------------------------------------------------


def test_openai_s_client_is_answered_whole_and_streamed(client: OpenAI, function_url: FunctionURL) -> None:
    assert [each.id for each in client.models.list()] == [MODEL_ID]
    whole = client.chat.completions.create(**ASKED)
    assert EXPECTED in (whole.choices[0].message.content or "")
    with client.chat.completions.create(**ASKED, stream=True) as stream:
        pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
    assert "".join(pieces) == whole.choices[0].message.content
    assert all("any key" not in each.headers["authorization"] for each in function_url.arrived)


async def test_openai_s_asynchronous_client_streams(proxy: str) -> None:
    async with AsyncOpenAI(base_url=f"{proxy}/v1", api_key="any key", max_retries=0) as client:
        stream = await client.chat.completions.create(**ASKED, stream=True)
        assert EXPECTED in "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


def test_chunks_come_as_they_are_sent(plain: httpx2.Client, odd: Odd) -> None:
    with plain.stream("POST", "/odd/chunks", content=b"question") as answer:
        chunks = answer.iter_raw()
        assert next(chunks) == b"first"
        odd.go_on.set()
        assert b"".join(chunks) == b"second"


def test_path_query_body_and_headers_arrive_as_they_were_sent(plain: httpx2.Client) -> None:
    sent = {
        "X-Mine": "yes",
        "Connection": "keep-alive, X-Hop",
        "X-Hop": "1",
        "TE": "trailers",
        "Expect": "100-continue",
    }
    answer = plain.post("/odd/echo?b=a%2Fb&a=1+1", content="Grüße".encode(), headers=sent | {"Authorization": "mine"})
    said = answer.json()
    assert (said["path"], said["query"], said["body"]) == ("/odd/echo", "b=a%2Fb&a=1+1", "Grüße")
    headers = dict(said["headers"])
    assert headers["x-mine"] == "yes"
    assert headers.keys().isdisjoint({"x-hop", "te", "expect", "transfer-encoding"})
    assert headers["user-agent"] == plain.headers["user-agent"]
    assert len(headers) == len(said["headers"]), "nothing is said twice"
    assert answer.headers["x-public"] == "2"
    assert "x-private" not in answer.headers
    assert answer.headers.get_list("set-cookie") == ["one=1; Path=/; SameSite=lax", "two=2; Path=/; SameSite=lax"]
    assert len(answer.headers.get_list("date")) == 1


def test_a_refusal_of_the_function_itself_comes_through_unchanged(client: OpenAI) -> None:
    with pytest.raises(NotFoundError) as missing:
        client.chat.completions.create(**ASKED | {"model": "gpt-5"})
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")


# -- who leaves, and what breaks --------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/odd/endless", "/odd/silent"])
def test_a_client_that_leaves_ends_the_request_to_the_function(plain: httpx2.Client, odd: Odd, path: str) -> None:
    odd.left.clear()
    if path == "/odd/endless":
        with plain.stream("POST", path, content=b"question") as answer:
            next(answer.iter_raw())
    else:
        with pytest.raises(httpx2.ReadTimeout):
            plain.post(path, content=b"question", timeout=0.5)
    assert odd.left.wait(LIMIT_SECONDS)


def test_a_stream_that_breaks_off_says_so(client: OpenAI, plain: httpx2.Client) -> None:
    events = plain.post("/odd/events_cut").text
    assert events.startswith("data: {}\n\n")
    last = json.loads(events.rstrip().rpartition("data: ")[2])
    assert last["error"]["code"] == "unreachable"
    with pytest.raises(httpx2.RemoteProtocolError):
        plain.post("/odd/bytes_cut")
    with pytest.raises(APIError, match=r"502.*AWS refused the request: Internal Server Error"):
        client.get("/../odd/crash", cast_to=object)
    assert client.models.list().data, "the proxy goes on"


def test_a_function_that_is_not_there_is_told() -> None:
    with (
        proxied(f"http://127.0.0.1:{free_port()}", KEY.environment) as (_, ready),
        OpenAI(base_url=ready["url"], api_key="any", max_retries=0) as client,
        pytest.raises(APIError, match=r"502.*The function can't be reached") as unreachable,
    ):
        client.models.list()
    assert unreachable.value.code == "unreachable"


def test_a_body_that_lambda_would_not_take_is_refused_here(plain: httpx2.Client) -> None:
    answer = plain.post("/v1/chat/completions", content=b" " * (BUFFERED_PAYLOAD_BYTES + 1))
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "request_too_large"
    assert "6 MB" in answer.json()["error"]["message"]


# -- credentials ------------------------------------------------------------------------------------


def test_credentials_are_renewed_and_what_is_wrong_with_them_is_told(function_url: FunctionURL, tmp_path: Path) -> None:
    wallet = Wallet(tmp_path)
    wallet.in_a_file(KEY)
    before = function_url.keys
    try:
        with (
            proxied(function_url.url, wallet.environment) as (process, ready),
            OpenAI(base_url=ready["url"], api_key="any", max_retries=0) as client,
        ):
            assert client.models.list().data
            function_url.keys = {OTHER_KEY.id: OTHER_KEY}
            with pytest.raises(PermissionDeniedError, match="security token included in the request is expired") as no:
                client.models.list()
            assert no.value.code == "aws_refused"
            assert "lambda:InvokeFunctionUrl and lambda:InvokeFunction" in no.value.message
            wallet.in_a_file(OTHER_KEY)
            assert client.models.list().data
            wallet.nowhere()
            function_url.keys = {}
            with pytest.raises(AuthenticationError, match="there are no AWS credentials: configure them") as nowhere:
                client.models.list()
            assert nowhere.value.code == "aws_credentials"
            assert process.poll() is None
    finally:
        function_url.keys = before


# -- who may ask ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://example.com"},
        {"Origin": "null"},
        {"Origin": "http://localhost.example.com"},
        {"Host": "example.com"},
        {"Host": "127.0.0.1.example.com:80"},
    ],
)
def test_a_web_page_of_elsewhere_can_t_spend_somebody_s_credentials(
    plain: httpx2.Client, function_url: FunctionURL, headers: dict[str, str]
) -> None:
    before = len(function_url.arrived)
    answer = plain.post("/v1/chat/completions", json=ASKED, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_local")
    assert len(function_url.arrived) == before


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://localhost:3000"}, {"Host": "[::1]:8080"}, {"Host": "localhost"}]
)
def test_this_machine_s_own_names_are_fine(plain: httpx2.Client, headers: dict[str, str]) -> None:
    assert plain.get("/v1/models", headers=headers).status_code == 200


# -- the process ------------------------------------------------------------------------------------


def test_a_person_is_told_where_and_ctrl_c_ends_it_in_the_midst_of_an_answer(function_url: FunctionURL) -> None:
    arguments = ["proxy", function_url.url, "--region", REGION, "--port", 0]
    with running(*arguments, environment=aws_nowhere() | KEY.environment) as process:
        assert process.stderr
        assert process.stderr.readline() == f"Signing for {function_url.url} in {REGION}. Any API key works.\n"
        line = process.stderr.readline()
        url = re.findall(r"^Serving on (http://127\.0\.0\.1:\d+)/v1 \(Ctrl-C stops\)\. .*lambda-llm chat \1/v1$", line)[
            0
        ]
        with httpx2.stream("POST", f"{url}/odd/endless", timeout=LIMIT_SECONDS) as answer:
            events = answer.iter_raw()
            assert next(events) == b"data: {}\n\n"
            process.send_signal(2)
            assert json.loads(b"".join(events).rpartition(b"data: ")[2])["error"]["code"] == "stopping"
        _, errors = process.communicate(timeout=LIMIT_SECONDS)
        assert (process.returncode, errors) == (INTERRUPTED, "")
