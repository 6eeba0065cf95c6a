"""The streaming door in a process of its own: its lines, and its spans at a collector, from init to a restore."""

import json
from pathlib import Path
from typing import Any

import httpx2
from openai import OpenAI

from lambda_llm.telemetry.context import XRAY
from support import emf_schema
from support.answers import EXPECTED, QUESTION, user
from support.collector import attributes, collecting
from support.servers import AFTER, BEFORE, Server, serving, until

MODEL = "lambda-llm-demo"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def ask(server: Server) -> None:
    """A stream, as the web adapter forwards it."""
    context = {"request_id": "8476a536-e9f4-11e8-9739-2dfe598c3fcd", "xray_trace_id": ""}
    headers = {
        "x-request-id": "mine",
        "x-amzn-lambda-context": json.dumps(context),
        "x-amzn-request-context": "{}",
        XRAY: f"Root=1-{TRACE[:8]}-{TRACE[8:]};Parent={PARENT};Sampled=0",
    }
    with OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0, default_headers=headers) as client:
        asked: Any = {"model": MODEL, "messages": [user(QUESTION)], "temperature": 0}
        chunks: Any = client.chat.completions.create(**asked, stream=True)
        assert EXPECTED in "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_a_life_of_an_environment_is_told(pinned: dict[str, str], tmp_path: Path) -> None:
    on_lambda = {
        "AWS_LAMBDA_FUNCTION_NAME": "chat",
        "AWS_LAMBDA_FUNCTION_VERSION": "7",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "10240",
        "AWS_REGION": "us-east-1",
    }
    told = {key: value for key, value in on_lambda.items() if key not in pinned or key == "AWS_REGION"}
    with (
        collecting() as collector,
        serving(tmp_path, {**pinned, **told, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}) as server,
    ):
        ask(server)
        for hook in (BEFORE, AFTER):
            assert httpx2.post(f"{server.url}{hook}").status_code == 204
        ask(server)
        httpx2.get(f"{server.url}/health")  # from inside the environment
        until(lambda: len(server.figures()) >= 4)
        init, first, restore, second = server.figures()
        for line in (init, first, restore, second):
            emf_schema.check(json.dumps(line))
            assert (line["function"], line["function_version"], line["model"]) == ("chat", "7", MODEL)
        assert [line["event"] for line in (init, first, restore, second)] == ["init", "request", "restore", "request"]
        assert init["model_version"] == pinned["LAMBDA_LLM_MODEL_VERSION_ID"]
        assert (first["Restores"], second["Restores"]) == (0, 1)
        assert second["Dollars"] > first["Dollars"] > 0
        assert (first["request_id"], first["trace_id"], first["stream"]) == ("mine", TRACE, True)
        assert first["lambda_request_id"] == "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
        assert init["environment"] == first["environment"] != restore["environment"] == second["environment"]

        names = {span.name for span in collector.spans}
        assert {"init", "download", "load", "warm_up", "restore", f"chat {MODEL}", "prefill", "decode"} <= names
        begun = collector.named("init").span_id
        assert all(collector.named(name).parent_span_id == begun for name in ("download", "load", "warm_up"))
        server_span = next(
            span for span in collector.spans if span.name == "POST" and span.parent_span_id.hex() == PARENT
        )
        assert server_span.trace_id.hex() == TRACE
        chat = next(span for span in collector.spans if span.parent_span_id == server_span.span_id)
        assert chat.name == f"chat {MODEL}"
        assert attributes(chat)["gen_ai.usage.output_tokens"] == first["OutputTokens"]
        assert attributes(chat)["gen_ai.server.time_to_first_token"] == first["FirstTokenSeconds"]
