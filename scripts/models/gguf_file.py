"""Common parts of the trained models' GGUF files: general metadata, sizes, tensors."""

from collections.abc import Collection, Mapping
from typing import Any

import gguf

from scripts.models.demo_encoder import network as demo_encoder
from scripts.models.demo_model import network as demo_model


def describe(
    writer: gguf.GGUFWriter,
    shape: demo_encoder.Shape | demo_model.Shape,
    kind: gguf.GGMLQuantizationType,
    *,
    name: str,
    description: str,
    size_label: str | None = None,
) -> None:
    """Add a trained model's general metadata and its sizes.

    Args:
        writer: of the file.
        shape: sizes of the network.
        kind: type of the matrices.
        name: of the model.
        description: one sentence.
        size_label: number of parameters, such as 3.5M.
    """
    writer.add_type("model")
    writer.add_name(name)
    writer.add_author("lambda-llm")
    writer.add_description(description)
    writer.add_license("Apache-2.0")
    if size_label:
        writer.add_size_label(size_label)
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


def write_tensors(
    writer: gguf.GGUFWriter,
    parameters: Mapping[str, Any],
    kind: gguf.GGMLQuantizationType,
    *,
    not_quantized: Collection[str] = (),
) -> None:
    """Add the tensors, write the file and close it.

    Args:
        writer: with all metadata.
        parameters: `torch` tensors by their GGUF names.
        kind: type of the matrices; vectors stay F32, as llama.cpp requires.
        not_quantized: names of matrices that stay F32.
    """
    for name, tensor in parameters.items():
        values = tensor.detach().numpy()
        if values.ndim == 1 or name in not_quantized:
            writer.add_tensor(name, values)
        else:
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
