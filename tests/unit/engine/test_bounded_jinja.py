"""Templates that would never end, or fill the memory, end in one sentence; real ones are in test_tool_call_formats."""

import threading
import time
import tracemalloc
from typing import Any

import pytest

from lambda_llm.engine import bounded_jinja
from lambda_llm.engine.bounded_jinja import SOURCE_CHARACTERS, BoundedTemplate, ExhaustedError
from lambda_llm.engine.cancellation import Cancellation, CancelledError
from lambda_llm.engine.errors import TemplateError
from lambda_llm.limits import MIB

LAUGHS = "{% set a = ['ha', 'ha'] %}" + "{% set a = [a, a] %}" * 40
"""A list of two, of which a text would have 2^41 parts."""
MILLION = "{% set a = 'a' * 1000000 %}"

GROWING = "{% set ns = namespace(l=[]) %}{% for i in range(99999) %}{% set ns.l = ns.l + […] %}{% endfor %}"

MUCH = {
    "a product": "{{ 'a' * 10**9 }}",
    "a product the other way round": "{{ 10**9 * 'a' }}",
    "a list": "{{ ([1] * 10**9)|length }}",
    "sums": "{% set ns = namespace(s='a') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "concatenations": "{% set ns = namespace(s='a') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    "blocks": "{% set a %}ha{% endset %}" + "{% set a %}{{ a }}{{ a }}{% endset %}" * 40 + "{{ a }}",
    "a width": "{{ '%1000000000d' % 1 }}",
    "a filter's width": "{{ '%1000000000d'|format(1) }}",
    "a method's width": "{{ '{:>1000000000}'.format(1) }}",
    "many widths": "{{ ('%9999999d' * 10) % (1, 1, 1, 1, 1, 1, 1, 1, 1, 1) }}",
    "a replacement": MILLION + "{{ a.replace('a', a) }}",
    "a filter's replacement": MILLION + "{{ a|replace('a', a) }}",
    "a mapped replacement": MILLION + "{{ (['a'] * 1000)|map('replace', 'a', a)|list|length }}",
    "a join": MILLION + "{{ a.join('b' * 1000000) }}",
    "a filter's join": MILLION + "{{ range(100000)|join(a) }}",
    "an indent": "{{ ('\\n' * 1000000)|indent(10**9) }}",
    "slices": MILLION + GROWING.replace("…", "a[1:]"),
    "lists": GROWING.replace("…", "range(99999)|list"),
    "what a loop writes": "{% for i in range(100000) %}" + "ha" * 10000 + "{% endfor %}",
}
LONG = {
    "loops in loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "a range in loops": "{% set r = range(99999) %}{% for i in r %}{% for j in r %}{% endfor %}{% endfor %}",
    "macros": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(40) }}",
    "a text of a list": LAUGHS + "{{ a }}",
    "JSON": LAUGHS + "{{ a|tojson|length }}",
    "a filter's text": LAUGHS + "{{ a|upper|length }}",
    "a formatted text": LAUGHS + "{{ '%s' % [a] }}",
}
REFUSED = {
    "{% for i in range(10**9) %}{% endfor %}": "Range too big",
    "{{ 10 ** 1000000000 }}": "computes with huge numbers",
    "{{ (10 ** 1000) * (10 ** 1000) }}": "computes with huge numbers",
    "{{ '%*d' % (1000000000, 1) }}": "formats to a width that is computed",
    "{{ '{:>{}}'.format(1, 1000000000) }}": "formats to a width that is computed",
    "{{ [[1]]|tojson(indent=10**9) }}": "indents JSON by more than 16",
    "{{ 'a'.ljust(10**9) }}": "access to attribute 'ljust'",
    "{{ ('a'|attr('zfill'))(10**9) }}": "access to attribute 'zfill'",
    "{{ (1).to_bytes(10**9, 'big') }}": "access to attribute 'to_bytes'",
    "{{ lipsum(n=10**8) }}": "'lipsum' is undefined",
    "{{ ([[1] * 1000000] * 1000)|sum(start=[])|length }}": "sum adds numbers only",
    "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}": "calls itself endlessly",
    "{% for i in [1] recursive %}{{ loop([1, 1]) }}{% endfor %}": "calls itself endlessly",
}
INVALID = {
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}": "too deeply nested",
    "{{ " + "[" * 5000 + "1" + "]" * 5000 + " }}": "too deeply nested",
    "{{ " + "not " * 5000 + "1 }}": "too deeply nested",
    "{{ " + "1+" * 5000 + "1 }}": "too deeply nested",
    "{{ x" + ".a" * 50000 + " }}": "too deeply nested",
    "{{ x" + "|trim" * 20000 + " }}": "too deeply nested",
    "{% if 1 %}" * 5000 + "{% endif %}" * 5000: "too deeply nested",
    "{% for a in b %}" * 90 + "{% endfor %}" * 90: "too many statically nested blocks",
    "{% if a %}" + "{% elif a %}" * 10000 + "{% endif %}": "is not valid Jinja",
    "{{ 'a'|center(10**9) }}": "No filter named 'center'",
    "{" * 250_000: "too deeply nested",
    "x" * (SOURCE_CHARACTERS + 1): "has 262,145 characters, more than 262,144",
}


