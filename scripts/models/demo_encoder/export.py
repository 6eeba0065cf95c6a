"""Export of the demo encoders as GGUF: the same bytes for the same parameters."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import gguf
from tokenizers import Tokenizer

from scripts.models import gguf_file
from scripts.models.demo_encoder import tokens
from scripts.models.demo_encoder.network import Parameters, Shape

_DESCRIPTION: Final = (
    "A tiny encoder that lambda-llm trains from scratch on its own text, for tests and demonstrations only."
)
_NOT_QUANTIZED: Final = ("position_embd.weight", "token_types.weight")
"""Matrices that llama.cpp's own converter leaves as F32."""


def write(
    path: Path,
    parameters: Parameters,
    shape: Shape,
    tokenizer: Tokenizer,
    kind: gguf.GGMLQuantizationType,
    *,
    name: str,
    pooling: gguf.PoolingType,
    labels: Sequence[str] = (),
) -> None:
    """Write one GGUF file.

    Args:
        path: the file to write.
        parameters: trained tensors by their GGUF names.
        shape: sizes of the network.
        tokenizer: as trained by `tokens.train_tokenizer`.
        kind: type of the matrices; see `gguf_file.write_tensors`.
        name: of the model.
        pooling: how the states of a text's tokens become one output.
        labels: of a classifier's classes.
    """
    writer = gguf.GGUFWriter(path, "bert")
    gguf_file.describe(writer, shape, kind, name=name, description=_DESCRIPTION)
    writer.add_layer_norm_eps(shape.epsilon)
    writer.add_causal_attention(value=False)
    writer.add_pooling_type(pooling)
    if labels:
        writer.add_classifier_output_labels(list(labels))
    _vocabulary(writer, tokenizer)
    gguf_file.write_tensors(writer, parameters, kind, not_quantized=_NOT_QUANTIZED)


def _vocabulary(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    texts = tokens.gguf_tokens(tokenizer)
    writer.add_tokenizer_model("bert")
    writer.add_token_type_count(2)
    writer.add_token_list(texts)
    writer.add_token_types(
        [gguf.TokenType.CONTROL if text in tokens.SPECIAL else gguf.TokenType.NORMAL for text in texts]
    )
    for add_id, text in (
        (writer.add_bos_token_id, tokens.CLS),
        (writer.add_sep_token_id, tokens.SEP),
        (writer.add_unk_token_id, tokens.UNKNOWN),
        (writer.add_pad_token_id, tokens.PAD),
        (writer.add_mask_token_id, tokens.MASK),
    ):
        add_id(texts.index(text))
