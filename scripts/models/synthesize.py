"""Write GGUF models of real shapes with random weights, a real tokenizer and a real chat template.

They load, tokenize and take the time and memory of the real models, but generate noise. They make it possible to
test speed, memory and large files where no real weights are available.
"""

import dataclasses
import hashlib
import json
import logging
import math
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import gguf
import numpy as np
import numpy.typing as npt
import typer
from gguf import GGMLQuantizationType as Kind
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from scripts import ROOT

DEFAULT_SOURCE: Final = ROOT / ".build" / "llama-cpp-python"
DEFAULT_FOLDER: Final = ROOT / ".build" / "models"

Bytes = npt.NDArray[np.uint8]

_DEVIATION: Final = 0.02
"""Standard deviation of random weights: about that of initialized models, so logits stay small."""

_CONTROL: Final = gguf.TokenType.CONTROL
_USER: Final = gguf.TokenType.USER_DEFINED

_SCALES: Final[dict[Kind, tuple[tuple[int, float], ...]]] = {
    Kind.Q4_0: ((0, 1),),
    Kind.Q4_1: ((0, 1), (2, -7.5)),
    Kind.Q5_0: ((0, 1),),
    Kind.Q5_1: ((0, 1), (2, -15.5)),
    Kind.Q8_0: ((0, 1),),
    Kind.Q2_K: ((80, 1), (82, 1.5)),
    Kind.Q3_K: ((108, 1),),
    Kind.Q4_K: ((0, 1), (2, 7.5)),
    Kind.Q5_K: ((0, 1), (2, 15.5)),
    Kind.Q6_K: ((208, 1),),
    Kind.IQ2_S: ((0, 1),),
    Kind.IQ2_XS: ((0, 1),),
    Kind.IQ3_S: ((0, 1),),
    Kind.IQ3_XXS: ((0, 1),),
    Kind.IQ4_NL: ((0, 1),),
    Kind.IQ4_XS: ((0, 1),),
    Kind.TQ1_0: ((52, 1),),
    Kind.TQ2_0: ((64, 1),),
}
"""Byte offsets of the half-precision scales in a block, and their ratios to the first one.

All other bytes of a block may have any value. The ratios of offsets make the mean of the weights zero.
"""


@dataclasses.dataclass(frozen=True)
class Tokenizer:
    """A real vocabulary and a model family's changes to it."""

    vocabulary: str
    """File below vendor/llama.cpp/models of the source package."""
    template: str
    """File below vendor/llama.cpp/models/templates."""
    bos: int
    eos: int
    renamed: dict[int, tuple[str, gguf.TokenType]]
    """Tokens whose text or type in this family differs from the vocabulary file."""
    pre: str
    size: int
    """Rows of the embedding."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """Sizes of a model, from its publisher's configuration."""

    name: str
    architecture: str
    tokenizer: Tokenizer
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    feed_forward: int
    tied: bool
    """Whether the output matrix is the embedding, and thus not in the file."""
    rope_base: float
    rope_factor: float | None = None
    """Llama 3.1's scaling of long wavelengths, stored as the tensor `rope_freqs`."""
    biased: bool = False
    """Whether query, key and value have biases."""
    epsilon: float = 1e-5
    context: int = 131_072


