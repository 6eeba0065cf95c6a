"""Whatever is wrong with a GGUF file, it is told in one sentence, or the model runs: no signal, ever.

Each mutation is opened as `init` does it, in processes that try many. `FUZZ_MUTATIONS` sets how many there are.
"""

import os
from pathlib import Path

import pytest

from scripts.demo import MODEL
from support.architectures import ARCHITECTURES, write_architecture
from support.encoders import ENCODERS
from support.trial import BREAK, OPENED, outcomes

MUTATIONS = int(os.environ.get("FUZZ_MUTATIONS", "2000"))


FILES = {"demo": (MODEL, 0.4), **{name: (ENCODERS / f"{name}.gguf", 0.125) for name in ("embeddings", "reranker")}}


@pytest.mark.parametrize("name", [*FILES, *ARCHITECTURES])
def test_every_mutation_runs_or_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    path, share = FILES.get(name) or (write_architecture(tmp_path / "m.gguf", name), 0.05)
    count = round(MUTATIONS * share)
    tried = dict(outcomes(path, range(count)))
    died = {number: outcome for number, outcome in tried.items() if outcome.startswith("died") or not outcome}
    assert not died
    assert len(tried) == count
    sentences = [outcome for outcome in tried.values() if outcome != OPENED]
    assert 0.1 < len(sentences) / len(tried) < 0.97, "both kinds are tried"
    for sentence in sentences:
        assert sentence.endswith("."), sentence
        assert BREAK not in sentence, sentence
        assert "Traceback" not in sentence
