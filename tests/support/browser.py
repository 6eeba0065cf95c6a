"""A headless Chromium, of the machine's own, that playwright drives."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from support.servers import LIMIT_SECONDS

NEEDS_CHROMIUM = pytest.mark.needs("chromium", get="apt-get install chromium")
_OPTIONS = [
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")  # while it is there, no other test can have an event loop
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_OPTIONS)
        yield browser
        browser.close()


def _complains(said: ConsoleMessage) -> bool:
    """What the browser itself says of an answer that is a refusal is no fault of the page."""
    return said.type in {"error", "warning"} and not said.text.startswith("Failed to load resource")


@contextmanager
def opened(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """A page in a profile of its own; whatever it complains of on its console fails the test."""
    with browser.new_context(**options) as context:
        page = context.new_page()
        page.set_default_timeout(LIMIT_SECONDS * 1000)
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if _complains(said) else None)
        page.goto(url)
        yield page
        assert complaints == []
