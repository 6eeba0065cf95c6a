"""The demo encoders as GGUF files, the same bytes for the same parameters."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import gguf
from tokenizers import Tokenizer

from scripts.models.demo_encoder import tokens
from scripts.models.demo_encoder.network import Parameters, Shape

_DESCRIPTION: Final = (
    "A tiny encoder that lambda-llm trains from scratch on its own text, for tests and demonstrations only."
)
_NOT_QUANTIZED: Final = ("position_embd.weight", "token_types.weight")
"""As llama.cpp's own converter leaves them."""


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
    """Writes one GGUF file.

    Args:
        path: Where to.
        parameters: Trained tensors by their GGUF names.
        shape: Sizes of the network.
        tokenizer: As trained by `tokens.train_tokenizer`.
        kind: How matrices are stored; vectors stay F32, as llama.cpp wants them.
        name: Of the model.
        pooling: How the states of a text's tokens become one answer.
        labels: Of the classes, if it is a classifier.
    """
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_type("model")
    writer.add_name(name)
    writer.add_author("lambda-llm")
    writer.add_description(_DESCRIPTION)
    writer.add_license("Apache-2.0")
    writer.add_tags(["test", "demo"])
    writer.add_languages(["en"])
    writer.add_file_type(gguf.LlamaFileType[f"MOSTLY_{kind.name}" if kind.name != "F32" else "ALL_F32"])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_layer_norm_eps(shape.epsilon)
    writer.add_causal_attention(value=False)
    writer.add_pooling_type(pooling)
    if labels:
        writer.add_classifier_output_labels(list(labels))
    _vocabulary(writer, tokenizer)
    for tensor_name, tensor in parameters.items():
        values = tensor.detach().numpy()
        if values.ndim == 1 or tensor_name in _NOT_QUANTIZED:
            writer.add_tensor(tensor_name, values)
        else:
            writer.add_tensor(tensor_name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _vocabulary(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    texts = tokens.gguf_tokens(tokenizer)
    writer.add_tokenizer_model("bert")
    writer.add_token_type_count(2)
    writer.add_token_list(texts)
    writer.add_token_types(
        [gguf.TokenType.CONTROL if text in tokens.SPECIAL else gguf.TokenType.NORMAL for text in texts]
    )
    for tell, text in (
        (writer.add_bos_token_id, tokens.CLS),
        (writer.add_sep_token_id, tokens.SEP),
        (writer.add_unk_token_id, tokens.UNKNOWN),
        (writer.add_pad_token_id, tokens.PAD),
        (writer.add_mask_token_id, tokens.MASK),
    ):
        tell(texts.index(text))
