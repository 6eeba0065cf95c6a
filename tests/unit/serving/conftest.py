"""The ASGI application in this process, over the demo model."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from fastapi import FastAPI

from lambda_llm.engine.engine import Engine
from support.chat import made


@pytest.fixture
async def app(engine: Engine) -> AsyncIterator[FastAPI]:
    app = made(engine)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://server") as client:
        yield client
