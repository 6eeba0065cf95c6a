"""Whether the packaged llama.cpp can run a model, as far as its header tells: before the weights are downloaded.

llama.cpp asserts much of this, and a failed assertion ends the process. Sources: `load_hparams` in llama-model.cpp,
`llama_vocab::impl::load` in llama-vocab.cpp, the operations in ggml-cpu/ops.cpp and ggml-cpu/binary-ops.cpp.
"""

import math
import re
from collections.abc import Iterator
from typing import Final

from lambda_llm.gguf.errors import UnsupportedModelError
from lambda_llm.gguf.header import POOLING_UNSPECIFIED, TYPE_NAMES, Header, decoded, numbers, strings
from lambda_llm.gguf.known import (
    ARCHITECTURES,
    EQUAL_HEADS,
    HYBRID,
    KEY_TYPES,
    MAX_EXPERTS,
    MAX_LAYERS,
    PRE_TOKENIZERS,
    RECURRENT,
    ROPE_SCALINGS,
    ROTATED_IN_SECTIONS,
    TOKENIZERS,
    WHOLLY_ROTATED,
)

TOKENS: Final = "tokenizer.ggml.tokens"

_OTHER_FILES: Final = {
    "adapter": "a LoRA adapter, not a model: merge it into its model with llama.cpp's llama-export-lora, and use the "
    "result",
    "mmproj": "the image or audio part of a model: use the file with its text part",
    "imatrix": "an importance matrix for quantizing, not a model: use the quantized model",
}
"""Values of `general.type` other than a model's."""

_NO_TOKENIZER: Final = frozenset({"none", "no_vocab"})
_WITH_MERGES: Final = frozenset({"gpt2", "hybriddna", "whitespace", "gemma4"})
_WITH_PRE_TOKENIZER: Final = frozenset({"gpt2", "hybriddna", "whitespace"})
_WITH_BYTES: Final = frozenset({"llama", "t5", *_WITH_MERGES})
"""Tokenizers whose tokens of type byte are spelled as bytes."""

_BYTE_TOKEN: Final = 6
_BYTE: Final = re.compile(rb"<0x[0-9A-Fa-f]{2}>")

_RWKV_BYTE: Final = re.compile(rb"\\x(?P<hex>[0-9a-fA-F]{2})|\\.|[^\\]", re.DOTALL)
_RWKV_ESCAPES: Final = {rb"\t": 9, rb"\n": 10, rb"\r": 13}
"""How the RWKV tokenizer spells bytes."""

_POOLINGS: Final = 5
_INTEGERS: Final = frozenset({4, 5, 7})
"""Types of elements that llama.cpp reads as an array of integers."""

_NO_WEIGHTS: Final = frozenset({"I8", "I16", "I32", "I64", "F64", "Q8_1", "Q8_K"})
"""Types that ggml can't multiply with."""
_WITHOUT_HEADS_AT_FIRST: Final = frozenset({"deci", "clip", "wavtokenizer-dec"})
"""Architectures whose first layer may lack attention, besides recurrent and hybrid ones."""

_WINDOW_MAX: Final = 2**24
"""Tokens; llama.cpp allocates memory in proportion, and no model has more than 2**18."""

_BIASED_CONVOLUTIONS: Final = frozenset({"falcon-h1", "granitehybrid", "nemotron_h", "nemotron_h_moe"})
"""Architectures for which llama.cpp uses the bias of `ssm_conv1d` without asking whether there is one."""

_ALWAYS_F32: Final = (
    *("norm.weight", ".bias", "token_types.weight"),
    *("ssm_conv1d.weight", "shortconv.conv.weight", "time_mix_first.weight"),
)
"""Ends of names of tensors that converters leave as F32, like all vectors: llama.cpp adds or multiplies with them."""
_TABLE: Final = "tid2eid"
"""In the name of DeepSeek 4's tensor of integers, from tokens to experts."""


