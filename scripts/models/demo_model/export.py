"""The demo model as a GGUF file, the same bytes for the same parameters."""

from pathlib import Path
from typing import Any, Final

import gguf
from tokenizers import Tokenizer

from scripts.models.demo_model import tokens
from scripts.models.demo_model.network import Parameters, Shape

_DESCRIPTION: Final = (
    "A tiny language model that lambda-llm trains from scratch on its own text, for tests and demonstrations only."
)


def write(
    path: Path,
    parameters: Parameters,
    shape: Shape,
    tokenizer: Tokenizer,
    kind: gguf.GGMLQuantizationType,
) -> None:
    """Writes the GGUF file.

    Args:
        path: Where to.
        parameters: Trained tensors by their GGUF names.
        shape: Sizes of the network.
        tokenizer: As trained by `tokens.train_tokenizer`.
        kind: How matrices are stored; vectors stay F32, as llama.cpp wants them.
    """
    writer = gguf.GGUFWriter(path, "llama")
    _describe(writer, shape, kind)
    _vocabulary(writer, tokenizer)
    for name, tensor in parameters.items():
        values = tensor.detach().numpy()
        if values.ndim == 1:
            writer.add_tensor(name, values)
        else:
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe(writer: Any, shape: Shape, kind: gguf.GGMLQuantizationType) -> None:
    writer.add_type("model")
    writer.add_name("lambda-llm demo")
    writer.add_author("lambda-llm")
    writer.add_description(_DESCRIPTION)
    writer.add_license("Apache-2.0")
    writer.add_size_label("3.5M")
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
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_rope_dimension_count(shape.head_width)


def _vocabulary(writer: Any, tokenizer: Tokenizer) -> None:
    vocabulary = tokenizer.get_vocab()
    texts = sorted(vocabulary, key=vocabulary.__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(tokens.PRE_TOKENIZER)
    writer.add_token_list(texts)
    writer.add_token_types(
        [gguf.TokenType.CONTROL if text in tokens.CONTROL else gguf.TokenType.NORMAL for text in texts]
    )
    writer.add_token_merges(tokens.merges(tokenizer))
    writer.add_bos_token_id(vocabulary[tokens.BOS])
    writer.add_eos_token_id(vocabulary[tokens.EOT])
    writer.add_eot_token_id(vocabulary[tokens.EOT])
    writer.add_pad_token_id(vocabulary[tokens.EOS])
    writer.add_add_bos_token(value=True)
    writer.add_chat_template(tokens.CHAT_TEMPLATE)
