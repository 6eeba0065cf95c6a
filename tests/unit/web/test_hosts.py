"""Which pages may use a server on this machine."""

import socket
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from lambda_llm.web.hosts import LocalNames
from lambda_llm.web.local_only import LocalOnly

HERE, EVERYWHERE = LocalNames.of("127.0.0.1"), LocalNames.of("0.0.0.0")  # noqa: S104 - what a user may say


@pytest.mark.parametrize(
    ("names", "headers", "foreign"),
    [
        (HERE, {"host": "127.0.0.1:8080"}, None),
        (HERE, {"host": "localhost"}, None),
        (HERE, {"host": "LOCALHOST:1"}, None),
        (HERE, {"host": "[::1]:8080", "origin": "http://[::1]:8080"}, None),
        (HERE, {"host": "localhost", "origin": "https://localhost:3000"}, None),
        (HERE, {}, None),
        (HERE, {"host": "evil.example"}, "Host: evil.example"),
        (HERE, {"host": "localhost.evil.example"}, "Host: localhost.evil.example"),
        (HERE, {"host": "localhost@evil.example"}, "Host: localhost@evil.example"),
        (HERE, {"host": "192.168.1.5:8080"}, "Host: 192.168.1.5:8080"),
        (HERE, {"host": "localhost", "origin": "https://evil.example"}, "Origin: https://evil.example"),
        (HERE, {"host": "localhost", "origin": "null"}, "Origin: null"),
        (HERE, {"host": "localhost", "origin": "http://localhost/x"}, "Origin: http://localhost/x"),
        (EVERYWHERE, {"host": "192.168.1.5:8080", "origin": "http://192.168.1.5:8080"}, None),
        (EVERYWHERE, {"host": "[fe80::1]:8080"}, None),
        (EVERYWHERE, {"host": socket.gethostname()}, None),
        (EVERYWHERE, {"host": "evil.example"}, "Host: evil.example"),
        (EVERYWHERE, {"host": "192.168.1.5", "origin": "https://evil.example"}, "Origin: https://evil.example"),
        (LocalNames.of("localhost", ["Box.lan"]), {"host": "box.LAN:8080", "origin": "http://box.lan:8080"}, None),
        (LocalNames.of("localhost", ["*"]), {"host": "any.example", "origin": "https://other.example"}, None),
        (LocalNames.of("localhost", (), ["https://app.example"]), {"origin": "https://app.example"}, None),
        (LocalNames.of("localhost", (), ["https://app.example"]), {"host": "app.example"}, "Host: app.example"),
        (LocalNames.of("localhost", (), ["*"]), {"origin": "null"}, None),
    ],
)
def test_a_name_is_this_server_s_or_it_is_not(names: LocalNames, headers: dict[str, str], foreign: str | None) -> None:
    assert names.foreign(Headers(headers)) == foreign


def app(*origins: str) -> Any:
    async def ok(_: Any) -> PlainTextResponse:
        return PlainTextResponse("ok")

    application = Starlette(routes=[Route("/", ok, methods=["GET", "POST"])])
    if origins:
        application.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["*"])
    application.add_middleware(LocalOnly, names=LocalNames.of("localhost", (), origins))
    return application


async def test_a_page_of_another_site_is_refused_in_the_api_s_own_form() -> None:
    transport = httpx2.ASGITransport(app())
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert (await client.get("/")).text == "ok"
        refused = await client.get("/", headers={"origin": "https://evil.example"})
    assert refused.status_code == 403
    error = refused.json()["error"]
    assert error["code"] == "not_local"
    assert "'Origin: https://evil.example'" in error["message"]


async def test_a_page_that_is_allowed_can_read_the_answer_and_no_other_one_can() -> None:
    transport = httpx2.ASGITransport(app("https://app.example"))
    asks = {"origin": "https://app.example", "access-control-request-method": "POST"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        preflight = await client.options("/", headers=asks)
        answer = await client.post("/", headers={"origin": "https://app.example"})
        other = await client.options("/", headers=asks | {"origin": "https://evil.example"})
    assert (preflight.status_code, answer.text, other.status_code) == (200, "ok", 403)
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
