"""Export of the demo model as GGUF: the same bytes for the same parameters."""

from pathlib import Path
from typing import Any, Final

import gguf
from tokenizers import Tokenizer

from scripts.models import gguf_file
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
    """Write the GGUF file.

    Args:
        path: the file to write.
        parameters: trained tensors by their GGUF names.
        shape: sizes of the network.
        tokenizer: as trained by `tokens.train_tokenizer`.
        kind: type of the matrices; see `gguf_file.write_tensors`.
    """
    writer = gguf.GGUFWriter(path, "llama")
    gguf_file.describe(writer, shape, kind, name="lambda-llm demo", description=_DESCRIPTION, size_label="3.5M")
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_rope_dimension_count(shape.head_width)
    _vocabulary(writer, tokenizer)
    gguf_file.write_tensors(writer, parameters, kind)


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
