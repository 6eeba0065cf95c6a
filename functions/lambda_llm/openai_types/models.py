"""JSON of the list of models.

Source: https://platform.openai.com/docs/api-reference/models
"""

from typing import Literal

from pydantic import BaseModel


class ModelCard(BaseModel):
    """One entry of `GET /v1/models`."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "lambda-llm"


class ModelList(BaseModel):
    """Response to `GET /v1/models`."""

    object: Literal["list"] = "list"
    data: list[ModelCard]