def check_runnable(header: Header, head: bytes | bytearray | memoryview) -> None:
    """Check what llama.cpp asserts of a header, and what it would only tell after the download.

    Args:
        header: a parsed one.
        head: the bytes that it was parsed from.

    Raises:
        UnsupportedModelError: it can't run; the text says why, and what to do.
    """
    _check_kind(header)
    for problem in (each for check in _CHECKS for each in check(header)):
        raise _refused(problem)
    for problem in _wrong_vocabulary(header, head):
        raise _refused(problem)


def _refused(problem: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"llama.cpp can't run the model: {problem}; convert it again with a current llama.cpp, or use another file."
    )


def _check_kind(header: Header) -> None:
    """Check that the file is a whole model, of an architecture that llama.cpp knows."""
    kind = header.text("general.type") if header.architecture != "clip" else "mmproj"
    if kind in _OTHER_FILES:
        raise UnsupportedModelError(f"The file is {_OTHER_FILES[kind]}.")
    parts = header.metadata.get("split.count", 1)
    if isinstance(parts, int) and parts > 1:
        raise UnsupportedModelError(
            f"The file is one of {parts} parts of a split model: merge them with llama.cpp's llama-gguf-split --merge, "
            "and use the result."
        )
    if header.architecture not in ARCHITECTURES:
        raise UnsupportedModelError(
            f"The packaged llama.cpp does not know the architecture {header.architecture!r}: use a model that it "
            "supports, or a newer lambda-llm if llama.cpp supports it by now."
        )


def _wrong_types(header: Header) -> Iterator[str]:
    """Keys whose values have other types than llama.cpp reads."""
    prefix = f"{header.architecture}"
    for key, found in header.types.items():
        expected = KEY_TYPES.get(key.removeprefix(prefix) if key.startswith(f"{prefix}.") else key)
        if expected is None:
            continue
        kind, single, several = expected
        name = TYPE_NAMES.get(found, "")
        array = header.arrays.get(key)
        if array is None:
            if not single or name != kind:
                yield f"its key {key} is {name}, not {kind if single else f'an array of {kind}'}"
        elif not several:
            yield f"its key {key} is an array, not {kind}"
        elif TYPE_NAMES.get(array.type) != kind and not (kind in {"u32", "i32"} and array.type in _INTEGERS):
            yield f"its key {key} is an array of {TYPE_NAMES.get(array.type)}, not of {kind}"
        elif single and array.length != header.layers and not key.endswith("rope.dimension_sections"):
            yield f"its key {key} has {array.length:,} numbers for {header.layers:,} layers"


def _wrong_sizes(header: Header) -> Iterator[str]:
    """Numbers of layers, heads, experts and dimensions that llama.cpp asserts."""
    for key in ("context_length", "embedding_length", "block_count"):
        if f"{header.architecture}.{key}" not in header.metadata:
            yield f"its header has no {header.architecture}.{key}"
    if not 1 <= header.layers <= MAX_LAYERS:
        yield f"it has {header.layers:,} layers, and llama.cpp takes 1 to {MAX_LAYERS}"
    if header.number("embedding_length") < 1:
        yield "its embeddings have no dimensions"
    width = header.number("embedding_length_out")
    if width and width != header.number("embedding_length") and all(width not in each.shape for each in header.tensors):
        yield f"no weights make the {width:,} dimensions of its embeddings"
    if header.number("nextn_predict_layers") >= max(header.layers, 1):
        yield f"it has {header.layers:,} layers, all of which predict further tokens"


