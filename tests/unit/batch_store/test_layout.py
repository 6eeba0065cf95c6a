"""Keys and ids of a store."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_llm.batch_store import layout

TIMES = st.floats(min_value=0, max_value=2**33, allow_nan=False)
MILLISECOND = 0.001


@given(TIMES, TIMES)
def test_newer_ids_come_first(one: float, another: float) -> None:
    for new in (layout.new_file, layout.new_batch):
        older, newer = (new(each) for each in sorted((one, another)))
        assert newer < older or abs(one - another) <= MILLISECOND


@given(TIMES)
def test_an_id_knows_its_time(now: float) -> None:
    for new, known in ((layout.new_file, layout.is_file), (layout.new_batch, layout.is_batch)):
        assert known(new(now))
        assert layout.created(new(now)) == int(now)


def test_ids_are_random_or_as_they_are_wanted() -> None:
    assert layout.new_batch(1) != layout.new_batch(1)
    assert layout.new_batch(1, "0123456789abcdef") == layout.new_batch(1, "0123456789abcdef")
    assert not layout.is_file(layout.new_batch(1))
    assert not layout.is_batch(layout.new_batch(1) + "/../1")


def test_nothing_of_a_tenant_lies_in_another_one_s_folder() -> None:
    folders = (layout.files, layout.uploads, layout.batches)
    for folder in folders:
        names = [folder(tenant) for tenant in ("a", "ab", "a/b", "../a", "")]
        assert len(set(names)) == len(names)
        assert not [(one, two) for one in names for two in names if one != two and one.startswith(two)]


@given(st.builds(layout.Mark, *(st.integers(0, 10**most) for most in (7, 9, 9, 12))))
def test_a_mark_says_what_became_of_a_part(mark: layout.Mark) -> None:
    key = mark.key("batch_1")
    assert key.startswith(layout.counts("batch_1"))
    assert layout.Mark.read(key) == mark


@pytest.mark.parametrize("key", ["work/b/counts/", "work/b/counts/1-2-3", "work/b/counts/1-2-3-4x", "work/b/stop"])
def test_nothing_else_is_a_mark(key: str) -> None:
    assert layout.Mark.read(key) is None


def test_pieces_of_a_part_are_listed_in_order() -> None:
    keys = [layout.piece("batch_1", part, first) for part in (0, 2, 10) for first in (0, 99, 1000)]
    assert keys == sorted(keys)
    assert [key.startswith(layout.pieces("batch_1", 2)) for key in keys] == [False] * 3 + [True] * 3 + [False] * 3
