"""OpenAI's chat completions as requests of Bedrock's Converse.

A field that Converse can't honour is refused by its name, never left out. Those that OpenAI has for its own storage,
billing and caches (`user`, `metadata`, `store`, …) change no answer and are accepted.

Sources: https://platform.openai.com/docs/api-reference/chat
    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, NoReturn

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictStr, ValidationError

_ID: Final = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_IMAGE: Final = re.compile(r"data:image/(png|jpe?g|gif|webp);base64,(.+)", re.DOTALL)


class UnsupportedFieldError(Exception):
    """A field that a backend can't honour; its path, such as `messages.0.content`, is the only argument."""


@dataclass(frozen=True)
class ConverseOptions:
    """What every request gets.

    Attributes:
        guardrail: its id or ARN, and its version.
        service_tier: `priority`, `default`, `flex` or `reserved`; over the client's.
        cache_points: whether the prompt is cached up to the end of the tools and of the system prompt, by models that
            can do so.
    """

    guardrail: tuple[str, str] | None = None
    service_tier: str | None = None
    cache_points: bool = False


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Text(_Strict):
    type: Literal["text"]
    text: str


class _Refusal(_Strict):
    type: Literal["refusal"]
    refusal: str


class _ImageURL(_Strict):
    url: str
    detail: Literal["auto"] | None = None


class _Image(_Strict):
    type: Literal["image_url"]
    image_url: _ImageURL


class _System(_Strict):
    role: Literal["system", "developer"]
    content: str | list[_Text]
    name: None = None


class _User(_Strict):
    role: Literal["user"]
    content: str | list[Annotated[_Text | _Image, Field(discriminator="type")]]
    name: None = None


class _CalledFunction(_Strict):
    name: Annotated[StrictStr, Field(pattern="^[a-zA-Z0-9_-]{1,64}$")]
    arguments: str


class _Call(_Strict):
    id: str
    type: Literal["function"] = "function"
    function: _CalledFunction


class _Assistant(_Strict):
    role: Literal["assistant"]
    content: str | list[Annotated[_Text | _Refusal, Field(discriminator="type")]] | None = None
    tool_calls: list[_Call] | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    name: None = None
    audio: None = None
    function_call: None = None
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None


class _ToolResult(_Strict):
    role: Literal["tool"]
    content: str | list[_Text]
    tool_call_id: str
    name: str | None = None
    """Of the function, which its call has too."""


_Message = Annotated[_System | _User | _Assistant | _ToolResult, Field(discriminator="role")]