_LLAMA_3_2 = Tokenizer(
    vocabulary="ggml-vocab-llama-bpe.gguf",
    template="meta-llama-Llama-3.2-3B-Instruct.jinja",
    bos=128_000,
    eos=128_009,
    renamed={
        128_004: ("<|finetune_right_pad_id|>", _CONTROL),
        128_008: ("<|eom_id|>", _CONTROL),
        128_010: ("<|python_tag|>", _CONTROL),
    },
    pre="llama-bpe",
    size=128_256,
)
_R1_LLAMA = Tokenizer(
    vocabulary="ggml-vocab-llama-bpe.gguf",
    template="deepseek-ai-DeepSeek-R1-Distill-Llama-8B.jinja",
    bos=128_000,
    eos=128_001,
    renamed={
        128_000: ("<\uff5cbegin\u2581of\u2581sentence\uff5c>", _CONTROL),
        128_001: ("<\uff5cend\u2581of\u2581sentence\uff5c>", _CONTROL),
        128_011: ("<\uff5cUser\uff5c>", _USER),
        128_012: ("<\uff5cAssistant\uff5c>", _USER),
        128_013: ("<think>", _USER),
        128_014: ("</think>", _USER),
        128_015: ("<\uff5c\u2581pad\u2581\uff5c>", _CONTROL),
    },
    pre="llama-bpe",
    size=128_256,
)
_R1_QWEN = Tokenizer(
    vocabulary="ggml-vocab-qwen2.gguf",
    template="deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja",
    bos=151_646,
    eos=151_643,
    renamed={
        151_643: ("<\uff5cend\u2581of\u2581sentence\uff5c>", _CONTROL),
        151_644: ("<\uff5cUser\uff5c>", _USER),
        151_645: ("<\uff5cAssistant\uff5c>", _USER),
        151_646: ("<\uff5cbegin\u2581of\u2581sentence\uff5c>", _CONTROL),
        151_647: ("<|EOT|>", _USER),
        151_648: ("<think>", _USER),
        151_649: ("</think>", _USER),
    },
    pre="deepseek-r1-qwen",
    size=151_936,
)

SHAPES: Final = {
    "tiny": Shape(
        name="Tiny Llama shape",
        architecture="llama",
        tokenizer=_LLAMA_3_2,
        layers=2,
        width=256,
        heads=4,
        kv_heads=2,
        head_width=64,
        feed_forward=512,
        tied=True,
        rope_base=500_000,
        rope_factor=32,
        context=8192,
    ),
    "llama-3.2-1b": Shape(
        name="Llama 3.2 1B Instruct shape",
        architecture="llama",
        tokenizer=_LLAMA_3_2,
        layers=16,
        width=2048,
        heads=32,
        kv_heads=8,
        head_width=64,
        feed_forward=8192,
        tied=True,
        rope_base=500_000,
        rope_factor=32,
    ),
    "llama-3.2-3b": Shape(
        name="Llama 3.2 3B Instruct shape",
        architecture="llama",
        tokenizer=_LLAMA_3_2,
        layers=28,
        width=3072,
        heads=24,
        kv_heads=8,
        head_width=128,
        feed_forward=8192,
        tied=True,
        rope_base=500_000,
        rope_factor=32,
    ),
    "deepseek-r1-distill-qwen-1.5b": Shape(
        name="DeepSeek R1 Distill Qwen 1.5B shape",
        architecture="qwen2",
        tokenizer=_R1_QWEN,
        layers=28,
        width=1536,
        heads=12,
        kv_heads=2,
        head_width=128,
        feed_forward=8960,
        tied=False,
        rope_base=10_000,
        biased=True,
        epsilon=1e-6,
    ),
    "deepseek-r1-distill-llama-8b": Shape(
        name="DeepSeek R1 Distill Llama 8B shape",
        architecture="llama",
        tokenizer=_R1_LLAMA,
        layers=32,
        width=4096,
        heads=32,
        kv_heads=8,
        head_width=128,
        feed_forward=14_336,
        tied=False,
        rope_base=500_000,
        rope_factor=8,
    ),
}
"""Shapes by their name for `--shape`."""


def file_type(quantization: str) -> gguf.LlamaFileType:
    """Return llama.cpp's number for a name such as Q4_K_M; raises `ValueError` if unknown."""
    known = {re.sub("^(ALL|MOSTLY)_", "", kind.name): kind for kind in gguf.LlamaFileType}
    if quantization.upper() not in known:
        raise ValueError(f"Unknown quantization {quantization}; llama.cpp knows {', '.join(known)}")
    return known[quantization.upper()]


