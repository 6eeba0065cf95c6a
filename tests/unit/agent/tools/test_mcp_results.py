"""Results as outcomes: what stays inline, what becomes a reference, and that all of it is JSON."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_llm.agent.errors import ToolError
from lambda_llm.agent.tools.mcp_results import HEAD_BYTES, INLINE_BYTES, PARTS, clean, outcome
from support.mcp_servers import PNG, MemoryStore

DATA = base64.b64encode(PNG).decode()


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


@pytest.mark.parametrize(
    ("result", "content"),
    [
        ({"content": []}, ""),
        ({}, ""),
        ({"content": [text("a")]}, "a"),
        ({"content": [text("a"), text("b")]}, "a\nb"),
        ({"content": [text('{"a": 1}')], "structuredContent": {"a": 1}}, {"a": 1}),
        ({"content": [text("a")], "structuredContent": None}, None),
        ({"content": [text("a")], "structuredContent": 0}, 0),
        ({"content": [text("a")], "structuredContent": []}, []),
        ({"content": [text("x" * INLINE_BYTES)]}, "x" * INLINE_BYTES),
        (
            {"content": [{"type": "image", "data": "no base64!", "mimeType": "image/png"}]},
            {"parts": [{"type": "image", "left_out": "its data is no base64"}]},
        ),
        (
            {"content": [{"type": "video", "data": DATA}]},
            {"parts": [{"type": "video", "left_out": "parts of this type are not known"}]},
        ),
        (
            {"content": [{"type": "resource", "resource": {"uri": "file:///a", "mimeType": "text/x", "text": "t"}}]},
            {"parts": [{"type": "resource", "uri": "file:///a", "mimeType": "text/x", "text": "t"}]},
        ),
        (
            {"content": [text(str(number)) for number in range(PARTS + 3)]},
            {"result": "\n".join(map(str, range(PARTS))), "parts_left_out": 3},
        ),
    ],
)
def test_what_is_small_stays(result: dict[str, Any], content: Any) -> None:
    found = outcome(result, MemoryStore())
    assert (found.status, found.content, found.references) == ("ok", content, ())


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ({"type": "image", "data": DATA, "mimeType": "image/png"}, "image/png"),
        ({"type": "audio", "data": DATA, "mimeType": "audio/wav"}, "audio/wav"),
        ({"type": "image", "data": DATA, "mimeType": "image/png\r\nx: y"}, "application/octet-stream"),
        ({"type": "image", "data": DATA}, "application/octet-stream"),
        ({"type": "resource", "resource": {"blob": DATA, "mimeType": "image/gif"}}, "image/gif"),
    ],
)
def test_bytes_are_references(part: dict[str, Any], kind: str) -> None:
    store = MemoryStore()
    found = outcome({"content": [part, part]}, store)
    (reference,) = found.references
    assert (reference.type, reference.size) == (kind, len(PNG))
    assert store.get(reference, 1_000) == PNG
    assert [each["reference"] for each in found.content["parts"]] == [reference.to_json()] * 2
    assert DATA not in json.dumps(found.content)


def test_pictures_stay_beside_structured_content() -> None:
    found = outcome(
        {"content": [text("a"), {"type": "image", "data": DATA}], "structuredContent": {"a": 1}}, MemoryStore()
    )
    assert found.content["result"] == {"a": 1}
    assert [part["type"] for part in found.content["parts"]] == ["image"]


@pytest.mark.parametrize(
    ("result", "kind", "whole"),
    [
        ({"content": [text("é" * INLINE_BYTES)]}, "text/plain", "é" * INLINE_BYTES),
        (
            {"structuredContent": ["é" * INLINE_BYTES]},
            "application/json",
            json.dumps(["é" * INLINE_BYTES], ensure_ascii=False),
        ),
        ({"structuredContent": "x" * INLINE_BYTES}, "application/json", json.dumps("x" * INLINE_BYTES)),
    ],
)
def test_what_is_large_is_a_head_and_a_reference(result: dict[str, Any], kind: str, whole: str) -> None:
    store = MemoryStore()
    found = outcome(result, store)
    (reference,) = found.references
    assert reference.type == kind
    assert store.get(reference, 100_000).decode() == whole
    assert whole.startswith(found.content["head"])
    assert HEAD_BYTES - 1 <= len(found.content["head"].encode()) <= HEAD_BYTES
    assert found.content["bytes"] == len(whole.encode())


def test_many_texts_are_bounded_together() -> None:
    store = MemoryStore()
    parts = [text(chr(ord("A") + number) * 10_000) for number in range(PARTS - 1)]
    found = outcome({"content": [*parts, {"type": "image", "data": DATA}]}, store)
    assert len(found.references) == PARTS - 1
    assert found.content["parts"][0] == parts[0]
    assert found.content["parts"][1]["text"]["head"] == "B" * HEAD_BYTES
    assert len(json.dumps(found.content)) < INLINE_BYTES + PARTS * (HEAD_BYTES + 500)


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": "\ud800"}, {1, 2}])
def test_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(ToolError, match="its result is no JSON"):
        outcome({"structuredContent": value}, MemoryStore())


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([], "The tool says that it failed, and not why."),
        ([text("no"), text("city")], "no\ncity"),
        ([text("\x1b[31mno\r")], "[31mno"),
        ([text(""), {"type": "image", "data": DATA}], "The tool says that it failed, and not why."),
    ],
)
def test_a_failure_is_told(content: list[Any], told: str) -> None:
    found = outcome({"content": content, "isError": True, "structuredContent": {"a": 1}}, MemoryStore())
    assert (found.status, found.content) == ("error", told)


@given(st.text(), st.integers(1, 50))
def test_clean_text_is_bounded_and_prints(value: str, most: int) -> None:
    found = clean(value, most)
    assert len(found) <= most
    assert all(each.isprintable() or each in "\n\t" for each in found)
    assert clean(found, most) == found


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["type", "text", "data", "mimeType", "resource", "uri", "blob"]),
            st.sampled_from(["text", "image", "resource", "resource_link", DATA]) | JSON,
        ),
        max_size=3,
    ),
    st.none() | JSON,
)
def test_any_result_is_an_outcome_or_one_sentence(content: list[Any], structured: Any) -> None:
    try:
        found = outcome({"content": content} | ({"structuredContent": structured} if structured else {}), MemoryStore())
    except ToolError:
        return
    json.dumps(found.content, allow_nan=False).encode()