def _wrong_attention(header: Header) -> Iterator[str]:
    """Numbers of heads and their dimensions, and the sliding window."""
    heads = header.per_layer("attention.head_count")
    shared = f"{header.architecture}.attention.head_count_kv" in header.metadata
    for count, kv_count in zip(heads, header.per_layer("attention.head_count_kv") if shared else heads, strict=False):
        if kv_count and count % kv_count:
            yield f"{count:,} attention heads can't share {kv_count:,} KV heads evenly"
    if heads and heads[0]:
        yield from _wrong_heads(header, header.number("embedding_length") // heads[0])
    elif header.architecture not in RECURRENT | HYBRID | _WITHOUT_HEADS_AT_FIRST:
        yield "its first layer has no attention heads"
    if header.number("attention.sliding_window") > _WINDOW_MAX:
        yield f"its sliding window has {header.number('attention.sliding_window'):,} tokens"


def _wrong_heads(header: Header, default: int) -> Iterator[str]:
    """Lengths of keys, values and rotary dimensions; `default` is what the width of the model gives."""
    key_length = header.number("attention.key_length", default)
    value_length = header.number("attention.value_length", default)
    rotated = header.number("rope.dimension_count", key_length)
    if header.architecture in EQUAL_HEADS and key_length != value_length:
        yield f"its keys have {key_length:,} dimensions and its values {value_length:,}"
    if header.architecture in WHOLLY_ROTATED and rotated != value_length:
        yield f"{rotated:,} of its {value_length:,} dimensions are rotated, and this architecture rotates all"
    sections = header.metadata.get(f"{header.architecture}.rope.dimension_sections", [])
    if header.architecture in ROTATED_IN_SECTIONS and not (isinstance(sections, list) and any(sections[:3])):
        yield "its rotary dimensions have no sections"
    window_key_length = header.number("attention.key_length_swa", key_length)
    for count, most in (
        (rotated, max(key_length, header.number("attention.key_length_mla"))),
        (header.number("rope.dimension_count_swa", 0), window_key_length),
    ):
        if count % 2 or count > most:
            yield f"it has {count:,} rotary dimensions, and needs an even number up to the {most:,} of its keys"


def _wrong_experts(header: Header) -> Iterator[str]:
    experts, used = header.number("expert_count"), max(header.per_layer("expert_used_count"), default=0)
    groups, used_groups = header.number("expert_group_count"), header.number("expert_group_used_count")
    if experts > MAX_EXPERTS:
        yield f"it has {experts:,} experts, and llama.cpp takes {MAX_EXPERTS:,}"
    if used > experts or (experts and not used):
        yield f"{used:,} of {experts:,} experts are used"
    if groups and (groups >= experts or (groups > 1 and (experts % groups or not 0 < used_groups < groups))):
        yield f"{experts:,} experts are in {groups:,} groups, of which {used_groups:,} are used"


def _wrong_numbers(header: Header) -> Iterator[str]:
    """Values that llama.cpp asserts, or that make NaN of everything."""
    for key, value in header.metadata.items():
        if key.startswith((f"{header.architecture}.", "xielu.")):
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, float) and not _is_sane(key, each):
                    yield f"its key {key} is {each:g}"
    scaling = header.text(f"{header.architecture}.rope.scaling.type")
    if scaling and scaling not in ROPE_SCALINGS:
        yield f"its rope scaling is {scaling[:40]!r}, and llama.cpp knows {', '.join(sorted(ROPE_SCALINGS))}"
    for key in ("pooling_type", "classifier.pooling_type"):
        pooling = header.number(key)
        if pooling >= _POOLINGS and pooling != POOLING_UNSPECIFIED:
            yield f"its pooling is {pooling:,}, and llama.cpp knows 0 to {_POOLINGS - 1}"


def _is_sane(key: str, number: float) -> bool:
    """Whether a number is none that no model has: NaN, a negative epsilon, a base of 0."""
    if math.isnan(number):
        return False
    if "rope.freq_base" in key:
        return 0 < number < math.inf
    return not key.endswith(("epsilon", "scaling.factor", "scale_linear")) or 0 <= number < math.inf


