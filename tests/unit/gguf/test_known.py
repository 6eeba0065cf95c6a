"""What is written down of llama.cpp is what its source says."""

import subprocess
import sys

from lambda_llm.gguf import known
from scripts.docs.known import MODULE, module


def test_the_module_is_up_to_date() -> None:
    formatted = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--stdin-filename", MODULE, "-"],
        input=module(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert formatted == MODULE.read_text(), "run python -m scripts.docs.known"


def test_what_is_read_from_the_source_is_what_a_reader_finds_there() -> None:
    assert (known.MAX_LAYERS, known.MAX_EXPERTS) == (512, 1024)
    assert {"llama", "gemma3", "gpt-oss", "mamba", "lfm2", "granitehybrid", "bert"} <= known.ARCHITECTURES
    assert {"llama", "gpt2", "bert", "t5", "none"} <= known.TOKENIZERS
    assert {"llama-bpe", "qwen2", "default"} <= known.PRE_TOKENIZERS
    assert {"none", "linear", "yarn", "longrope"} == known.ROPE_SCALINGS
    assert {"dream", "llada"} <= known.NON_CAUSAL
    assert known.KEY_TYPES[".attention.layer_norm_rms_epsilon"] == ("f32", True, False)
    assert known.KEY_TYPES[".attention.head_count_kv"] == ("u32", True, True)
    assert known.KEY_TYPES[".attention.causal"] == ("bool", True, False)
    assert known.KEY_TYPES["tokenizer.ggml.bos_token_id"] == ("u32", True, False)
