"""`GET /v1/models`: the one model that is served."""

from fastapi import APIRouter

from lambda_llm.openai_types.errors import ErrorResponse
from lambda_llm.openai_types.models import ModelCard, ModelList
from lambda_llm.serving.service import Service


def router(service: Service) -> APIRouter:
    """The endpoints of this module."""
    routes = APIRouter()
    ids = [service.options.model_id, *service.options.aliases]
    cards = {model: ModelCard(id=model, created=service.created) for model in ids}

    @routes.get("/v1/models")
    async def models() -> ModelList:
        return ModelList(data=list(cards.values()))

    @routes.get("/v1/models/{model:path}", responses={404: {"model": ErrorResponse}})
    async def model(model: str) -> ModelCard:
        service.check_model(model)
        return cards.get(model, cards[service.options.model_id])

    return routes
