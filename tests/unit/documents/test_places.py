"""A `custom_id` leads back to its chunk."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_llm.documents.errors import DocumentError, ExportError
from lambda_llm.documents.places import Place

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(st.builds(Place, NAMES, st.none() | st.integers(0), st.none() | NAMES, st.integers(0)))
def test_it_leads_back(place: Place) -> None:
    assert Place.of(place.custom_id) == place


def test_it_is_short_enough_for_a_batch_or_refused() -> None:
    assert len(Place("a" * 490, None, None, 0).custom_id) <= 512
    for place in (Place("a" * 600, None, None, 0), Place("a", 1, "漢" * 200, 0)):
        with pytest.raises(DocumentError, match="give the document a shorter one"):
            _ = place.custom_id


@pytest.mark.parametrize(
    "custom_id", ["", "x", "[1]", '["a",0,"b"]', '["a","0",null,1]', "[1,null,null,1]", "[" * 9000]
)
def test_another_one_is_refused(custom_id: str) -> None:
    with pytest.raises(ExportError, match="names no document"):
        Place.of(custom_id)
