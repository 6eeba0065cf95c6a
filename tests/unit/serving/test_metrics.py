"""`/metrics`: what Prometheus reads of a local server."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from lambda_llm.engine.decoder import Decoder
from lambda_llm.engine.errors import EngineError
from support.answers import OpenEngine
from support.chat import MODEL_ID, PATH, body, made

LIMIT_SECONDS = 60
CHAT = {"gen_ai_operation_name": "chat", "gen_ai_request_model": MODEL_ID}


class Broken(Decoder):
    def sample(self, _: Any) -> int:
        raise EngineError("llama.cpp failed.")


class Waiting(Decoder):
    go_on = threading.Event()

    def sample(self, sampler: Any) -> int:
        assert self.go_on.wait(LIMIT_SECONDS)
        return super().sample(sampler)


@pytest.fixture(params=[Decoder])
def measured(open_engine: OpenEngine, request: pytest.FixtureRequest) -> FastAPI:
    return made(open_engine(kind=request.param), with_metrics=True)


@pytest.fixture
async def scraped(measured: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(measured, raise_app_exceptions=False)
    async with (
        measured.router.lifespan_context(measured),
        httpx2.AsyncClient(transport=transport, base_url="http://server") as client,
    ):
        yield client


async def samples(client: httpx2.AsyncClient) -> dict[str, list[tuple[Mapping[str, str], float]]]:
    """Every sample of a scrape, by name."""
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found: dict[str, list[tuple[Mapping[str, str], float]]] = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.documentation
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def value(found: Mapping[str, Any], name: str, **labels: str) -> float:
    """The one sample that carries `labels`."""
    (only,) = [number for carried, number in found.get(name, []) if labels.items() <= carried.items()]
    return float(only)


async def test_an_answer_is_counted_in_seconds_and_tokens(scraped: httpx2.AsyncClient) -> None:
    usage = (await scraped.post(PATH, json=body())).json()["usage"]
    streamed = await scraped.post(PATH, json=body(stream=True))
    assert streamed.text.endswith("[DONE]\n\n")
    found = await samples(scraped)
    for name in ("request_duration", "time_to_first_token", "time_per_output_token"):
        assert value(found, f"gen_ai_server_{name}_seconds_count", **CHAT) == 2
        assert value(found, f"gen_ai_server_{name}_seconds_sum", **CHAT) > 0
    for kind, tokens in (("input", usage["prompt_tokens"]), ("output", usage["completion_tokens"])):
        assert value(found, "gen_ai_client_token_usage_sum", **CHAT, gen_ai_token_type=kind) == 2 * tokens
    assert value(found, "lambda_llm_cached_input_tokens_total", **CHAT) >= usage["prompt_tokens"] - 1
    assert value(found, "lambda_llm_generations_total", **CHAT, gen_ai_response_finish_reason="stop") == 2
    assert (
        value(found, "http_server_request_duration_seconds_count", http_route=PATH, http_response_status_code="200")
        == 2
    )
    assert value(found, "lambda_llm_info", model=MODEL_ID) == 1
    assert value(found, "process_resident_memory_bytes") > 1e6


async def test_refusals_are_counted_and_paths_that_are_none_share_one_series(scraped: httpx2.AsyncClient) -> None:
    await scraped.post(PATH, json=body(model="other"))
    for path in ("/a", "/b"):
        await scraped.get(path)
    found = await samples(scraped)
    name = "http_server_request_duration_seconds_count"
    assert value(found, name, http_route=PATH, http_response_status_code="404") == 1
    assert value(found, name, http_route="", http_response_status_code="404", http_request_method="GET") == 2
    assert value(found, "gen_ai_server_request_duration_seconds_count", **CHAT, error_type="404") == 1
    assert "gen_ai_server_time_to_first_token_seconds_count" not in found


async def test_what_clients_make_up_makes_no_series(scraped: httpx2.AsyncClient) -> None:
    for path in (PATH, "/v1/models", "/v1/models/any", "/nowhere", "/metrics"):
        await scraped.request("GET", path)
        await scraped.request("X0", path)
    before = {(name, *sorted(labels.items())) for name, each in (await samples(scraped)).items() for labels, _ in each}
    for number in range(1, 6):
        for path in (PATH, "/v1/models", f"/v1/models/{number}", f"/nowhere/{number}?{number}", f"{PATH}/{number}"):
            for method in (f"X{number}", "PROPFIND", "GET"):
                headers = {"authorization": str(number), "host": f"{number}.example", "user-agent": f"{number}"}
                await scraped.request(method, path, headers=headers, content=b'{"model": "%d"}' % number)
    found = await samples(scraped)
    after = {(name, *sorted(labels.items())) for name, each in found.items() for labels, _ in each}
    assert after == before
    name = "http_server_request_duration_seconds_count"
    assert value(found, name, http_request_method="_OTHER", http_route="", http_response_status_code="404") > 10
    assert value(found, name, http_request_method="_OTHER", http_route=PATH, http_response_status_code="405") == 11
    assert {labels["http_request_method"] for labels, _ in found[name]} == {"GET", "_OTHER"}


@pytest.mark.parametrize("measured", [Broken], indirect=True)
async def test_failures_are_counted(scraped: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    assert (await scraped.post(PATH, json=body())).status_code == 500
    found = await samples(scraped)
    assert value(found, "gen_ai_server_request_duration_seconds_count", **CHAT, error_type="500") == 1
    assert value(found, "lambda_llm_generations_total", **CHAT, gen_ai_response_finish_reason="error") == 1


@pytest.mark.parametrize("measured", [Waiting], indirect=True)
async def test_what_runs_and_what_waits_is_told(scraped: httpx2.AsyncClient) -> None:
    asked = [asyncio.ensure_future(scraped.post(PATH, json=body(max_tokens=1))) for _ in range(3)]
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            # What is waited for happens beside the event loop.
            while value(found := await samples(scraped), "lambda_llm_requests_active") < len(asked):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        assert value(found, "lambda_llm_requests_waiting") == 2
    finally:
        Waiting.go_on.set()
    await asyncio.gather(*asked)
    found = await samples(scraped)
    assert value(found, "lambda_llm_requests_active") == value(found, "lambda_llm_requests_waiting") == 0


async def test_a_server_that_is_not_told_to_has_no_metrics(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/metrics")).status_code == 404
