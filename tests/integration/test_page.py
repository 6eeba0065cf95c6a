"""The chat page in a real browser, in front of real servers."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Request, expect

from lambda_llm.serving import page as module
from support.answers import EXPECTED, OTHER_EXPECTED, OTHER_QUESTION, QUESTION
from support.browser import NEEDS_CHROMIUM, opened
from support.commands import running
from support.endless import CONTEXT
from support.servers import LIMIT_SECONDS, Server, serving, until

PHONE = {"width": 360, "height": 640}
COMPLETIONS = "**/v1/chat/completions"


@pytest.fixture(scope="module")
def served(demo_model: Path) -> Iterator[str]:
    """Address of `lambda-llm serve`, which shows the page without being told."""
    with running("serve", demo_model, "--port", 0) as server:
        assert server.stderr
        said = "".join(server.stderr.readline() for _ in range(3))
        yield re.findall(r"Or in a browser: (http://\S+)", said)[0]


@pytest.fixture(scope="module")
def endless(endless_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server as on Lambda, whose setting switches the page on."""
    environment = {**os.environ, "LAMBDA_LLM_MODEL": str(endless_model), "LAMBDA_LLM_PAGE": "true"}
    with serving(tmp_path_factory.mktemp("page"), environment) as server:
        yield server


@pytest.fixture
def page(browser: Browser, served: str) -> Iterator[Page]:
    with opened(browser, served) as page:
        expect(page.get_by_role("heading")).to_contain_text("lambda-llm-demo")
        page.get_by_role("button", name="Settings").click()
        page.get_by_label("Temperature").fill("0")
        yield page


def ask(page: Page, text: str) -> None:
    page.get_by_label("Message").fill(text)
    page.get_by_role("button", name="Send").click()


def answers(page: Page) -> Any:
    return page.locator(".turn.assistant")


def streamed(*deltas: dict[str, str]) -> str:
    """An answer as a server streams it."""
    events = [json.dumps({"choices": [{"delta": delta, "finish_reason": None}]}) for delta in deltas]
    return "".join(f"data: {event}\r\n\r\n: ping\r\n\r\n" for event in events) + "data: [DONE]\r\n\r\n"


def says(page: Page, *deltas: dict[str, str]) -> None:
    """Have the next questions answered with `deltas`."""
    page.route(COMPLETIONS, lambda way: way.fulfill(body=streamed(*deltas), content_type="text/event-stream"))


# -- a conversation ---------------------------------------------------------------------------------


@NEEDS_CHROMIUM
def test_a_conversation(page: Page) -> None:
    sent: list[Any] = []
    page.on("request", lambda request: sent.append(request.post_data_json) if request.method == "POST" else None)
    page.get_by_label("System prompt").fill("Be brief.")
    ask(page, QUESTION)
    expect(answers(page)).to_contain_text(EXPECTED)
    expect(answers(page)).to_have_attribute("aria-busy", "false")
    expect(answers(page).locator(".figures")).to_have_text(
        re.compile(r"^[\d.]+ m?s to first token( · [\d.,]+ tokens/s)? · \d+ tokens$")
    )
    page.get_by_label("Message").fill(OTHER_QUESTION)
    page.keyboard.press("Enter")
    expect(answers(page).nth(1)).to_contain_text(OTHER_EXPECTED)
    assert [message["role"] for message in sent[1]["messages"]] == ["system", "user", "assistant", "user"]
    assert sent[1]["messages"][0]["content"] == "Be brief."
    assert EXPECTED in sent[1]["messages"][2]["content"]
    assert sent[1]["temperature"] == 0
    page.get_by_role("button", name="New chat").click()
    expect(page.locator(".turn")).to_have_count(0)
    ask(page, QUESTION)
    expect(answers(page)).to_contain_text(EXPECTED)
    assert [message["role"] for message in sent[2]["messages"]] == ["system", "user"]


