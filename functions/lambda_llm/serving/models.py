"""`GET /v1/models`: the one model that is served."""

from fastapi import APIRouter

from lambda_llm.openai_types.errors import ErrorResponse
from lambda_llm.openai_types.models import ModelCard, ModelList
from lambda_llm.serving.service import Service


def router(service: Service) -> APIRouter:
    """The endpoints of this module."""
    routes = APIRouter()
    card = ModelCard(id=service.options.model_id, created=service.created)

    @routes.get("/v1/models")
    async def models() -> ModelList:
        return ModelList(data=[card])

    @routes.get("/v1/models/{model:path}", responses={404: {"model": ErrorResponse}})
    async def model(model: str) -> ModelCard:
        service.check_model(model)
        return card

    return routes
