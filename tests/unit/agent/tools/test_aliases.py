"""Names for models: what is kept, what is shortened, and that nothing depends on order."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_llm.agent.errors import AgentDefinitionError
from lambda_llm.agent.tools.aliases import aliases, over_sources
from lambda_llm.agent.tools.tool import NAME_PATTERN


@pytest.mark.parametrize(
    ("full", "alias"),
    [
        ("get_weather", "get_weather"),
        ("weather___get_weather", "get_weather"),
        ("a___b___c-d", "c-d"),
        ("x" * 64, "x" * 64),
        ("target___", "target___"),
    ],
)
def test_a_plain_name_stays_and_a_target_goes(full: str, alias: str) -> None:
    assert aliases([full]) == {alias: full}


@pytest.mark.parametrize(
    ("full", "readable"),
    [
        ("x" * 65, "x" * 55),
        ("target___" + "y" * 100, "y" * 55),
        ("find document", "find_document"),
        ("repos/search.v2", "repos_search_v2"),
        ("names\n<|im_start|>", "names_im_start"),
        ("target___a.b", "a_b"),
        ("Wetter für Köln", "Wetter_f_r_K_ln"),
    ],
)
def test_other_names_get_a_hash(full: str, readable: str) -> None:
    ((alias, back),) = aliases([full]).items()
    assert back == full
    assert re.fullmatch(re.escape(readable) + "_[0-9a-f]{8}", alias)
    assert len(alias) <= 64


@pytest.mark.parametrize("full", ["", "…", "\ud800"])
def test_a_name_without_a_readable_character_is_its_hash(full: str) -> None:
    ((alias, back),) = aliases([full]).items()
    assert back == full
    assert re.fullmatch("[0-9a-f]{8}", alias)


def test_a_trailing_newline_is_no_part_of_a_name() -> None:
    ((alias, _),) = aliases(["search\n"]).items()
    assert alias != "search\n"
    assert re.fullmatch(r"search_[0-9a-f]{8}", alias)


def test_names_alike_are_told_apart_by_both_hashes() -> None:
    found = aliases(["maps___search", "web___search", "web___open"])
    assert sorted(found.values()) == ["maps___search", "web___open", "web___search"]
    assert found["open"] == "web___open"
    assert "search" not in found
    assert all(re.fullmatch("search_[0-9a-f]{8}|open", alias) for alias in found)


def test_a_tool_can_not_take_the_alias_of_another_by_its_name() -> None:
    taken = next(alias for alias, full in aliases(["a___search", "b___search"]).items() if full == "a___search")
    found = aliases(["a___search", "b___search", taken])
    assert set(found.values()) == {"a___search", "b___search", taken}
    assert taken not in found


@given(st.lists(st.text(max_size=80) | st.from_regex(r"[ab]___[cd]{1,2}", fullmatch=True), unique=True, max_size=12))
def test_every_name_has_one_alias_whatever_the_order(names: list[str]) -> None:
    found = aliases(names)
    assert sorted(found.values()) == sorted(names)
    assert all(re.fullmatch(NAME_PATTERN, alias) and not alias.endswith("\n") for alias in found)
    shuffled = random.Random(1).sample(names, len(names))  # noqa: S311 - an order
    assert aliases(shuffled) == found


def test_a_name_of_one_source_stays_and_one_of_two_has_its_source_in_front() -> None:
    found = over_sources({"maps": ["search", "route"], "web": ["search"]})
    assert found == {"maps_search": ("maps", "search"), "web_search": ("web", "search"), "route": ("maps", "route")}
    assert over_sources({"web": ["search"], "maps": ["route", "search"]}) == found


def test_names_that_are_too_long_with_their_source_get_a_hash() -> None:
    found = over_sources({"maps": ["x" * 64], "web": ["x" * 64]})
    assert sorted(found.values()) == [("maps", "x" * 64), ("web", "x" * 64)]
    assert all(re.fullmatch("x{55}_[0-9a-f]{8}", name) for name in found)


def test_a_tool_can_not_take_the_place_of_another_source() -> None:
    found = over_sources({"maps": ["search", "web_search"], "web": ["search"]})
    assert sorted(found.values()) == [("maps", "search"), ("maps", "web_search"), ("web", "search")]
    assert "web_search" not in found


@pytest.mark.parametrize("names", [["search", "search"], ["no name"], ["x" * 65], [""]])
def test_a_source_gives_each_name_once(names: list[str]) -> None:
    with pytest.raises(AgentDefinitionError, match="The source 'web' calls a tool"):
        over_sources({"web": names})
