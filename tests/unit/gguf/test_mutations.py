"""Whatever is wrong with a GGUF file, it is told in one sentence, or the model runs: no signal, ever.

Each mutation is opened as `init` does it, in processes that try many. `FUZZ_MUTATIONS` sets how many there are.
"""

import os
from pathlib import Path

import pytest

from scripts.demo import MODEL
from support.encoders import ENCODERS
from support.trial import OPENED, outcomes

MUTATIONS = int(os.environ.get("FUZZ_MUTATIONS", "2000"))


@pytest.mark.parametrize(
    ("path", "share"),
    [(MODEL, 0.5), (ENCODERS / "embeddings.gguf", 0.25), (ENCODERS / "reranker.gguf", 0.25)],
    ids=["demo", "embeddings", "reranker"],
)
def test_every_mutation_runs_or_is_refused_in_one_sentence(path: Path, share: float) -> None:
    tried = dict(outcomes(path, range(int(MUTATIONS * share))))
    died = {number: outcome for number, outcome in tried.items() if outcome.startswith("died") or not outcome}
    assert not died
    assert len(tried) == int(MUTATIONS * share)
    sentences = [outcome for outcome in tried.values() if outcome != OPENED]
    assert 0.1 < len(sentences) / len(tried) < 0.9, "both kinds are tried"
    for sentence in sentences:
        assert sentence.endswith("."), sentence
        assert "\\n" not in sentence, sentence
        assert "Traceback" not in sentence
