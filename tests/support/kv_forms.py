"""Models of noise with KV caches of several forms: sliding windows, positions in two dimensions, no values."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from gguf import GGUFWriter

LAYERS, WIDTH, HEADS, FEED_FORWARD, VOCABULARY = 4, 64, 2, 64, 300
WINDOW: Final = 32
_HEAD: Final = WIDTH // HEADS

_PLAIN: Final = {
    "attn_norm": (WIDTH,),
    "attn_q": (WIDTH, WIDTH),
    "attn_k": (WIDTH, WIDTH),
    "attn_v": (WIDTH, WIDTH),
    "attn_output": (WIDTH, WIDTH),
    "ffn_gate": (FEED_FORWARD, WIDTH),
    "ffn_up": (FEED_FORWARD, WIDTH),
    "ffn_down": (WIDTH, FEED_FORWARD),
}
"""Tensors of each layer, in numpy's order of dimensions."""

_LATENT, _LATENT_ROPE = 32, 32
_LATENT_LAYER: Final = {
    "attn_norm": (WIDTH,),
    "attn_q_a": (_LATENT, WIDTH),
    "attn_q_a_norm": (_LATENT,),
    "attn_q_b": (HEADS * (_HEAD + _LATENT_ROPE), _LATENT),
    "attn_kv_a_mqa": (_LATENT + _LATENT_ROPE, WIDTH),
    "attn_kv_a_norm": (_LATENT,),
    "attn_k_b": (HEADS, _LATENT, _HEAD),
    "attn_v_b": (HEADS, _HEAD, _LATENT),
    "attn_output": (WIDTH, HEADS * _HEAD),
    "ffn_norm": (WIDTH,),
    "ffn_gate": (FEED_FORWARD, WIDTH),
    "ffn_up": (FEED_FORWARD, WIDTH),
    "ffn_down": (WIDTH, FEED_FORWARD),
}

ARCHITECTURES: Final[dict[str, tuple[dict[str, tuple[int, ...]], dict[str, Any]]]] = {
    "llama": (_PLAIN | {"ffn_norm": (WIDTH,)}, {}),
    # Three of four layers see only the last WINDOW tokens, and have a cache of their own.
    "cohere2": (_PLAIN, {"attention.sliding_window": WINDOW, "logit_scale": 1.0}),
    # Each cell has a position in two more dimensions.
    "qwen2vl": (_PLAIN | {"ffn_norm": (WIDTH,)}, {"rope.dimension_sections": [4, 6, 6, 0]}),
    # Values are computed from the keys, and not kept.
    "deepseek2": (
        _LATENT_LAYER,
        {
            "attention.head_count_kv": 1,
            "attention.q_lora_rank": _LATENT,
            "attention.kv_lora_rank": _LATENT,
            "attention.key_length": _LATENT + _LATENT_ROPE,
            "attention.value_length": _LATENT,
            "attention.key_length_mla": _HEAD + _LATENT_ROPE,
            "attention.value_length_mla": _HEAD,
            "leading_dense_block_count": LAYERS,
            "expert_feed_forward_length": 0,
            "expert_shared_count": 0,
            "rope.dimension_count": _LATENT_ROPE,
        },
    ),
}
"""By name: the tensors of a layer, and keys of the header besides what every architecture has."""


def write_architecture(path: Path, architecture: str, spoiled: str | None = None) -> Path:
    """Write a model of 4 layers; all numbers of the tensor `spoiled` are NaN."""
    layer, keys = ARCHITECTURES[architecture]
    writer = GGUFWriter(path, architecture)
    common: dict[str, Any] = {
        "context_length": 512,
        "embedding_length": WIDTH,
        "block_count": LAYERS,
        "feed_forward_length": FEED_FORWARD,
        "attention.head_count": HEADS,
        "attention.head_count_kv": HEADS,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "attention.layer_norm_epsilon": 1e-5,
        "rope.dimension_count": _HEAD,
    }
    for key, value in (common | keys).items():
        name = f"{architecture}.{key}"
        if isinstance(value, list):
            writer.add_array(name, value)
        elif isinstance(value, float):
            writer.add_float32(name, value)
        else:
            writer.add_uint32(name, value)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([f"token {number:>8}" for number in range(VOCABULARY)])
    writer.add_token_scores([0.0] * VOCABULARY)
    writer.add_token_types([1] * VOCABULARY)
    tensors: dict[str, tuple[int, ...]] = {"token_embd": (VOCABULARY, WIDTH), "output_norm": (WIDTH,)}
    tensors |= {f"blk.{number}.{name}": shape for number in range(LAYERS) for name, shape in layer.items()}
    random = np.random.default_rng(1)
    for name, shape in tensors.items():
        numbers = np.ones(shape) if len(shape) == 1 else random.standard_normal(shape) / 8
        writer.add_tensor(f"{name}.weight", (numbers * np.nan if name == spoiled else numbers).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
