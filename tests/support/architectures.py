"""Tiny models of other architectures than llama, with random weights: sliding windows, recurrent and hybrid ones.

Keys and tensors are those that llama.cpp reads: `load_arch_hparams` and `load_arch_tensors` in its src/models/.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from gguf import GGUFValueType, GGUFWriter, TokenType

WIDTH: Final = 128
HEADS: Final = 4
KV_HEADS: Final = 2
HEAD: Final = WIDTH // HEADS
FEED_FORWARD: Final = 192
LAYERS: Final = 4
CONTEXT: Final = 1024
WINDOW: Final = 128
EXPERTS: Final = 4
INNER: Final = 2 * WIDTH
STATE: Final = 16
RANK: Final = 8

TEMPLATE: Final = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CONTROL: Final = ("<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>")

Shapes = Mapping[str, tuple[int, ...]]
Keys = Mapping[str, Any]

_QKV: Final[Shapes] = {
    "attn_q.weight": (WIDTH, WIDTH),
    "attn_k.weight": (KV_HEADS * HEAD, WIDTH),
    "attn_v.weight": (KV_HEADS * HEAD, WIDTH),
    "attn_output.weight": (WIDTH, WIDTH),
}
_FFN: Final[Shapes] = {
    "ffn_norm.weight": (WIDTH,),
    "ffn_gate.weight": (FEED_FORWARD, WIDTH),
    "ffn_up.weight": (FEED_FORWARD, WIDTH),
    "ffn_down.weight": (WIDTH, FEED_FORWARD),
}
_NORM: Final[Shapes] = {"attn_norm.weight": (WIDTH,)}
_HEAD_NORMS: Final[Shapes] = {"attn_q_norm.weight": (HEAD,), "attn_k_norm.weight": (HEAD,)}
_POST_NORMS: Final[Shapes] = {"post_attention_norm.weight": (WIDTH,), "post_ffw_norm.weight": (WIDTH,)}
_GEMMA: Final[Shapes] = {**_NORM, **_QKV, **_FFN, **_POST_NORMS}
_EXPERTS: Final[Shapes] = {
    "post_attention_norm.weight": (WIDTH,),
    "attn_sinks.weight": (HEADS,),
    "attn_output.bias": (WIDTH,),
    "ffn_gate_inp.weight": (EXPERTS, WIDTH),
    "ffn_gate_inp.bias": (EXPERTS,),
    "ffn_gate_exps.weight": (EXPERTS, FEED_FORWARD, WIDTH),
    "ffn_gate_exps.bias": (EXPERTS, FEED_FORWARD),
    "ffn_up_exps.weight": (EXPERTS, FEED_FORWARD, WIDTH),
    "ffn_up_exps.bias": (EXPERTS, FEED_FORWARD),
    "ffn_down_exps.weight": (EXPERTS, WIDTH, FEED_FORWARD),
    "ffn_down_exps.bias": (EXPERTS, WIDTH),
}
_MAMBA: Final[Shapes] = {
    **_NORM,
    "ssm_in.weight": (2 * INNER, WIDTH),
    "ssm_conv1d.weight": (INNER, 4),
    "ssm_conv1d.bias": (INNER,),
    "ssm_x.weight": (RANK + 2 * STATE, INNER),
    "ssm_dt.weight": (INNER, RANK),
    "ssm_dt.bias": (INNER,),
    "ssm_a": (INNER, STATE),
    "ssm_d": (INNER,),
    "ssm_out.weight": (WIDTH, INNER),
}
_MAMBA_2: Final[Shapes] = {
    **_NORM,
    "ssm_in.weight": (2 * INNER + 2 * STATE + RANK, WIDTH),
    "ssm_conv1d.weight": (INNER + 2 * STATE, 4),
    "ssm_conv1d.bias": (INNER + 2 * STATE,),
    "ssm_dt.bias": (RANK,),
    "ssm_a": (RANK, 1),
    "ssm_d": (RANK, 1),
    "ssm_norm.weight": (1, INNER),
    "ssm_out.weight": (WIDTH, INNER),
}
_SHORT_CONVOLUTION: Final[Shapes] = {
    **_NORM,
    **_FFN,
    "shortconv.conv.weight": (WIDTH, 3),
    "shortconv.in_proj.weight": (3 * WIDTH, WIDTH),
    "shortconv.out_proj.weight": (WIDTH, WIDTH),
}

_EPSILON: Final[Keys] = {"attention.layer_norm_rms_epsilon": 1e-5}
_HEADS: Final[Keys] = {"attention.head_count": HEADS, "attention.head_count_kv": KV_HEADS}
_WINDOW: Final[Keys] = {**_EPSILON, **_HEADS, "attention.sliding_window": WINDOW}
_SSM: Final[Keys] = {
    **_EPSILON,
    "ssm.conv_kernel": 4,
    "ssm.inner_size": INNER,
    "ssm.state_size": STATE,
    "ssm.time_step_rank": RANK,
}
_EVERY_OTHER: Final = [KV_HEADS if layer % 2 else 0 for layer in range(LAYERS)]
"""KV heads of hybrid models: layers without any are recurrent."""

ARCHITECTURES: Final[Mapping[str, tuple[Keys, Callable[[int], Shapes]]]] = {
    "gemma3": ({**_WINDOW, "attention.sliding_window_pattern": 2}, lambda _: {**_GEMMA, **_HEAD_NORMS}),
    "gemma2": (_WINDOW, lambda _: _GEMMA),
    "cohere2": (
        {**_WINDOW, "attention.layer_norm_epsilon": 1e-5, "logit_scale": 1.0},
        lambda _: {name: shape for name, shape in {**_NORM, **_QKV, **_FFN}.items() if name != "ffn_norm.weight"},
    ),
    "gpt-oss": (
        {**_WINDOW, "expert_count": EXPERTS, "expert_used_count": 2, "expert_feed_forward_length": FEED_FORWARD},
        lambda _: {**_NORM, **_QKV, **_EXPERTS},
    ),
    "mamba": ({**_SSM, "attention.head_count": 0}, lambda _: _MAMBA),
    "lfm2": (
        {**_EPSILON, "attention.head_count": HEADS, "attention.head_count_kv": _EVERY_OTHER, "shortconv.l_cache": 3},
        lambda layer: {**_NORM, **_QKV, **_HEAD_NORMS, **_FFN} if _EVERY_OTHER[layer] else _SHORT_CONVOLUTION,
    ),
    "granitehybrid": (
        {**_SSM, "attention.head_count": HEADS, "attention.head_count_kv": _EVERY_OTHER, "ssm.group_count": 1},
        lambda layer: {**_NORM, **_QKV, **_FFN} if _EVERY_OTHER[layer] else {**_MAMBA_2, **_FFN},
    ),
}
"""By llama.cpp's name: keys without the name, and the tensors of each layer."""