def tensor_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor of a model, matrices as (outputs, inputs)."""
    query, key = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
    shapes: dict[str, tuple[int, ...]] = {}
    if shape.rope_factor:
        shapes["rope_freqs.weight"] = (shape.head_width // 2,)
    shapes["token_embd.weight"] = (shape.tokenizer.size, shape.width)
    for layer in range(shape.layers):
        block = f"blk.{layer}"
        shapes |= {
            f"{block}.attn_norm.weight": (shape.width,),
            f"{block}.attn_q.weight": (query, shape.width),
            f"{block}.attn_k.weight": (key, shape.width),
            f"{block}.attn_v.weight": (key, shape.width),
            f"{block}.attn_output.weight": (shape.width, query),
            f"{block}.ffn_norm.weight": (shape.width,),
            f"{block}.ffn_gate.weight": (shape.feed_forward, shape.width),
            f"{block}.ffn_up.weight": (shape.feed_forward, shape.width),
            f"{block}.ffn_down.weight": (shape.width, shape.feed_forward),
        }
        if shape.biased:
            sizes = {"q": query, "k": key, "v": key}
            shapes |= {f"{block}.attn_{name}.bias": (size,) for name, size in sizes.items()}
    shapes["output_norm.weight"] = (shape.width,)
    if not shape.tied:
        shapes["output.weight"] = (shape.tokenizer.size, shape.width)
    return shapes


def tensor_types(shape: Shape, quantization: str) -> dict[str, Kind]:
    """Return the type of each tensor, in llama.cpp's own mix for this quantization.

    Its quantizer decides by a tensor's name, the number of layers and the ratio of heads, so it quantizes a very
    narrow model that has the same.

    Raises:
        ValueError: llama.cpp can't, for example because it needs an importance matrix.
    """
    import llama_cpp  # noqa: PLC0415 - only needed here

    slim = dataclasses.replace(
        shape,
        tokenizer=dataclasses.replace(shape.tokenizer, size=256),
        width=256,
        heads=shape.heads // shape.kv_heads,
        kv_heads=1,
        head_width=256,
        feed_forward=256,
    )
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "slim.gguf"), Path(folder, "mixed.gguf")
        writer = gguf.GGUFWriter(source, shape.architecture)
        _add_sizes(writer, slim)
        for name, dimensions in tensor_shapes(slim).items():
            writer.add_tensor(name, np.zeros(dimensions, np.float32))
        _finish(writer, writer.write_tensors_to_file)
        # It logs every tensor otherwise.
        logging.getLogger("llama-cpp-python").setLevel(logging.ERROR)
        parameters = llama_cpp.llama_model_quantize_default_params()
        parameters.ftype = file_type(quantization).value
        if llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), parameters):
            raise ValueError(f"llama.cpp can't quantize to {quantization}; some types need an importance matrix")
        return {tensor.name: tensor.tensor_type for tensor in gguf.GGUFReader(target).tensors}


def random_tensor(kind: Kind, dimensions: tuple[int, ...], generator: np.random.Generator) -> Bytes:
    """Return a random tensor of mean 0 and a small deviation in its stored form, as flat bytes.

    Args:
        kind: type of the tensor.
        dimensions: its shape; the last must be a multiple of the type's block.
        generator: source of randomness.

    Raises:
        ValueError: the layout of the type's blocks is not in `_SCALES`.
    """
    count = math.prod(dimensions)
    if kind in (Kind.F32, Kind.F16, Kind.BF16):
        # Uniform numbers are several times faster to draw than normal ones and do as well.
        values = (generator.random(count, np.float32) - 0.5) * np.float32(_DEVIATION * 12**0.5)
        return gguf.quants.quantize(values.reshape(dimensions), kind).view(np.uint8).reshape(-1)
    if kind not in _SCALES:
        raise ValueError(f"Random blocks of {kind.name} are not supported: choose another quantization")
    block, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = count // block
    words = -(-blocks * size // 8)
    data = generator.integers(0, 2**64, words, np.uint64).view(np.uint8)[: blocks * size].reshape(blocks, size)
    _scale(kind, data, 1.0)
    spread = float(gguf.quants.dequantize(data[:256], kind).std())
    _scale(kind, data, _DEVIATION / spread)
    return data.reshape(-1)


def _scale(kind: Kind, blocks: Bytes, scale: float) -> None:
    for offset, ratio in _SCALES[kind]:
        blocks[:, offset : offset + 2] = np.array([scale * ratio], np.float16).view(np.uint8)


def rope_factors(shape: Shape) -> npt.NDArray[np.float32]:
    """Return Llama 3.1's divisors of RoPE's frequencies, (head width / 2,).

    Short wavelengths are kept, those beyond the original context scaled, and those between interpolated.
    """
    trained_context, low, high = 8192, 1, 4
    factor = shape.rope_factor or 1.0
    frequencies = shape.rope_base ** -(np.arange(0, shape.head_width, 2) / shape.head_width)
    periods_in_context = trained_context * frequencies / (2 * np.pi)
    kept = np.clip((periods_in_context - low) / (high - low), 0, 1)
    return (1 / ((1 - kept) / factor + kept)).astype(np.float32)


def synthesize(
    shape: Shape,
    quantization: str,
    output: Path,
    *,
    source: Path = DEFAULT_SOURCE,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> None:
    """Write a model; the same bytes for the same arguments, gguf, NumPy and llama.cpp.

    Args:
        shape: sizes and tokenizer.
        quantization: llama.cpp's name of the mix, such as Q4_0 or Q4_K_M.
        output: the file to write.
        source: unpacked source package of llama-cpp-python.
        seed: seed of the weights.
        progress: called with bytes done and bytes in total.
    """
    kinds = tensor_types(shape, quantization)
    shapes = tensor_shapes(shape)
    sizes = {name: _bytes(kinds[name], dimensions) for name, dimensions in shapes.items()}
    writer = gguf.GGUFWriter(output, shape.architecture)
    writer.add_type("model")
    writer.add_name(f"Synthetic {shape.name}")
    writer.add_description("Random weights in a real shape: good for measuring, says nothing but noise.")
    writer.add_file_type(file_type(quantization))
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _add_sizes(writer, shape)
    _add_tokenizer(writer, shape.tokenizer, source / "vendor" / "llama.cpp" / "models")
    for name, dimensions in shapes.items():
        writer.add_tensor_info(name, dimensions, np.dtype(np.float32), sizes[name], kinds[name])

    def write_tensors() -> None:
        writer.write_ti_data_to_file()
        done = 0
        for index, (name, dimensions) in enumerate(shapes.items()):
            # A generator per tensor: the first layers are the same whatever follows.
            generator = np.random.Generator(np.random.SFC64([seed, index]))
            writer.write_tensor_data(_tensor(name, dimensions, kinds[name], shape, generator))
            done += sizes[name]
            progress(done, sum(sizes.values()))

    _finish(writer, write_tensors)


def _tensor(name: str, dimensions: tuple[int, ...], kind: Kind, shape: Shape, generator: np.random.Generator) -> Bytes:
    if name == "rope_freqs.weight":
        return rope_factors(shape).view(np.uint8)
    if name.endswith("norm.weight"):
        return np.ones(dimensions, np.float32).view(np.uint8)
    return random_tensor(kind, dimensions, generator)


def _bytes(kind: Kind, dimensions: tuple[int, ...]) -> int:
    block, size = gguf.GGML_QUANT_SIZES[kind]
    return math.prod(dimensions) // block * size


def _finish(writer: Any, write_tensors: Callable[[], None]) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    write_tensors()
    writer.close()


def _add_sizes(writer: Any, shape: Shape) -> None:
    writer.add_vocab_size(shape.tokenizer.size)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_width)
    writer.add_value_length(shape.head_width)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.epsilon)


def _add_tokenizer(writer: Any, tokenizer: Tokenizer, folder: Path) -> None:
    fields = gguf.GGUFReader(folder / tokenizer.vocabulary).fields
    texts: list[str] = fields["tokenizer.ggml.tokens"].contents()
    types: list[int] = fields["tokenizer.ggml.token_type"].contents()
    for index, (text, kind) in tokenizer.renamed.items():
        texts[index], types[index] = text, kind
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(tokenizer.pre)
    writer.add_token_list(texts)
    writer.add_token_types(types)
    writer.add_token_merges(fields["tokenizer.ggml.merges"].contents())
    writer.add_bos_token_id(tokenizer.bos)
    writer.add_eos_token_id(tokenizer.eos)
    writer.add_add_bos_token(value=True)
    writer.add_chat_template((folder / "templates" / tokenizer.template).read_text(encoding="utf-8"))


_HELP: Final = """Write a GGUF model with random weights in a real model's shape.

