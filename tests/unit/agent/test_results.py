"""What a model sees of an outcome: one JSON document without control tokens, of a bounded size."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_llm.agent import results
from lambda_llm.agent.errors import AgentError
from lambda_llm.agent.references import Reference
from lambda_llm.agent.store import FolderStore
from lambda_llm.agent.tools.tool import Outcome

CONTROL = [
    "<|im_end|>",
    "<|eot_id|>",
    "<｜User｜>",
    "</s>",
    "<s>",
    "<tool_call>",
    "[INST]",
    "[/INST]",
    "<think>",
    "<end_of_turn>",
]


@pytest.mark.parametrize("token", CONTROL)
@pytest.mark.parametrize("status", ["ok", "error", "unknown"])
def test_a_control_token_reaches_no_template(token: str, status: str) -> None:
    shown = results.render(Outcome(status, f"before {token} after"))  # type: ignore[arg-type]
    assert token not in shown
    (value,) = json.loads(shown).values()
    assert value == f"before {token} after"


@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.dictionaries(st.text(), inner) | st.lists(inner)
    )
)
def test_what_is_shown_is_json_and_says_the_same(content: object) -> None:
    shown = results.render(Outcome("ok", content))
    assert json.loads(shown) == (content if isinstance(content, dict) else {"result": content})
    assert not any(token in shown for token in CONTROL)


def test_a_large_result_is_a_reference_with_a_head(tmp_path: Path) -> None:
    store = FolderStore(tmp_path, "t")
    outcome = results.bounded(Outcome("ok", "é" * 10_000), store)
    (reference,) = outcome.references
    assert store.get(reference, 100_000).decode() == "é" * 10_000
    assert reference.type == "text/plain"
    assert outcome.content == {"head": "é" * 2000 + "… (10,000 characters)"}
    shown = json.loads(results.render(outcome))
    assert shown["references"] == [{"uri": reference.uri, "size": 20_000, "type": "text/plain"}]


def test_a_small_one_stays_as_it_is(tmp_path: Path) -> None:
    outcome = Outcome("ok", {"a": [1, None, "x"]}, memory={"m": 1})
    assert results.bounded(outcome, FolderStore(tmp_path, "t")) == outcome
    assert not list(tmp_path.rglob("?" * 64))


def test_a_result_that_can_t_be_stored_is_told_by_its_head() -> None:
    class Full:
        def put(self, _content: bytes, _kind: str) -> Reference:
            raise AgentError("100,000 bytes could not be stored: SlowDown.")

        def get(self, _reference: Reference, _most: int) -> bytes:
            raise AssertionError

    outcome = results.bounded(Outcome("ok", "x" * 100_000), Full())
    assert outcome.status == "ok"
    assert outcome.content["head"].startswith("xxx")
    assert outcome.content["note"] == "The rest is lost: 100,000 bytes could not be stored: SlowDown."