def _wrong_tensors(header: Header) -> Iterator[str]:
    """Tensors of types that llama.cpp can't compute with."""
    for tensor in header.tensors:
        needs_f32 = len(tensor.shape) == 1 or tensor.name.endswith(_ALWAYS_F32) or not tensor.name.endswith(".weight")
        if needs_f32 and tensor.type != "F32":
            yield f"its tensor {tensor.name!r} has type {tensor.type}, not F32"
        elif tensor.type in _NO_WEIGHTS and _TABLE not in tensor.name:
            yield f"its weights {tensor.name!r} have type {tensor.type}, with which llama.cpp can't compute"
    if header.architecture in _BIASED_CONVOLUTIONS:
        names = {tensor.name for tensor in header.tensors}
        for name in names:
            bias = f"{name.removesuffix('.weight')}.bias"
            if name.endswith("ssm_conv1d.weight") and bias not in names:
                yield f"it has no tensor {bias!r}"


def _wrong_vocabulary(header: Header, head: bytes | bytearray | memoryview) -> Iterator[str]:
    tokenizer = header.text("tokenizer.ggml.model")
    if not tokenizer or tokenizer in _NO_TOKENIZER:
        yield "it has no tokenizer"
    if tokenizer not in TOKENIZERS:
        yield f"its tokenizer {tokenizer[:40]!r} is unknown"
    pre = header.text("tokenizer.ggml.pre")
    if pre and tokenizer in _WITH_PRE_TOKENIZER and pre not in PRE_TOKENIZERS:
        yield f"its pre-tokenizer {pre[:40]!r} is unknown"
    tokens = header.arrays.get(TOKENS)
    if tokens is None or TYPE_NAMES.get(tokens.type) != "str" or not tokens.length:
        yield "it has no list of tokens"
        return
    for key, types in (("scores", {"f32", "i32"}), ("token_type", {"i32"})):
        name = f"tokenizer.ggml.{key}"
        array = header.arrays.get(name)
        if array is None and name not in header.types:
            continue
        if array is None or TYPE_NAMES.get(array.type) not in types:
            yield f"{name} is no array of {' or '.join(sorted(types))}"
        elif array.length < tokens.length:
            yield f"{name} has {array.length:,} elements for {tokens.length:,} tokens"
    merges = header.arrays.get("tokenizer.ggml.merges")
    if tokenizer in _WITH_MERGES and pre != "kimi-k2" and (merges is None or TYPE_NAMES.get(merges.type) != "str"):
        yield "it has no list of merges"
    yield from _wrong_tokens(header, head)


def _wrong_tokens(header: Header, head: bytes | bytearray | memoryview) -> Iterator[str]:
    """Tokens that are there twice, byte tokens that are none, and a vocabulary that llama.cpp would search for ever."""
    types = header.arrays.get("tokenizer.ggml.token_type")
    kinds = numbers(head, types) if types else ()
    known: set[bytes] = set()
    is_rwkv = header.text("tokenizer.ggml.model") == "rwkv"
    needs_spelling = header.text("tokenizer.ggml.model") in _WITH_BYTES
    first_bytes: set[int] = set()
    single_bytes: set[int] = set()
    for index, text in enumerate(strings(head, header.arrays[TOKENS])):
        # As llama.cpp reads it: up to the first NUL, and a name of its own for an empty one.
        token = text.partition(b"\0")[0] or b"[EMPTY_%d]" % index
        if token in known:
            yield f"its vocabulary has the token {decoded(token)[:40]!r} twice"
        known.add(token)
        if needs_spelling and kinds and kinds[index] == _BYTE_TOKEN and not _BYTE.fullmatch(token):
            yield f"its token {decoded(token)[:40]!r} is marked as a byte, which is spelled like <0x0A>"
        if is_rwkv and (found := _RWKV_BYTE.match(token)):
            byte = int(found["hex"], 16) if found["hex"] else _RWKV_ESCAPES.get(found[0], found[0][-1])
            first_bytes.add(byte)
            if found.end() == len(token):
                single_bytes.add(byte)
    if first_bytes - single_bytes:
        yield f"its vocabulary has no token for the byte {min(first_bytes - single_bytes)} alone"


_CHECKS: Final = (_wrong_types, _wrong_sizes, _wrong_experts, _wrong_attention, _wrong_numbers, _wrong_tensors)
