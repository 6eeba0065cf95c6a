"""A guardrail of Bedrock on loopback that blocks what has one of some words in it, in the shapes of AWS's model.

with guarding("bomb") as guard:
    ...                     # asks guard.url
    assert guard.texts == ["the text that was checked"]
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from botocore.validate import ParamValidator
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from support.backends import checked, service_model
from support.function_url import listening

USAGE = {
    "topicPolicyUnits": 0,
    "contentPolicyUnits": 1,
    "wordPolicyUnits": 1,
    "sensitiveInformationPolicyUnits": 1,
    "sensitiveInformationPolicyFreeUnits": 0,
    "contextualGroundingPolicyUnits": 0,
}


@dataclass
class Guard:
    """`texts` were checked, with their `sources`; `instead` is answered to everything, where there is one."""

    url: str = ""
    texts: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    instead: Response | None = None
    left: threading.Event = field(default_factory=threading.Event)


@contextmanager
def guarding(*words: str, masks: str | None = None) -> Iterator[Guard]:
    """Serve it: it blocks `words`, and masks another one."""
    guard = Guard()

    async def apply(request: Request) -> Response:
        body = await request.json()
        names = {key: unquote(value) for key, value in request.path_params.items()}
        checked("bedrock-runtime", "ApplyGuardrail", {**names, **body})
        [block] = body["content"]
        text = block["text"]["text"]
        guard.texts.append(text)
        guard.sources.append(body["source"])
        guard.paths.append(request.url.path)
        guard.authorizations.append(request.headers["authorization"])
        return guard.instead or JSONResponse(said(text, words, masks))

    path = "/guardrail/{guardrailIdentifier}/version/{guardrailVersion}/apply"
    with listening(Starlette(routes=[Route(path, apply, methods=["POST"])])) as guard.url:
        yield guard


def said(text: str, words: tuple[str, ...], masks: str | None) -> dict[str, Any]:
    """What ApplyGuardrail answers."""
    assessment: dict[str, Any] = {}
    if found := [word for word in words if word in text]:
        custom = [{"match": word, "action": "BLOCKED", "detected": True} for word in found]
        assessment["wordPolicy"] = {"customWords": custom, "managedWordLists": []}
        outputs = [{"text": "Sorry, not that."}]
    elif masks is not None and masks in text:
        entity = {"match": masks, "type": "EMAIL", "action": "ANONYMIZED", "detected": True}
        assessment["sensitiveInformationPolicy"] = {"piiEntities": [entity], "regexes": []}
        outputs = [{"text": text.replace(masks, "{EMAIL}")}]
    else:
        outputs = []
    answer: dict[str, Any] = {
        "usage": USAGE,
        "action": "GUARDRAIL_INTERVENED" if outputs else "NONE",
        "outputs": outputs,
        "assessments": [assessment] if assessment else [{}],
        "guardrailCoverage": {"textCharacters": {"guarded": len(text), "total": len(text)}},
    }
    shape = service_model("bedrock-runtime").operation_model("ApplyGuardrail").output_shape
    report = ParamValidator().validate(answer, shape)
    assert not report.has_errors(), report.generate_report()
    return answer
