"""What llama.cpp asserts in spite of all checks: one sentence, and neither a signal nor a backtrace."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lambda_llm.engine import native
from lambda_llm.engine.errors import UnknownTextError
from lambda_llm.engine.loaded_model import LoadedModel
from lambda_llm.gguf.errors import UnsupportedModelError
from lambda_llm.gguf.options import Weights
from support.models import Shape, write_llama
from support.rewrite import rewrite

OPEN = """
import sys
from lambda_llm.engine.loaded_model import LoadedModel
from lambda_llm.gguf.errors import UnsupportedModelError
from lambda_llm.gguf.options import Weights
try:
    LoadedModel(sys.argv[1], Weights.COPIED)
except UnsupportedModelError as error:
    print(error)
    sys.exit(7)
"""
EVALUATE = """
import sys
from lambda_llm.engine.decoder import Decoder
from lambda_llm.engine.loaded_model import LoadedModel
from lambda_llm.gguf.options import ModelOptions, Weights
model = LoadedModel(sys.argv[1], Weights.COPIED)
Decoder(model, ModelOptions(context_length=64, threads=2)).evaluate([1, 2, 3])
"""

ADD_BOS = "tokenizer.ggml.add_bos_token"
ADD_EOS = "tokenizer.ggml.add_eos_token"

Ran = Callable[[str, Path], subprocess.CompletedProcess[str]]


@pytest.fixture
def ran() -> Ran:
    def run(program: str, model: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, str(model)], capture_output=True, text=True, timeout=120, check=False
        )

    return run


def test_an_assertion_while_a_model_is_opened_is_an_error_like_others(
    ran: Ran, demo_model: Path, tmp_path: Path
) -> None:
    done = ran(OPEN, rewrite(demo_model, tmp_path / "m.gguf", {"llama.block_count": 1023}))
    assert done.returncode == 7
    assert done.stdout.startswith("llama.cpp can't run the model (")
    assert "GGML_ASSERT(hparams.n_layer_all > 0 && hparams.n_layer_all <= LLAMA_MAX_LAYERS) failed" in done.stdout
    assert "backtrace" not in done.stderr


def test_an_assertion_at_work_ends_the_process_with_one_sentence(ran: Ran, demo_model: Path, tmp_path: Path) -> None:
    epsilon = {"llama.attention.layer_norm_rms_epsilon": -1.0}
    done = ran(EVALUATE, rewrite(demo_model, tmp_path / "m.gguf", epsilon))
    assert done.returncode == 1, "an exit status, not a signal"
    (line,) = done.stderr.splitlines()
    assert line.startswith("llama.cpp failed at an assertion, which ends this process: ")
    assert "GGML_ASSERT(eps >= 0.0f) failed" in line


def test_what_the_call_returns_or_raises_passes_through() -> None:
    assert native.surviving(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        native.surviving(lambda: 1 // 0)


def test_a_bos_that_is_added_and_not_there_is_told(tmp_path: Path, demo_model: Path) -> None:
    changes = {"tokenizer.ggml.bos_token_id": None, "tokenizer.ggml.pre": "chatglm-bpe", ADD_BOS: True}
    with pytest.raises(UnsupportedModelError, match="its tokenizer adds BOS and names none"):
        LoadedModel(str(rewrite(demo_model, tmp_path / "m.gguf", changes)), Weights.COPIED)


def test_an_eos_that_is_added_and_not_there_is_told(tmp_path: Path) -> None:
    # Without a word about it llama.cpp takes token 2, which two tokens don't have.
    small = write_llama(tmp_path / "m.gguf", Shape(vocabulary=2))
    with pytest.raises(UnsupportedModelError, match="its tokenizer adds EOS and names none"):
        LoadedModel(str(rewrite(small, tmp_path / "n.gguf", {ADD_EOS: True})), Weights.COPIED)


def test_a_character_without_token_or_bytes_is_refused(tmp_path: Path) -> None:
    tokens = ["<unk>", "<s>", "</s>", "▁", "a", "é", "▁a", *(f"token {number}" for number in range(293))]
    path = rewrite(write_llama(tmp_path / "m.gguf"), tmp_path / "n.gguf", {"tokenizer.ggml.tokens": tokens})
    with LoadedModel(str(path), Weights.COPIED) as model:
        assert b"".join(map(model.piece, model.tokenize("a é", add_special=False))).decode() == " a é"
        with pytest.raises(UnknownTextError, match=r"^This model's vocabulary can't represent 'b': leave it out"):
            model.tokenize("ab", add_special=False)
        assert model.tokenize("", add_special=False) == []


def test_without_a_token_for_spaces_no_text_can_be_represented(tmp_path: Path) -> None:
    with (
        LoadedModel(str(write_llama(tmp_path / "m.gguf")), Weights.COPIED) as model,
        pytest.raises(UnknownTextError, match="can't represent ' '"),
    ):
        model.tokenize("1", add_special=False)
