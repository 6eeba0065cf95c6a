"""The report in a real browser: it computes what Python computes, and whoever reads it can use it."""

import random
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from lambda_llm.cost.compare.analysis import Analysis, analyse
from lambda_llm.cost.compare.costs import costs
from lambda_llm.cost.compare.inputs import INPUTS
from lambda_llm.cost.compare.options import Server, load
from lambda_llm.cost.compare.workload import Workload
from lambda_llm.cost.prices import load as price_list
from lambda_llm.cost.report import ReportError, page, write
from lambda_llm.units import dollars
from support.browser import NEEDS_CHROMIUM, opened

SERVERS = {"g6.xlarge": Server("g6.xlarge with L4", prefill=9000, decode=2500, measured=True)}


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return analyse(Workload.of({"requests_per_day": 2000}, SERVERS), price_list())


@pytest.fixture(scope="module")
def address(analysis: Analysis, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "cost.html"
    write(analysis, path)
    return path.as_uri()


@pytest.fixture
def report(browser: Browser, address: str) -> Iterator[Page]:
    with opened(browser, address) as shown:
        yield shown


def seen(report: Page) -> tuple[str, str, str]:
    """Sentence, table and chart."""
    return report.locator("#now").inner_text(), report.locator("#options").inner_text(), report.inner_html("#chart")


def number(report: Page, name: str) -> Any:
    return report.get_by_role("spinbutton", name=INPUTS[name].label, exact=True)


def put(report: Page, name: str, text: str) -> None:
    number(report, name).fill(text)
    number(report, name).press("Tab")


def drawn(seed: int) -> dict[str, float]:
    """Random inputs; those whose ends are far apart by their order of magnitude."""
    chance = random.Random(seed)  # noqa: S311 - reproducible
    return {
        name: each.low * (each.high * 100 / each.low) ** chance.random()
        if each.low > 0 and each.most > each.high * 100
        else chance.uniform(each.low, each.high)
        for name, each in INPUTS.items()
    }


@NEEDS_CHROMIUM
def test_it_computes_what_python_computes(report: Page) -> None:
    for seed in range(40):
        inputs = drawn(seed)
        ours = {each.option.name: each.monthly for each in costs(Workload.of(inputs, SERVERS), price_list())}
        assert report.evaluate("inputs => window.costs(inputs)", inputs) == pytest.approx(ours, rel=1e-9), inputs


@NEEDS_CHROMIUM
def test_it_begins_with_what_was_given(report: Page, analysis: Analysis) -> None:
    expect(report.locator("#verdict")).to_have_text(analysis.verdict.sentence)
    expect(report.locator("#now")).to_contain_text(f"Lambda costs {dollars(analysis.ours.monthly)} a month")
    rows = report.locator("#options > tbody > tr")
    expect(rows).to_have_count(len(analysis.costs))
    for row, each in zip(rows.all()[:5], analysis.costs, strict=False):
        expect(row.locator("summary")).to_have_text(each.option.title)
        expect(row.locator("> td").nth(1)).to_have_text(dollars(each.monthly))
        assert each.per_million_tokens is not None
        expect(row.locator("> td").nth(2)).to_have_text(dollars(each.per_million_tokens))
    for name in INPUTS:
        assert float(number(report, name).input_value()) == pytest.approx(analysis.workload.inputs[name], rel=1e-5)


@NEEDS_CHROMIUM
def test_a_slider_and_a_number_change_sentence_table_and_chart(report: Page) -> None:
    before = seen(report)
    put(report, "requests_per_day", "9000")
    typed = seen(report)
    assert all(one != other for one, other in zip(before, typed, strict=True))
    ours = next(
        each.monthly
        for each in costs(Workload.of({"requests_per_day": 9000}, SERVERS), price_list())
        if each.option.name == "lambda"
    )
    assert f"Lambda costs {dollars(ours)} a month" in typed[0]
    slider = report.get_by_role("slider", name=f"{INPUTS['answer_tokens'].label}, slider")
    slider.fill("0.9")
    moved = seen(report)
    assert all(one != other for one, other in zip(typed, moved, strict=True))
    assert float(number(report, "answer_tokens").input_value()) == pytest.approx(4000**0.9, rel=0.01)
    report.get_by_role("button", name="Back to what was given").click()
    assert seen(report) == before
    assert number(report, "requests_per_day").input_value() == "2000"


@NEEDS_CHROMIUM
def test_every_slider_goes_to_both_ends(report: Page) -> None:
    for end in ("0", "1"):
        for name, each in INPUTS.items():
            report.get_by_role("slider", name=f"{each.label}, slider").fill(end)
            value = float(number(report, name).input_value())
            assert value == pytest.approx(each.low if end == "0" else each.high, rel=1e-3)
        assert not re.search("NaN|Infinity|undefined|e[+]", " ".join(seen(report)))


@NEEDS_CHROMIUM
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("requests_per_day", "-1"),
        ("requests_per_day", "1e300"),
        ("requests_per_day", "1e14"),  # more functions at once than can be computed with
        ("requests_per_day", ""),
        ("hours_per_day", "25"),
        ("hours_per_day", "0"),
        ("target", "0"),
        ("turns", "0.5"),
        ("prefill", "0"),
        ("session_store", "1.5"),
    ],
)
def test_impossible_typing_is_refused(report: Page, name: str, text: str) -> None:
    before, value = seen(report), number(report, name).input_value()
    put(report, name, text)
    assert number(report, name).input_value() == value
    assert seen(report) == before


