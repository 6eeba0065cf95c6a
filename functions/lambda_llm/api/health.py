"""`GET /health`: what is served, and how it fares."""

from dataclasses import asdict

from fastapi import APIRouter

from lambda_llm.api.schema import Health, Sessions
from lambda_llm.api.service import Service
from lambda_llm.engine import backend
from lambda_llm.settings import Weights


def router(service: Service) -> APIRouter:
    """The endpoints of this module."""
    routes = APIRouter()
    served = service.served

    @routes.get("/health")
    async def health() -> Health:
        return Health(
            model=served.model_id,
            context=served.model.context,
            threads=served.model.threads,
            placement="mapped" if served.placement is Weights.MAPPED else "copied",
            backend=backend.variant(),
            memory=served.memory(),
            requests=service.worker.counts,
            sessions=Sessions(**asdict(served.sessions.counts)) if served.sessions else None,
        )

    return routes
