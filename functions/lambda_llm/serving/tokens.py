"""`POST /tokenize` and `POST /detokenize`, as llama-server has them.

Source: https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
"""

import asyncio
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field, StrictBool

from lambda_llm.openai_types.common import Input, Text, Whole
from lambda_llm.serving.generations import check_tokens
from lambda_llm.serving.service import Service


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

    tokens: list[Annotated[Whole, Field(ge=0)]]


class Detokenized(BaseModel):
    """Response to `POST /detokenize`."""

    content: str


def router(service: Service) -> APIRouter:
    """The endpoints of this module."""
    routes = APIRouter()
    model = service.engine.model

    def piece(token: int) -> TokenPiece:
        text = model.piece(token, control=True)
        try:
            return TokenPiece(id=token, piece=text.decode())
        except UnicodeDecodeError:
            return TokenPiece(id=token, piece=list(text))

    @routes.post("/tokenize")
    async def tokenize(body: TokenizeRequest) -> Tokens:
        tokens = await asyncio.to_thread(
            model.tokenize, body.content, add_special=body.add_special, parse_special=body.parse_special
        )
        return Tokens(tokens=[piece(token) for token in tokens] if body.with_pieces else tokens)

    @routes.post("/detokenize")
    async def detokenize(body: DetokenizeRequest) -> Detokenized:
        check_tokens(service, body.tokens, "tokens")
        text = b"".join(model.piece(token, control=True) for token in body.tokens)
        return Detokenized(content=text.decode(errors="replace"))

    return routes