@NEEDS_CHROMIUM
def test_what_is_possible_but_beyond_a_slider_can_be_typed(report: Page) -> None:
    put(report, "requests_per_day", "5000000")
    assert number(report, "requests_per_day").input_value() == "5000000"
    put(report, "requests_per_day", "0")
    expect(report.locator("#now")).to_contain_text("busy 0% of one function's time")
    assert not re.search("NaN|Infinity|undefined", " ".join(seen(report)))
    put(report, "prompt_tokens", "0")
    put(report, "answer_tokens", "0")  # a request of nothing
    assert float(number(report, "answer_tokens").input_value()) > 0


@NEEDS_CHROMIUM
def test_an_option_opens_to_its_formulas_and_stays_open(report: Page, analysis: Analysis) -> None:
    ours = report.locator('#options details[data-name="lambda"]')
    ours.locator("summary").click()
    for line in analysis.ours.option.lines:
        expect(ours).to_contain_text(line.formula.text)
    put(report, "requests_per_day", "7")
    expect(ours).to_have_attribute("open", "")


@NEEDS_CHROMIUM
def test_it_loads_nothing(browser: Browser, address: str) -> None:
    asked: list[str] = []
    with browser.new_context() as context:
        shown = context.new_page()
        shown.on("request", lambda request: asked.append(request.url))
        shown.goto(address)
        put(shown, "requests_per_day", "9")
        shown.wait_for_load_state("networkidle")
    assert asked == [address]


@NEEDS_CHROMIUM
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 400])
def test_axe_finds_nothing_to_complain_of(browser: Browser, address: str, scheme: Any, width: int) -> None:
    with opened(browser, address, color_scheme=scheme, viewport={"width": width, "height": 800}) as shown:
        shown.locator('#options details[data-name="lambda"] summary').click()
        shown.get_by_text("Every price, with its day and source").click()
        found = Axe().run(shown)
        assert found.violations_count == 0, found.generate_report()
        assert shown.evaluate("document.documentElement.scrollWidth") <= width


@NEEDS_CHROMIUM
def test_on_paper_there_is_no_form_and_it_is_black_on_white(browser: Browser, address: str) -> None:
    with opened(browser, address, color_scheme="dark") as shown:
        expect(shown.locator("form")).to_be_visible()
        shown.emulate_media(media="print")
        expect(shown.locator("form")).to_be_hidden()
        expect(shown.get_by_role("button")).to_have_count(0)
        assert shown.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        expect(shown.locator("#chart")).to_be_visible()


@NEEDS_CHROMIUM
def test_no_text_of_a_price_or_option_can_break_it(browser: Browser, tmp_path: Path) -> None:
    trap = "</script><img src=x onerror=\"document.title='caught'\"><!--DATA-->"
    prices = price_list().with_prices(
        {"lambda.requests": replace(price_list()["lambda.requests"], source=trap, read_on=trap, unit=trap, name=trap)}
    )
    found = analyse(Workload.of({}), prices)
    first = found.costs[0]
    bad = replace(first, option=replace(first.option, title=trap, note=trap))
    found = replace(found, costs=[bad, *found.costs[1:]], verdict=replace(found.verdict, sentence=trap))
    (tmp_path / "r.html").write_text(page(found), encoding="utf-8")
    with opened(browser, (tmp_path / "r.html").as_uri()) as shown:
        expect(shown).to_have_title("What a model costs on Lambda, and elsewhere")
        expect(shown.locator("#verdict")).to_have_text(trap)
        expect(shown.locator("summary").first).to_have_text(trap)
        expect(shown.locator("img")).to_have_count(0)
        shown.get_by_text("Every price, with its day and source").click()
        expect(shown.get_by_role("cell", name="</script>").first).to_be_visible()


def test_every_price_has_its_source_as_a_link(analysis: Analysis) -> None:
    text = page(analysis)
    for name in {price for each in analysis.costs for price in each.option.prices}:
        assert f"<td>{name}</td>" in text
    assert text.count('<a href="https://') == len({price for each in load().options for price in each.prices})
    assert "<!--" not in text


def test_a_folder_that_is_not_there_is_said(analysis: Analysis, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"can't be written \(No such file or directory\): name a file elsewhere\.$"):
        write(analysis, tmp_path / "none" / "cost.html")
