"""`GET /`: a small chat page, where it is enabled."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from lambda_llm.serving.service import Service

_PAGE: Final = Path(__file__).with_name("page.html")


def router(_: Service) -> APIRouter:
    """The endpoints of this module."""
    routes = APIRouter()
    page = _PAGE.read_text(encoding="utf-8")
    headers = {
        "Content-Security-Policy": _policy(page),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }

    @routes.get("/", include_in_schema=False)
    async def index() -> HTMLResponse:
        return HTMLResponse(page, headers=headers)

    return routes


def _policy(page: str) -> str:
    """A policy that allows the page's own script and style only, and connections to this server only.

    Source: https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Content-Security-Policy
    """
    script, style = (
        base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        for tag in ("script", "style")
        for inside in re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    )
    return (
        f"default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
