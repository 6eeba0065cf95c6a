"""llama.cpp's attention with this project's edits is exact, and the same however a prompt is split."""

from pathlib import Path

import llama_cpp
import numpy as np
import pytest

from lambda_llm.engine.decoder import Decoder
from lambda_llm.engine.engine import Engine
from lambda_llm.gguf.options import KVType, ModelOptions
from support.attention import CASES, HALF_PRECISION_ERROR, LARGEST_ERROR, TILE, Attention, Case, inputs, reference

LIBRARIES = Path(llama_cpp.__file__).parent / "lib"


@pytest.fixture(scope="module")
def attention() -> Attention:
    return Attention(LIBRARIES)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_exact(attention: Attention, case: Case) -> None:
    given = inputs(case)
    whole = attention(case, given, threads=2)
    assert np.isfinite(whole).all()
    one_by_one = case.rows < TILE and case.heads == case.shared
    assert np.abs(whole - reference(case, given)).max() < (HALF_PRECISION_ERROR if one_by_one else LARGEST_ERROR)


@pytest.mark.parametrize("case", [case for case in CASES if case.heads > case.shared], ids=str)
def test_a_token_s_result_is_the_same_whatever_is_evaluated_with_it(attention: Attention, case: Case) -> None:
    """And whoever computes it: to the last bit."""
    given = inputs(case)
    whole = attention(case, given, threads=1)
    for threads in (2, 3, 5):
        assert np.array_equal(attention(case, given, threads), whole)
    for first in {0, case.rows // 3, case.rows - 1}:
        for end in {first + 1, case.rows}:
            assert np.array_equal(attention(case, given, 2, first, end), whole[first:end])


@pytest.mark.parametrize("case", [case for case in CASES if case.rows < TILE], ids=str)
def test_few_tokens_are_rounded_as_each_of_them_alone(attention: Attention, case: Case) -> None:
    """Also where each head has keys of its own: so a cached prompt gets the answer that it got when it was new."""
    given = inputs(case)
    whole = attention(case, given, threads=1)
    alone = [attention(case, given, 1, row, row + 1) for row in range(case.rows)]
    assert np.array_equal(np.concatenate(alone), whole)


@pytest.mark.parametrize("kv_type", list(KVType))
def test_logits_do_not_depend_on_how_a_prompt_was_evaluated(engine: Engine, kv_type: KVType) -> None:
    """So neither does an answer on what was in the cache, nor on how many threads there were."""
    tokens = [(index * 37 + 11) % 900 + 20 for index in range(330)]
    splits = ([330], [200, 130], [329, 1], [64, 64, 64, 64, 74], [300, *[1] * 30], [7, 320, 3])
    found = []
    for threads in (1, 2):
        options = ModelOptions(context_length=512, threads=threads, kv_type=kv_type)
        with Decoder(engine.model, options) as decoder:
            for split in splits:
                decoder.truncate(0)
                at = 0
                for count in split:
                    decoder.append(*tokens[at : at + count])
                    at += count
                found.append(decoder.logits().copy())
    assert len(found) == 12
    assert all(np.array_equal(each, found[0]) for each in found)
