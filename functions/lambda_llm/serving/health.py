"""`GET /health`: the model being served, with its memory and counters."""

from dataclasses import asdict
from http import HTTPStatus
from typing import Literal

import psutil
from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from lambda_llm.engine import backend
from lambda_llm.serving.service import FunctionEnvironment, Service


class Memory(BaseModel):
    """Memory in bytes: its planned parts, and the resident memory of the process now."""

    model_file: int = Field(description="the memory file; 0 once the weights are copied out of it")
    weights: int = Field(description="the one copy of the weights; mapped weights are the memory file itself")
    kv_cache: int
    compute_buffers: int = Field(description="llama.cpp's compute buffers; only their used pages are resident")
    prefixes: int = Field(description="keys and values of pinned prefixes, in addition to the KV cache")
    process: int = Field(description="resident memory before the model was loaded: Python and this package")
    peak: int = Field(description="planned peak, including loading")
    resident: int = Field(description="resident memory of the process now")


class Sessions(BaseModel):
    """Counters of the session store since the start; see `lambda_llm.engine.session_store.Counts`."""

    hits: int
    misses: int
    restored_tokens: int
    saved_entries: int
    saved_bytes: int
    damaged: int
    failures: int


class Requests(BaseModel):
    """Generations since the start, by outcome; see `lambda_llm.serving.worker.RequestCounts`."""

    active: int = 0
    planning: int = 0
    completed: int = 0
    cancelled: int = 0
    failed: int = 0
    generated_tokens: int = 0


class Health(BaseModel):
    """Response to `GET /health`; the server does not listen before the model is ready."""

    status: Literal["ok", "stuck"] = Field(description="stuck, with the status 503: the worker has not left a request")
    worker: Literal["idle", "busy", "stuck"] = Field(description="what the thread that computes does")
    model: str
    context: int
    threads: int
    placement: Literal["copied", "mapped"]
    backend: str
    checksums: list[str] = Field(description="what the model was verified by; none: a file without a pinned SHA-256")
    environment: FunctionEnvironment | None = Field(description="on Lambda only")
    memory: Memory
    requests: Requests
    sessions: Sessions | None


def router(service: Service) -> APIRouter:
    """The endpoints of this module."""
    routes = APIRouter()
    engine, options = service.engine, service.options

    @routes.get("/health", responses={503: {"model": Health}})
    async def health(response: Response) -> Health:
        stuck = service.worker.state == "stuck"
        if stuck:
            response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        return Health(
            status="stuck" if stuck else "ok",
            worker=service.worker.state,
            model=options.model_id,
            context=engine.context.context_length,
            threads=engine.context.threads,
            placement=engine.placement,
            backend=backend.variant(),
            checksums=list(options.checksums),
            environment=options.environment() if options.environment else None,
            memory=_memory(service),
            requests=Requests(**asdict(service.worker.counts)),
            sessions=Sessions(**asdict(engine.sessions.counts)) if engine.sessions else None,
        )

    return routes


def _memory(service: Service) -> Memory:
    plan = service.engine.plan
    return Memory(
        model_file=plan.weights if service.engine.placement == "mapped" else 0,
        weights=plan.weights,
        kv_cache=plan.kv_cache,
        compute_buffers=plan.compute_buffers,
        prefixes=service.engine.pinned_bytes,
        process=service.options.resident_before,
        peak=plan.peak,
        resident=psutil.Process().memory_info().rss,
    )