@NEEDS_CHROMIUM
@pytest.mark.parametrize("how", ["button", "Escape"])
def test_a_stream_is_seen_as_it_comes_and_stopped(browser: Browser, endless: Server, how: str) -> None:
    before = endless.settled()
    with opened(browser, endless.url) as page:
        ask(page, QUESTION)
        expect(answers(page)).to_have_attribute("aria-busy", "true")
        until(lambda: len(answers(page).inner_text()) > 40)
        seen = answers(page).inner_text()
        until(lambda: len(answers(page).inner_text()) > len(seen))
        if how == "button":
            page.get_by_role("button", name="Stop").click()
        else:
            page.keyboard.press("Escape")
        expect(answers(page)).to_have_attribute("aria-busy", "false")
        expect(answers(page).locator(".figures")).to_have_text(
            re.compile(r"^[\d.]+ m?s to first token · [\d.,]+ tokens/s · \d+ tokens · stopped$")
        )
        expect(page.get_by_role("button", name="Send")).to_be_visible()
        until(lambda: endless.requests()["cancelled"] == before["cancelled"] + 1)
        assert endless.requests()["generated_tokens"] - before["generated_tokens"] < CONTEXT / 2


@NEEDS_CHROMIUM
def test_shift_enter_makes_a_line_and_nothing_is_not_sent(page: Page) -> None:
    message = page.get_by_label("Message")
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    message.press("Enter")
    expect(page.locator(".turn")).to_have_count(0)
    message.fill("one")
    message.press("Shift+Enter")
    message.press_sequentially("two")
    expect(message).to_have_value("one\ntwo")
    message.press("Enter")
    expect(page.locator(".turn.user p")).to_have_text("one\ntwo")
    expect(message).to_have_value("")


# -- what is shown ----------------------------------------------------------------------------------


@NEEDS_CHROMIUM
def test_text_is_never_markup(page: Page) -> None:
    trap = "<img src=x onerror=\"document.title='caught'\"><script>document.title='caught'</script>"
    says(page, {"content": trap}, {"content": f"\n```html\n{trap}\n```"}, {"reasoning_content": trap})
    ask(page, trap)
    for place in (
        ".turn.user p",
        ".turn.assistant div > p >> nth=0",
        ".turn.assistant pre",
        ".turn.assistant details p",
    ):
        expect(page.locator(place)).to_have_text(trap)
    assert page.locator("main img, main script").count() == 0
    assert "caught" not in page.title()


@NEEDS_CHROMIUM
def test_code_keeps_its_lines_and_spaces(page: Page) -> None:
    says(
        page,
        {"content": "Like this:\n``"},
        {"content": "`python\ndef f():\n    return"},
        {"content": "  1\n```\nDone."},
    )
    ask(page, "Show me")
    code = page.locator(".turn.assistant pre")
    expect(code).to_be_visible()
    assert code.inner_text() == "def f():\n    return  1"
    assert "mono" in code.evaluate("each => getComputedStyle(each).fontFamily")
    expect(page.locator(".turn.assistant > div > p")).to_have_text(["Like this:", "Done."])


@NEEDS_CHROMIUM
def test_a_refusal_is_shown_and_the_question_is_not_lost(page: Page) -> None:
    long = "word " * 3000
    ask(page, long)
    expect(page.get_by_role("alert")).to_contain_text("This model's context length is 2048 tokens")
    expect(page.locator(".turn")).to_have_count(0)
    expect(page.get_by_label("Message")).to_have_value(long.strip())
    ask(page, QUESTION)
    expect(answers(page)).to_contain_text(EXPECTED)
    expect(page.get_by_role("alert")).to_have_count(0)


@NEEDS_CHROMIUM
def test_an_error_in_the_midst_of_a_stream_is_shown_below_what_came(page: Page) -> None:
    broken = streamed({"content": "Half an"}).replace(
        "data: [DONE]", f"data: {json.dumps({'error': {'message': 'The server is stopping.'}})}"
    )
    page.route(COMPLETIONS, lambda way: way.fulfill(body=broken, content_type="text/event-stream"))
    ask(page, QUESTION)
    expect(page.get_by_role("alert")).to_have_text("The server is stopping.")
    expect(answers(page)).to_contain_text("Half an")


