"""How many numbers llama.cpp keeps: of each token in its KV cache, and of each sequence in its recurrent layers.

Sources: `create_memory` in llama.cpp's src/llama-model.cpp, `n_embd_r` and `n_embd_s` in src/llama-hparams.cpp, and
`load_arch_hparams` of the architectures in src/models/.
"""

from typing import Final

from lambda_llm.gguf.header import Header
from lambda_llm.gguf.known import HYBRID, MAX_LAYERS, RECURRENT

_BOTH: Final = frozenset({"falcon-h1"})
"""Every layer is recurrent and has attention, too."""
_FEED_FORWARD_ALONE: Final = frozenset({"nemotron_h", "nemotron_h_moe"})
"""Layers with a feed-forward network have neither."""
_INTERVALS: Final = {"qwen3next": 4, "qwen35": 4, "qwen35moe": 4, "qwen4exp": 4, "minimax-01": 8}
"""Every so many layers, if the header does not say, one has attention and the others are recurrent."""
_LAYERS_OF_GEMMA_3N: Final = 20
"""The layers behind these use the keys and values of an earlier one."""
_CONVOLUTION_OF_KDA: Final = 4


def attention_width(header: Header) -> int:
    """Numbers for each token: keys and values of every layer with attention."""
    if not header.causal or header.architecture in RECURRENT:
        return 0
    keys, values = _head_lengths(header, "")
    if header.number("attention.key_length_mla") and header.number("attention.value_length_mla"):
        values = 0  # computed from the keys
    window_keys, window_values = _head_lengths(header, "_swa")
    heads = _kv_heads(header)
    recurrent = _recurrent_layers(header)
    width = 0
    for layer in range(min(_layers_with_cache(header), len(recurrent), len(heads))):
        if recurrent[layer] and header.architecture not in _BOTH:
            continue
        if header.architecture in _FEED_FORWARD_ALONE and _feed_forward(header, layer):
            continue
        is_window = _sees_window(header, layer)
        width += heads[layer] * (window_keys + window_values if is_window else keys + values)
    return width


def recurrent_width(header: Header) -> int:
    """Numbers for each sequence, in all recurrent layers."""
    layers = header.layers - header.number("nextn_predict_layers")
    count = sum(_recurrent_layers(header)[:layers])
    return count * sum(_state(header)) if count else 0


def _state(header: Header) -> tuple[int, int]:
    """Numbers of the convolution, or what takes its place, and of the state in one recurrent layer."""
    width = header.number("embedding_length")
    heads = max(header.per_layer("attention.head_count")[:1], default=0)
    if wkv := header.number("wkv.head_size"):
        return header.number("token_shift_count", 2) * width, width * wkv
    if short := header.number("shortconv.l_cache"):
        return width * (short - 1), 0
    kernel = header.number("ssm.conv_kernel")
    if kda := header.number("kda.head_dim"):
        return 3 * ((kernel or _CONVOLUTION_OF_KDA) - 1) * heads * kda, kda * kda * heads
    if header.architecture == "minimax-01":
        length, _ = _head_lengths(header, "")
        return 0, length * length * heads
    inner, state = header.number("ssm.inner_size"), header.number("ssm.state_size")
    convolved = inner + 2 * header.number("ssm.group_count") * state
    return max(kernel - 1, 0) * convolved, state * inner


def _kv_heads(header: Header) -> list[int]:
    grouped = f"{header.architecture}.attention.head_count_kv" in header.metadata
    return header.per_layer("attention.head_count_kv" if grouped else "attention.head_count")


def _head_lengths(header: Header, kind: str) -> tuple[int, int]:
    """Lengths of a key and a value; `kind` is `_swa` for layers with a sliding window."""
    heads = max(header.per_layer("attention.head_count"), default=0)
    length = header.number("embedding_length") // heads if heads else 0
    keys, values = (header.number(f"attention.{name}_length", length) for name in ("key", "value"))
    if not kind:
        return keys, values
    return header.number(f"attention.key_length{kind}", keys), header.number(f"attention.value_length{kind}", values)


def _sees_window(header: Header, layer: int) -> bool:
    """Whether the layer has a sliding window: of interest only where its heads are of another length."""
    key = f"{header.architecture}.attention.sliding_window_pattern"
    pattern = header.metadata.get(key)
    if isinstance(pattern, list):
        return layer < len(pattern) and bool(pattern[layer])
    every = header.number("attention.sliding_window_pattern")
    return bool(every) and layer % every < every - 1


def _layers_with_cache(header: Header) -> int:
    layers = header.layers - header.number("nextn_predict_layers")
    if header.architecture == "gemma3n":
        return min(layers, _LAYERS_OF_GEMMA_3N)
    return max(layers - header.number("attention.shared_kv_layers"), 0)


def _recurrent_layers(header: Header) -> list[bool]:
    """Whether each layer is recurrent."""
    architecture, layers = header.architecture, min(header.layers, MAX_LAYERS)
    if architecture in RECURRENT | _BOTH:
        return [True] * layers
    if architecture not in HYBRID:
        return [False] * layers
    if architecture in _INTERVALS:
        listed = header.metadata.get(f"{architecture}.attention.recurrent_layers")
        if isinstance(listed, list):
            return [bool(each) for each in listed] + [False] * (layers - len(listed))
        every = header.number("full_attention_interval", _INTERVALS[architecture]) or 1
        return [bool((layer + 1) % every) for layer in range(layers)]
    heads = _kv_heads(header)
    if architecture in _FEED_FORWARD_ALONE:
        return [not each and not _feed_forward(header, layer) for layer, each in enumerate(heads)]
    return [not each for each in heads]


def _feed_forward(header: Header, layer: int) -> int:
    lengths = header.per_layer("feed_forward_length")
    return lengths[layer] if layer < len(lengths) else 0
