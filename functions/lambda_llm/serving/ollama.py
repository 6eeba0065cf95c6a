"""Ollama's API, for tools that know only it: the model that is served, under one name.

Source: https://github.com/ollama/ollama/blob/main/docs/api.md
"""

import json
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from lambda_llm import __version__
from lambda_llm.engine.errors import NotEncoderError
from lambda_llm.engine.output_parser import CallArguments, CallStart, Content, Reasoning
from lambda_llm.engine.sampling import Sampling
from lambda_llm.ollama_types.api import (
    AnswerInput,
    ChatRequest,
    Details,
    EmbedRequest,
    ErrorResponse,
    GenerateRequest,
    ModelEntries,
    ModelEntry,
    ModelInput,
    Options,
    Shown,
    Version,
)
from lambda_llm.serving.answering import Answers, Conversation, OutputSchema, Step, arguments_of
from lambda_llm.serving.encoders import Encoding
from lambda_llm.serving.errors import explain
from lambda_llm.serving.generations import Caller, Limits, planned
from lambda_llm.serving.response_size import bounded, json_response
from lambda_llm.serving.service import Service
from lambda_llm.web.errors import APIError
from lambda_llm.web.streaming import EventStream, while_connected

_LINES: Final = "application/x-ndjson"
_DEFAULTS: Final = Sampling(temperature=0.8, top_p=0.9, top_k=40, repeat_penalty=1.1)
"""Ollama's defaults. Source: https://github.com/ollama/ollama/blob/main/docs/modelfile.md"""


def router(service: Service) -> APIRouter:
    """The endpoints of this module."""
    error: dict[str, Any] = {"model": ErrorResponse}
    routes = APIRouter(responses={"4XX": error, 500: error, 503: error, 504: error})
    ollama = _Ollama(service)

    def get(path: str, endpoint: Callable[..., Any], model: type[BaseModel]) -> None:
        routes.add_api_route(path, endpoint, methods=["GET"], response_model=model)

    def post(path: str, endpoint: Callable[..., Any], model: Any = None) -> None:
        routes.add_api_route(path, endpoint, methods=["POST"], response_model=model)

    lines: Any = {200: {"content": {_LINES: {}}, "description": "The answer, in lines unless 'stream' is false"}}
    routes.add_api_route("/api/chat", ollama.chat, methods=["POST"], responses=lines)
    routes.add_api_route("/api/generate", ollama.generate, methods=["POST"], responses=lines)
    post("/api/embed", ollama.embed)
    post("/api/embeddings", ollama.embed)
    post("/api/show", ollama.show, Shown)
    get("/api/tags", ollama.tags, ModelEntries)
    get("/api/ps", ollama.tags, ModelEntries)
    get("/api/version", ollama.version, Version)
    return routes