@NEEDS_CHROMIUM
def test_a_server_that_is_gone_is_told(page: Page) -> None:
    page.route(COMPLETIONS, lambda way: way.abort("connectionrefused"))
    ask(page, QUESTION)
    expect(page.get_by_role("alert")).to_have_text("The server can't be reached: is it still running?")
    expect(page.get_by_label("Message")).to_have_value(QUESTION)


# -- for everybody ----------------------------------------------------------------------------------


@NEEDS_CHROMIUM
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_to_complain_of(browser: Browser, served: str, scheme: Any) -> None:
    with opened(browser, served, color_scheme=scheme, bypass_csp=True) as page:  # axe brings a script of its own
        assert Axe().run(page).violations_count == 0
        page.get_by_role("button", name="Settings").click()
        says(page, {"content": "Text\n```\ncode\n```\n"}, {"reasoning_content": "Hm."})
        ask(page, QUESTION)
        page.unroute(COMPLETIONS)
        expect(answers(page)).to_have_attribute("aria-busy", "false")
        ask(page, "word " * 3000)
        expect(page.get_by_role("alert")).to_be_visible()
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


@NEEDS_CHROMIUM
@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_nothing_moves_for_whoever_does_not_want_it(browser: Browser, served: str, motion: Any) -> None:
    with opened(browser, served, reduced_motion=motion) as page:
        page.evaluate("show(add(turn('assistant'), 'div'), 'text'); log.lastChild.setAttribute('aria-busy', 'true')")
        moving = page.evaluate("getComputedStyle(log.querySelector('p'), '::after').animationName")
        assert (moving == "none") == (motion == "reduce")


@NEEDS_CHROMIUM
def test_it_fits_on_a_phone(browser: Browser, served: str) -> None:
    with opened(browser, served, viewport=PHONE, has_touch=True, is_mobile=True) as page:
        says(page, {"content": f"{'long' * 50}\n```\n{'x' * 200}\n```\n"})
        page.get_by_role("button", name="Settings").click()
        ask(page, "w" * 200)
        expect(answers(page)).to_have_attribute("aria-busy", "false")
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        assert page.evaluate("document.querySelector('main').scrollWidth") <= PHONE["width"]
        for name in ("Send", "Settings", "New chat"):
            box = page.get_by_role("button", name=name).bounding_box()
            assert box
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= PHONE["width"]
            assert box["height"] >= 32, "a thumb must hit it"


# -- for nobody else --------------------------------------------------------------------------------


@NEEDS_CHROMIUM
def test_it_asks_nobody_but_its_server_and_runs_nothing_but_its_own(browser: Browser, served: str) -> None:
    asked: list[Request] = []
    with browser.new_context() as context:
        page = context.new_page()
        page.on("request", lambda request: asked.append(request))  # noqa: PLW0108 - playwright marks the function
        page.goto(served)
        expect(page.get_by_role("heading")).to_contain_text("lambda-llm-demo")
        blocked = page.evaluate(
            """() => new Promise((done) => {
                document.addEventListener("securitypolicyviolation", (event) => done(event.effectiveDirective));
                document.body.append(Object.assign(document.createElement("script"), { textContent: "x = 1" }));
            })"""
        )
        assert blocked == "script-src-elem"
        assert page.evaluate("typeof x") == "undefined"
    assert {request.url.removeprefix(served) for request in asked if not request.url.startswith("data:")} == {
        "/",
        "/v1/models",
        "/health",
    }


def test_the_policy_allows_no_eval_and_no_stranger(served: str) -> None:
    answer = httpx2.get(served, timeout=LIMIT_SECONDS)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "http" not in re.sub(
        r"http://www\.w3\.org/2000/svg", "", Path(module.__file__).with_name("page.html").read_text()
    )


def test_without_the_setting_there_is_no_page(demo_server: Server, demo_model: Path) -> None:
    answer = httpx2.get(demo_server.url, timeout=LIMIT_SECONDS)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    with running("serve", demo_model, "--port", 0, "--no-page", "--json") as server:
        assert server.stdout
        url = json.loads(server.stdout.readline())["url"].removesuffix("/v1")
        assert httpx2.get(url, timeout=LIMIT_SECONDS).status_code == 404