def rendered(source: str, **variables: Any) -> str:
    return BoundedTemplate(source).render(variables)


@pytest.mark.parametrize("name", MUCH)
def test_what_makes_too_much_is_stopped_before_it_is_made(name: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ExhaustedError, match=r"^The model's chat template makes more than 64 million characters"):
            rendered(MUCH[name])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 600 * MIB


@pytest.mark.parametrize("name", LONG)
def test_what_takes_too_long_is_stopped(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(bounded_jinja, "SECONDS", 0.2)
    with pytest.raises(ExhaustedError, match=r"chat template takes longer than 0\.2 seconds and was stopped"):
        rendered(LONG[name])


@pytest.mark.parametrize("source", REFUSED, ids=REFUSED.values())
def test_what_no_template_needs_is_refused_with_the_reason(source: str) -> None:
    with pytest.raises(TemplateError) as caught:
        rendered(source)
    assert REFUSED[source] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", INVALID, ids=INVALID.values())
def test_what_python_can_t_compile_is_refused_when_it_is_read(source: str) -> None:
    with pytest.raises(TemplateError) as caught:
        BoundedTemplate(source)
    assert INVALID[source] in str(caught.value)
    assert str(caught.value).endswith("fix the GGUF file.")


def test_a_rendering_can_be_cancelled() -> None:
    template = BoundedTemplate(LONG["a range in loops"])
    cancellation = Cancellation()
    threading.Timer(0.1, cancellation.cancel).start()
    began = time.monotonic()
    with pytest.raises(CancelledError):
        template.render({}, cancellation)
    assert time.monotonic() - began < bounded_jinja.SECONDS / 2


def test_what_is_paid_for_one_rendering_is_not_missing_in_the_next() -> None:
    template = BoundedTemplate("{{ 'a' * 25000000 }}")
    assert [len(template.render({})) for _ in range(3)] == [25_000_000] * 3


def test_a_conversation_of_the_largest_request_is_rendered() -> None:
    messages = [{"role": "user", "content": "word " * 120} for _ in range(10_000)]
    source = "{% for m in messages %}<|{{ m.role }}|>{{ m['content'] | trim ~ '\\n' }}{% endfor %}" + "{# #}" * 4000
    assert len(rendered(source, messages=messages)) == 10_000 * len("<|user|>" + "word " * 120)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ 1 + 2 }} {{ 2 * 3 }} {{ 2 ** 10 }} {{ 7 % 4 }} {{ 'a' ~ 1 ~ none }}", "3 6 1024 3 a1None"),
        (
            "{{ [1] + [2] }} {{ 'ab'[1:] }} {{ [1, 2, 3][::-1] }} {{ '%s-%05.1f' % ('a', 2.5) }}",
            "[1, 2] b [3, 2, 1] a-002.5",
        ),
        ("{{ 'a-b'.replace('-', '+') }} {{ 'a-b'|replace('-', '+') }} {{ '{}:{x}'.format(1, x=2) }}", "a+b a+b 1:2"),
        ("{{ ', '.join(['a', 'b']) }} {{ [1, 2]|join('-') }} {{ [{'a': 1}]|join('', attribute='a') }}", "a, b 1-2 1"),
        ("{{ 'a\\nb'|indent(2) }} {{ 'a\\nb'|indent(2, true) }}", "a\n  b   a\n  b"),
        ("{{ {'b': 'é', 'a': [1]}|tojson }} {{ [1]|tojson(indent=1) }}", '{"b": "é", "a": [1]} [\n 1\n]'),
        ("{% for i in [1, 2, 3] %}{{ loop.index }}{{ loop.last }}{% endfor %}", "1False2False3True"),
        ("{% for i in [1, 2, 3] if i > 1 %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}", "2"),
        ("{% macro m(x) %}<{{ x }}{{ caller() }}>{% endmacro %}{% call m(1) %}!{% endcall %}", "<1!>"),
        ("{% generation %}a{% endgeneration %}{{ [1, 2]|sum }}{{ [{'n': 2}]|sum(attribute='n') }}", "a32"),
        ("{{ x.items()|list }} {{ x|items|list }} {{ x.get('b', 'c') }}", "[('a', 1)] [('a', 1)] c"),
    ],
)
def test_everything_else_is_jinja_as_ever(source: str, text: str) -> None:
    assert rendered(source, x={"a": 1}) == text
