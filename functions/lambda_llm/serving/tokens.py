"""`POST /tokenize` and `POST /detokenize`, as llama-server has them.

Source: https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
"""

from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, BeforeValidator, Field, StrictBool

from lambda_llm.engine.errors import ContextOverflowError
from lambda_llm.openai_types.common import Input, Text, Whole, at_most
from lambda_llm.serving.generations import check_tokens
from lambda_llm.serving.response_size import json_response
from lambda_llm.serving.service import Service
from lambda_llm.web.errors import APIError

TOKENS_MAX: Final = 100_000
"""Tokens in a request: some 400 KB of text."""


class TokenizeRequest(Input):
    """Body of `POST /tokenize`."""

    content: Text
    add_special: StrictBool = Field(False, description="add BOS (and EOS) where the model expects them")  # noqa: FBT003 - a default
    parse_special: StrictBool = Field(True, description="parse the text of control tokens into these tokens")  # noqa: FBT003 - as above
    with_pieces: StrictBool = Field(False, description="return each token with its text")  # noqa: FBT003 - as above


class TokenPiece(BaseModel):
    """A token with its text, or with its bytes where they are not valid UTF-8."""

    id: int
    piece: str | list[int]


class Tokens(BaseModel):
    """Response to `POST /tokenize`."""

    tokens: list[int] | list[TokenPiece]


class DetokenizeRequest(Input):
    """Body of `POST /detokenize`."""

    tokens: Annotated[list[Annotated[Whole, Field(ge=0)]], Field(fail_fast=True), BeforeValidator(at_most(TOKENS_MAX))]


class Detokenized(BaseModel):
    """Response to `POST /detokenize`."""

    content: str


def router(service: Service) -> APIRouter:
    """The endpoints of this module."""
    routes = APIRouter()
    model = service.engine.model

    def piece(token: int) -> dict[str, Any]:
        text = model.piece(token, control=True)
        try:
            return {"id": token, "piece": text.decode()}
        except UnicodeDecodeError:
            return {"id": token, "piece": list(text)}

    def tokens_of(body: TokenizeRequest) -> dict[str, Any]:
        try:
            tokens = model.tokenize(
                body.content, add_special=body.add_special, parse_special=body.parse_special, at_most=TOKENS_MAX
            )
        except ContextOverflowError as error:
            raise APIError(
                HTTPStatus.BAD_REQUEST,
                f"'content' has more than {TOKENS_MAX:,} tokens: send it in parts.",
                param="content",
                code="invalid_value",
            ) from error
        return {"tokens": [piece(token) for token in tokens] if body.with_pieces else tokens}

    def text_of(body: DetokenizeRequest) -> dict[str, Any]:
        return {"content": b"".join(model.piece(each, control=True) for each in body.tokens).decode(errors="replace")}

    @routes.post("/tokenize", response_model=Tokens)
    async def tokenize(body: TokenizeRequest) -> Response:
        tokens = await service.worker.plan(lambda: tokens_of(body))
        return await json_response(service, lambda: tokens)

    @routes.post("/detokenize", response_model=Detokenized)
    async def detokenize(body: DetokenizeRequest) -> Response:
        check_tokens(service, body.tokens, "tokens")
        text = await service.worker.plan(lambda: text_of(body))
        return await json_response(service, lambda: text)

    return routes
