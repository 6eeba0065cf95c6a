"""Read back a GGUF file that `export.py` wrote, to go on training it."""

from pathlib import Path

import gguf
import torch
from tokenizers import Tokenizer

from scripts.models.demo_model import tokens
from scripts.models.demo_model.network import Parameters


def read(path: Path) -> tuple[Parameters, Tokenizer]:
    """Returns the weights in F32, ready to be trained, and the tokenizer."""
    reader = gguf.GGUFReader(path)
    parameters = {
        tensor.name: torch.tensor(gguf.dequantize(tensor.data, tensor.tensor_type)).float().requires_grad_()
        for tensor in reader.tensors
    }
    texts: list[str] = reader.fields["tokenizer.ggml.tokens"].contents()
    pairs: list[str] = reader.fields["tokenizer.ggml.merges"].contents()
    words = {text: number for number, text in enumerate(texts) if text not in tokens.CONTROL}
    first, second = zip(*(pair.split(" ") for pair in pairs), strict=True)
    return parameters, tokens.tokenizer(words, list(zip(first, second, strict=True)))