[bold]What it is for.[/bold] Measuring speed, memory and loading where no real weights are available: file size, tensor
types, tokenizer and chat template are the real model's, so times are too. It generates noise.

[bold]What it needs.[/bold] pip install gguf numpy typer rich, llama-cpp-python (its quantizer decides which tensor gets
which type), and the unpacked source package of llama-cpp-python, which contains the vocabularies and templates.

[dim]Examples[/dim]
  python -m scripts.models.synthesize --list
  python -m scripts.models.synthesize --shape llama-3.2-1b --quantization Q4_0
  python -m scripts.models.synthesize --shape tiny --quantization Q8_0 --output /tmp/tiny.gguf --json
"""


def _list() -> None:
    table = Table("Shape", "Parameters", "Layers", "Width", "Vocabulary", "Context")
    for name, shape in SHAPES.items():
        parameters = sum(map(math.prod, tensor_shapes(shape).values()))
        numbers = (shape.layers, shape.width, shape.tokenizer.size, shape.context)
        table.add_row(name, f"{parameters / 1e9:.2f} B", *(f"{number:,}" for number in numbers))
    Console().print(table)


def main(
    *,
    shape: Annotated[str, typer.Option(help="Which model's shape; see --list.")] = "tiny",
    quantization: Annotated[str, typer.Option(help="Any of llama.cpp's mixes, such as Q4_0, Q4_K_M, F16.")] = "Q4_0",
    output: Annotated[Path | None, typer.Option(help="The file to write; by default in .build/models.")] = None,
    source: Annotated[Path, typer.Option(help="Unpacked source of llama-cpp-python.")] = DEFAULT_SOURCE,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the weights.")] = 0,
    list_shapes: Annotated[bool, typer.Option("--list", help="Only list the shapes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print path and bytes as JSON.")] = False,
    sha256: Annotated[bool, typer.Option("--sha256", help="Print the file's SHA-256 too.")] = False,
) -> None:
    """Write one model; the help text is `_HELP`."""
    if list_shapes:
        _list()
        return
    if shape not in SHAPES:
        raise typer.BadParameter(f"{shape} is none of {', '.join(SHAPES)}", param_hint="--shape")
    target = output or DEFAULT_FOLDER / f"{shape}-{quantization}.gguf"
    target.parent.mkdir(parents=True, exist_ok=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(f"{shape} {quantization}", total=None)
        try:
            synthesize(
                SHAPES[shape],
                quantization,
                target,
                source=source,
                seed=seed,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--quantization") from error
        except FileNotFoundError as error:
            raise typer.BadParameter(f"{error.filename} is missing", param_hint="--source") from error
    result: dict[str, object] = {"path": str(target), "bytes": target.stat().st_size}
    if sha256:
        with target.open("rb") as file:
            result["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
    print(json.dumps(result) if as_json else "\n".join(f"{key}: {value}" for key, value in result.items()))


if __name__ == "__main__":
    app = typer.Typer(rich_markup_mode="rich", add_completion=False)
    app.command(help=_HELP)(main)
    app()