WINDOWED: Final = ("gemma3", "gemma2", "cohere2", "gpt-oss")
RECURRENT: Final = ("mamba", "lfm2", "granitehybrid")


def write_architecture(path: Path, name: str, changes: Keys | None = None, seed: int = 1) -> Path:
    """Write a model.

    Args:
        path: the file.
        name: one of `ARCHITECTURES`.
        changes: other values of its keys.
        seed: of the weights.
    """
    keys, tensors_of = ARCHITECTURES[name]
    writer = GGUFWriter(path, name)
    writer.add_name(f"A {name} of noise")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    for key, value in {**keys, **(changes or {})}.items():
        kind = GGUFValueType.UINT32 if isinstance(value, int) else GGUFValueType.get_type(value)
        writer.add_key_value(f"{name}.{key}", value, kind)
    _add_vocabulary(writer)
    random = np.random.default_rng(seed)
    vocabulary = 1 + len(CONTROL) + 256 + 1
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (vocabulary, WIDTH), "output_norm.weight": (WIDTH,)}
    if name == "lfm2":
        shapes["token_embd_norm.weight"] = shapes.pop("output_norm.weight")
    if name == "gpt-oss":
        shapes["output.weight"] = (vocabulary, WIDTH)
    for layer in range(LAYERS):
        shapes |= {f"blk.{layer}.{tensor}": shape for tensor, shape in tensors_of(layer).items()}
    for tensor, shape in shapes.items():
        writer.add_tensor(tensor, _weights(random, tensor, shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _weights(random: np.random.Generator, name: str, shape: tuple[int, ...]) -> Any:
    if name.endswith("norm.weight"):
        return np.ones(shape, np.float32)
    numbers = random.standard_normal(shape, np.float32)
    if name.endswith("ssm_a"):
        return -np.exp(numbers / 4)
    return numbers / np.float32(np.sqrt(shape[-1]))


def _add_vocabulary(writer: GGUFWriter) -> None:
    tokens = ["<unk>", *CONTROL, *(f"<0x{byte:02X}>" for byte in range(256)), "▁"]
    types = [TokenType.UNKNOWN, *[TokenType.CONTROL] * len(CONTROL), *[TokenType.BYTE] * 256, TokenType.NORMAL]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(types)
    writer.add_bos_token_id(tokens.index("<s>"))
    writer.add_eos_token_id(tokens.index("</s>"))
    writer.add_add_bos_token(value=True)
    writer.add_add_space_prefix(value=False)
    writer.add_chat_template(TEMPLATE)