class _Function(_Strict):
    name: Annotated[StrictStr, Field(pattern="^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Tool(_Strict):
    type: Literal["function"]
    function: _Function


class _Named(_Strict):
    name: str


class _NamedTool(_Strict):
    type: Literal["function"]
    function: _Named


class _TextFormat(_Strict):
    type: Literal["text"]


class _JSONSchema(_Strict):
    name: str
    schema_: dict[str, Any] = Field(alias="schema")
    description: str | None = None
    strict: bool | None = None


class _JSONSchemaFormat(_Strict):
    type: Literal["json_schema"]
    json_schema: _JSONSchema


class _StreamOptions(_Strict):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


def _listed(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else stop


_Zero = Annotated[float, Field(ge=0, le=0)]
_Fraction = Annotated[float, Field(ge=0, le=1)]
_Tokens = Annotated[int, Field(ge=1)]


class _ChatRequest(_Strict):
    model: Any = None
    messages: list[_Message]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: _Tokens | None = None
    max_completion_tokens: _Tokens | None = None
    temperature: _Fraction | None = None
    top_p: _Fraction | None = None
    stop: Annotated[list[Annotated[str, Field(min_length=1)]], BeforeValidator(_listed)] | None = None
    tools: list[_Tool] | None = None
    tool_choice: Literal["auto", "required", "none"] | _NamedTool | None = None
    parallel_tool_calls: Literal[True] | None = None
    response_format: Annotated[_TextFormat | _JSONSchemaFormat, Field(discriminator="type")] | None = None
    reasoning_effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    service_tier: Literal["auto", "default", "flex", "priority"] | None = None
    # Their values that ask for nothing.
    n: Literal[1] | None = None
    logprobs: Literal[False] | None = None
    top_logprobs: Literal[0] | None = None
    frequency_penalty: _Zero | None = None
    presence_penalty: _Zero | None = None
    logit_bias: Annotated[dict[str, Any], Field(max_length=0)] | None = None
    modalities: list[Literal["text"]] | None = None
    verbosity: Literal["medium"] | None = None
    seed: None = None
    functions: None = None
    function_call: None = None
    audio: None = None
    prediction: None = None
    web_search_options: None = None
    # OpenAI's storage, billing and caches.
    user: StrictStr | None = None
    metadata: dict[str, Any] | None = None
    store: StrictBool | None = None
    safety_identifier: StrictStr | None = None
    prompt_cache_key: StrictStr | None = None
    prompt_cache_retention: StrictStr | None = None


def converse_request(body: Mapping[str, Any], options: ConverseOptions) -> dict[str, Any]:
    """The body of a request of Converse or ConverseStream, without the model, which is in the path.

    System messages are taken together wherever they are: few models take one between others. Empty texts and
    descriptions, which Converse refuses, are left out: they say nothing.

    Args:
        body: of a request for chat completions.
        options: what it gets besides.

    Raises:
        UnsupportedFieldError: Converse can't honour a field, or it is no such request.
    """
    try:
        request = _ChatRequest.model_validate({name: value for name, value in body.items() if value is not None})
    except ValidationError as error:
        raise UnsupportedFieldError(_path(error, body)) from None
    system = [{"text": text} for text in _system_texts(request.messages)]
    messages = _messages(request.messages)
    if not messages:
        _refuse("messages")
    translated: dict[str, Any] = {"messages": messages}
    cache_point = [{"cachePoint": {"type": "default"}}] if options.cache_points else []
    if system:
        translated["system"] = [*system, *cache_point]
    if limits := _inference_config(request):
        translated["inferenceConfig"] = limits
    if tools := _tool_config(request, cache_point):
        translated["toolConfig"] = tools
    if output := _output_config(request):
        translated["outputConfig"] = output
    tier = options.service_tier or (None if request.service_tier == "auto" else request.service_tier)
    if tier:
        translated["serviceTier"] = {"type": tier}
    if options.guardrail:
        guardrail, version = options.guardrail
        translated["guardrailConfig"] = {"guardrailIdentifier": guardrail, "guardrailVersion": version}
    return translated


def may_call(body: Mapping[str, Any]) -> bool:
    """Whether an answer may call tools: Converse has no word for that it must not."""
    return body.get("tool_choice") != "none"


def _refuse(path: str) -> NoReturn:
    raise UnsupportedFieldError(path)


def _path(error: ValidationError, body: Any) -> str:
    """Path of the first field at fault, without the names that pydantic inserts for the members of a union."""
    paths = []
    for each in error.errors(include_url=False, include_input=False):
        # Of a union, the field that decides: its name comes in quotes.
        tag = each.get("ctx", {}).get("discriminator") if each["type"].startswith("union_tag_") else None
        loc = (*each["loc"], tag.strip("'")) if tag else each["loc"]
        paths.append(_steps(loc, body, missing=each["type"] in {"missing", "union_tag_not_found"}))
    # Of what may be a text or a list, it first says that it is no text.
    return next((path for path in paths if path.startswith(paths[0] + ".")), paths[0])


def _steps(loc: tuple[int | str, ...], body: Any, *, missing: bool) -> str:
    path: list[str] = []
    for number, step in enumerate(loc):
        if isinstance(body, dict) and (step in body or (missing and number == len(loc) - 1)):
            path.append(str(step))
            body = body.get(step)
        elif isinstance(step, int) and isinstance(body, list):
            path.append(str(step))
            body = body[step]
    return ".".join(path)


def _system_texts(messages: list[Any]) -> Iterator[str]:
    for message in messages:
        if isinstance(message, _System):
            yield from _texts(message.content)


def _texts(content: str | list[Any] | None) -> Iterator[str]:
    """The texts of a message that are not empty: Converse refuses those."""
    parts = [content or ""] if content is None or isinstance(content, str) else content
    for part in parts:
        text = part if isinstance(part, str) else part.refusal if isinstance(part, _Refusal) else part.text
        if text:
            yield text


def _messages(messages: list[Any]) -> list[dict[str, Any]]:
    """Those of user and assistant in turn: results of parallel calls belong into one message."""
    translated: list[dict[str, Any]] = []
    for number, message in enumerate(messages):
        if isinstance(message, _System):
            continue
        role = "assistant" if isinstance(message, _Assistant) else "user"
        blocks = list(_blocks(message, f"messages.{number}"))
        if not blocks:
            if role == "user":
                _refuse(f"messages.{number}.content")
            continue
        if translated and translated[-1]["role"] == role:
            translated[-1]["content"] += blocks
        else:
            translated.append({"role": role, "content": blocks})
    return translated


def _blocks(message: _User | _Assistant | _ToolResult, path: str) -> Iterator[dict[str, Any]]:
    match message:
        case _ToolResult():
            content = [{"text": text} for text in _texts(message.content)] or [{"text": ""}]
            yield {"toolResult": {"toolUseId": _id(message.tool_call_id), "content": content}}
        case _Assistant():
            yield from _assistant_blocks(message, path)
        case _User(content=str(text)):
            yield from [{"text": text}] if text else []
        case _:
            for number, part in enumerate(message.content):
                if isinstance(part, _Image):
                    yield _image(part.image_url.url, f"{path}.content.{number}.image_url.url")
                elif isinstance(part, _Text) and part.text:
                    yield {"text": part.text}


def _assistant_blocks(message: _Assistant, path: str) -> Iterator[dict[str, Any]]:
    if message.reasoning_content:
        yield {"reasoningContent": {"reasoningText": {"text": message.reasoning_content}}}
    for text in (*_texts(message.content), message.refusal):
        if text:
            yield {"text": text}
    for number, call in enumerate(message.tool_calls or ()):
        arguments = _arguments(call.function.arguments, f"{path}.tool_calls.{number}.function.arguments")
        yield {"toolUse": {"toolUseId": _id(call.id), "name": call.function.name, "input": arguments}}


def _id(given: str) -> str:
    """An id that Converse takes; the call and its result get the same one."""
    return given if _ID.fullmatch(given) else hashlib.sha256(given.encode(errors="surrogatepass")).hexdigest()


def _image(url: str, path: str) -> dict[str, Any]:
    match = _IMAGE.fullmatch(url)
    if match is None:
        _refuse(path)  # Bedrock fetches nothing from elsewhere but S3
    kind, content = match.groups()
    try:
        base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        _refuse(path)
    return {"image": {"format": kind.replace("jpg", "jpeg"), "source": {"bytes": content}}}


def _arguments(text: str, path: str) -> dict[str, Any]:
    try:
        arguments = json.loads(text or "{}")
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        _refuse(path)
    return arguments


def _inference_config(request: _ChatRequest) -> dict[str, Any]:
    config = {
        "maxTokens": request.max_completion_tokens or request.max_tokens,
        "temperature": request.temperature,
        "topP": request.top_p,
        "stopSequences": request.stop or None,
    }
    return {name: value for name, value in config.items() if value is not None}


def _tool_config(request: _ChatRequest, cache_point: list[Any]) -> dict[str, Any] | None:
    """Tools and choice; Converse wants them wherever calls are in the messages, even if none may follow."""
    called = any(
        isinstance(message, _ToolResult) or (isinstance(message, _Assistant) and message.tool_calls)
        for message in request.messages
    )
    if not request.tools:
        if called:
            _refuse("tools")
        if request.tool_choice not in (None, "auto", "none"):
            _refuse("tool_choice")
        return None
    if request.tool_choice == "none" and not called:
        return None
    specs: list[dict[str, Any]] = [{"toolSpec": _tool_spec(tool.function)} for tool in request.tools]
    config: dict[str, Any] = {"tools": [*specs, *cache_point]}
    if isinstance(request.tool_choice, _NamedTool):
        name = request.tool_choice.function.name
        if name not in {tool.function.name for tool in request.tools}:
            _refuse("tool_choice.function.name")
        config["toolChoice"] = {"tool": {"name": name}}
    elif request.tool_choice == "required":
        config["toolChoice"] = {"any": {}}
    elif request.tool_choice == "auto":
        config["toolChoice"] = {"auto": {}}
    return config


def _tool_spec(function: _Function) -> dict[str, Any]:
    schema = {"type": "object", "properties": {}} if function.parameters is None else function.parameters
    spec: dict[str, Any] = {"name": function.name, "inputSchema": {"json": schema}}
    if function.description:
        spec["description"] = function.description
    if function.strict is not None:
        spec["strict"] = function.strict
    return spec


def _output_config(request: _ChatRequest) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if isinstance(request.response_format, _JSONSchemaFormat):
        wanted = request.response_format.json_schema
        definition = {"schema": json.dumps(wanted.schema_), "name": wanted.name}
        if wanted.description:
            definition["description"] = wanted.description
        config["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": definition}}
    if request.reasoning_effort:
        config["effort"] = request.reasoning_effort
    return config
