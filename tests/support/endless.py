"""A model that never ends its turn and takes its time.

What happens while an answer is on its way can then be tested without a race against a model that has answered already.
"""

from pathlib import Path

import numpy as np
from gguf import GGUFReader, GGUFWriter

from support.rewrite import copy_fields

NAME = "endless"
CONTEXT = 2048
_WIDTH, _LAYERS, _FEED_FORWARD, _HEADS = 512, 6, 2048, 8
"""96 MB of F32, of which each token reads every byte: some 100 tokens a second at most."""


def write_endless(path: Path, demo_model: Path) -> Path:
    """Write it with the vocabulary and the chat template of the demo model."""
    reader = GGUFReader(demo_model)
    writer = GGUFWriter(path, "llama")
    copy_fields(reader, writer, "tokenizer.")
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    writer.add_name(NAME)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_FEED_FORWARD)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    random = np.random.default_rng(3)

    def matrix(*shape: int) -> np.ndarray:
        return random.standard_normal(shape, dtype=np.float32) * np.float32(0.05)

    # Only plain words have a chance: never a token that ends the turn, never part of a character.
    output = matrix(len(tokens), _WIDTH)
    output[[not text.removeprefix("Ġ").isascii() or not text.removeprefix("Ġ").isalpha() for text in tokens]] = 0
    writer.add_tensor("token_embd.weight", matrix(len(tokens), _WIDTH))
    writer.add_tensor("output.weight", output)
    writer.add_tensor("output_norm.weight", np.ones(_WIDTH, dtype=np.float32))
    layer = {
        "attn_q": matrix(_WIDTH, _WIDTH),
        "attn_k": matrix(_WIDTH, _WIDTH),
        "attn_v": matrix(_WIDTH, _WIDTH),
        "attn_output": matrix(_WIDTH, _WIDTH),
        "ffn_gate": matrix(_FEED_FORWARD, _WIDTH),
        "ffn_up": matrix(_FEED_FORWARD, _WIDTH),
        "ffn_down": matrix(_WIDTH, _FEED_FORWARD),
        "attn_norm": np.ones(_WIDTH, dtype=np.float32),
        "ffn_norm": np.ones(_WIDTH, dtype=np.float32),
    }
    for number in range(_LAYERS):
        for name, values in layer.items():
            writer.add_tensor(f"blk.{number}.{name}.weight", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