class _Ollama:
    """The endpoints."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._encoding = Encoding(service)

    async def chat(self, body: ChatRequest, request: Request) -> Response:
        self._service.check_generates(body.asked_for())
        if not body.messages:
            return JSONResponse(_loaded(self._service, "chat"))
        conversation = Conversation(
            list(body.rendered()),
            tools=[
                {
                    "type": "function",
                    "function": {
                        "name": tool.function.name,
                        "description": tool.function.description or "",
                        "parameters": tool.function.parameters or {"type": "object", "properties": {}},
                    },
                }
                for tool in body.tools or ()
            ],
            schema=_schema(body),
            variables=_thinking(self._service, body),
        )
        return await self._answered(body, conversation, request, "chat")

    async def generate(self, body: GenerateRequest, request: Request) -> Response:
        self._service.check_generates(body.asked_for())
        if not body.prompt:
            return JSONResponse(_loaded(self._service, "generate"))
        if body.raw:
            return await self._answered(body, body.prompt, request, "generate")
        system = [{"role": "system", "content": body.system}] if body.system else []
        conversation = Conversation(
            [*system, {"role": "user", "content": body.prompt}],
            param="prompt",
            schema=_schema(body),
            variables=_thinking(self._service, body),
        )
        return await self._answered(body, conversation, request, "generate")

    async def embed(self, body: EmbedRequest, request: Request) -> Response:
        began = time.monotonic_ns()
        texts = body.texts()
        older = body.input is None and body.prompt is not None
        if not texts:
            model = self._service.options.model_id
            return JSONResponse({"embedding": []} if older else {"model": model, "embeddings": []})
        self._service.check_model(body.asked_for())
        rows, usage = await while_connected(request, self._encoding.vectors(texts, request, dimensions=body.dimensions))

        def content() -> dict[str, Any]:
            if older:
                return {"embedding": rows[0].tolist()}
            return {
                "model": self._service.options.model_id,
                "embeddings": rows.tolist(),
                "total_duration": time.monotonic_ns() - began,
                "load_duration": 0,
                "prompt_eval_count": usage.prompt_tokens,
            }

        return await json_response(self._service, content)

    async def tags(self) -> ModelEntries:
        return ModelEntries(models=[_entry(self._service)])

    async def show(self, body: ModelInput) -> Shown:
        self._service.check_model(body.asked_for())
        return _shown(self._service)

    async def version(self) -> Version:
        return Version(version=__version__)

    async def _answered(
        self, body: AnswerInput, conversation: Conversation | str, request: Request, form: str
    ) -> Response:
        """Generate, in the form of `/api/chat` or `/api/generate`; a text is a prompt that no template renders."""
        service = self._service
        caller = Caller.named(service, None, request)
        options = body.options or Options.model_validate({})
        predicted = options.num_predict
        limits = Limits(
            max_tokens=None if predicted is None or predicted < 0 else max(predicted, 1), stop=options.stops()
        )
        streams = body.stream is not False

        def prepare() -> Answers:
            fitting = limits if streams else bounded(service, limits, 1, "options.num_predict")
            if isinstance(conversation, str):
                return Answers.raw(service, conversation, _schema(body), _sampling(options), fitting, caller)
            return Answers.prepare(service, conversation, _sampling(options), fitting, caller)

        answer = _Answer(service, await planned(service, request, caller, prepare), form)
        if streams:
            # The first line comes with the first token, perhaps after minutes in the queue.
            return await while_connected(request, EventStream.begun(answer.lines(), _failure, _LINES))
        return await while_connected(request, answer.whole())


def _sampling(options: Options) -> Sampling:
    def given(value: float | None, default: float) -> float:
        return default if value is None else value

    return Sampling(
        temperature=given(options.temperature, _DEFAULTS.temperature),
        top_p=given(options.top_p, _DEFAULTS.top_p),
        top_k=max(0, _DEFAULTS.top_k if options.top_k is None else options.top_k),
        min_p=given(options.min_p, _DEFAULTS.min_p),
        repeat_penalty=given(options.repeat_penalty, _DEFAULTS.repeat_penalty),
        presence_penalty=options.presence_penalty or 0.0,
        frequency_penalty=options.frequency_penalty or 0.0,
        seed=options.seed,
    )


def _schema(body: AnswerInput) -> OutputSchema | None:
    if not body.format and body.format != {}:
        return None
    schema = {"type": "object"} if body.format == "json" else body.format
    return OutputSchema(schema, strict=False, param="format")


def _thinking(service: Service, body: AnswerInput) -> dict[str, Any]:
    template = service.engine.template
    if body.think and not template.thinks:
        raise APIError(
            HTTPStatus.BAD_REQUEST,
            f"The model {service.options.model_id!r} does not support thinking: leave 'think' out.",
            param="think",
        )
    if body.think is None:
        return {}
    wanted: dict[str, Any] = {"enable_thinking": bool(body.think)}
    wanted |= {"reasoning_effort": body.think} if isinstance(body.think, str) else {}
    return {name: value for name, value in wanted.items() if name in template.reasoning_variables}


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _loaded(service: Service, form: str) -> dict[str, Any]:
    """The answer to a request that only asks for the model to be loaded."""
    text = {"message": {"role": "assistant", "content": ""}} if form == "chat" else {"response": ""}
    return {
        "model": service.options.model_id, "created_at": _now(), **text, "done": True, "done_reason": "load",
    }  # fmt: skip


def _details(service: Service) -> Details:
    model = service.engine.model
    return Details(
        family=model.architecture,
        families=[model.architecture],
        parameter_size=_count(model.parameters),
        quantization_level=model.quantization,
    )


def _count(parameters: int) -> str:
    billions = parameters / 1e9
    return f"{billions:.1f}B" if billions >= 1 else f"{billions * 1000:.1f}M"


def _entry(service: Service) -> ModelEntry:
    name = service.options.model_id
    created = datetime.fromtimestamp(service.created, UTC).isoformat()
    return ModelEntry(
        name=name, model=name, modified_at=created, size=service.engine.model.weight_bytes, details=_details(service)
    )


def _shown(service: Service) -> Shown:
    engine = service.engine
    try:
        _ = engine.encoder
        capabilities = ["embedding"]
    except NotEncoderError:
        capabilities = ["completion"]
        capabilities += ["tools"] if engine.model.chat_template else []
        capabilities += ["thinking"] if engine.template.thinks else []
    return Shown(
        template=engine.model.chat_template,
        details=_details(service),
        model_info=engine.model.metadata(),
        capabilities=capabilities,
        modified_at=_entry(service).modified_at,
    )


class _Answer:
    """Writes the steps of a generation as Ollama's objects."""

    def __init__(self, service: Service, answers: Answers, form: str) -> None:
        self._service = service
        self._answers = answers
        self._form = form
        self._began = time.monotonic_ns()
        self._call: tuple[str, str] | None = None

    async def whole(self) -> Response:
        """The complete answer."""
        message: dict[str, Any] = {"role": "assistant", "content": ""}
        reason = "stop"
        async with self._answers.run() as steps:
            async for step in steps:
                for added in self._added(step):
                    for name, value in added.items():
                        message[name] = message[name] + value if name in message else value
                reason = step.reason or reason if step else reason
        return await json_response(self._service, lambda: self._object(message) | self._end(reason))

    async def lines(self) -> AsyncGenerator[str, None]:
        """The answer as lines of JSON, one for each addition."""
        reason = "stop"
        async with self._answers.run() as steps:
            async for step in steps:
                for added in self._added(step):
                    yield _line(self._object({"role": "assistant", "content": "", **added}) | {"done": False})
                reason = step.reason or reason if step else reason
        yield _line(self._object({"role": "assistant", "content": ""}) | self._end(reason))

    def _added(self, step: Step | None) -> Iterator[dict[str, Any]]:
        """What a step adds to the message; a call is complete only with the part behind it."""
        part = step.part if step else None
        if self._call and step and not isinstance(part, CallArguments):
            name, arguments = self._call
            self._call = None
            yield {"tool_calls": [{"function": {"name": name, "arguments": arguments_of(arguments)}}]}
        match part:
            case Content(text):
                yield {"content": text}
            case Reasoning(text):
                yield {"thinking": text}
            case CallStart(_, name):
                self._call = (name, "")
            case CallArguments(_, text):
                if self._call:
                    self._call = (self._call[0], self._call[1] + text)

    def _object(self, message: dict[str, Any]) -> dict[str, Any]:
        identity = {"model": self._service.options.model_id, "created_at": _now()}
        if self._form == "chat":
            return {**identity, "message": message}
        thinking = {"thinking": message["thinking"]} if "thinking" in message else {}
        return {**identity, "response": message["content"], **thinking}

    def _end(self, reason: str) -> dict[str, Any]:
        stats = self._answers.generations[0].stats
        return {
            "done": True,
            "done_reason": "length" if reason == "length" else "stop",
            "total_duration": time.monotonic_ns() - self._began,
            "load_duration": 0,
            "prompt_eval_count": stats.prompt_tokens,
            "prompt_eval_duration": int(stats.seconds_to_first_token * 1e9),
            "eval_count": stats.completion_tokens,
            "eval_duration": int(stats.decode_seconds * 1e9),
        }


def _failure(error: Exception) -> str:
    return _line({"error": str(explain(error))})


def _line(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"
