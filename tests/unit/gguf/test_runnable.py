"""What llama.cpp can't run is told by the header, in one sentence, before a weight is read."""

import re
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lambda_llm.gguf.errors import UnsupportedModelError
from lambda_llm.gguf.header import parse_header
from lambda_llm.gguf.runnable import check_runnable
from lambda_llm.loading.load import inspect
from lambda_llm.loading.sources.base import ModelReference
from scripts.build.llama import SOURCE
from scripts.demo import MODEL
from support.architectures import ARCHITECTURES, write_architecture
from support.encoders import ENCODERS
from support.models import array, string
from support.mutations import Model, packed, taken_apart

VOCABULARIES = sorted((SOURCE / "vendor/llama.cpp/models").glob("ggml-vocab-*.gguf"))
MODELS = [MODEL, *sorted(ENCODERS.glob("*.gguf"))]

U16, U32, I32, F32, BOOL, STRING, ARRAY = 2, 4, 5, 6, 7, 8, 9

Refused = Callable[..., str]


def u32(number: int) -> tuple[int, bytes]:
    return U32, struct.pack("<I", number)


def f32(number: float) -> tuple[int, bytes]:
    return F32, struct.pack("<f", number)


def text(content: str | bytes) -> tuple[int, bytes]:
    return STRING, string(content)


def texts(*content: str) -> tuple[int, bytes]:
    return ARRAY, array(STRING, len(content), b"".join(map(string, content)))


def u32s(*numbers: int) -> tuple[int, bytes]:
    return ARRAY, array(U32, len(numbers), struct.pack(f"<{len(numbers)}I", *numbers))


@pytest.fixture(scope="module")
def parts() -> Model:
    return taken_apart(MODEL.read_bytes())


@pytest.fixture
def refused(parts: Model, tmp_path: Path) -> Refused:
    """The sentence about the demo model with other keys; a dot at the beginning stands for the architecture."""

    def refuse(changes: dict[str, tuple[int, bytes] | None]) -> str:
        with pytest.raises(UnsupportedModelError) as caught:
            inspect(ModelReference(str(changed(parts, tmp_path / "m.gguf", changes))))
        sentence = str(caught.value)
        assert sentence.startswith(f"{tmp_path / 'm.gguf'}: ")
        assert sentence.endswith(".")
        assert "\n" not in sentence
        return sentence.partition(": ")[2]

    return refuse


def changed(parts: Model, path: Path, changes: dict[str, tuple[int, bytes] | None]) -> Path:
    full = {f"llama{key}" if key.startswith(".") else key: value for key, value in changes.items()}
    kept = [each for each in parts.pairs if each[0] not in full]
    new = [(key, *value) for key, value in full.items() if value is not None]
    path.write_bytes(Model((*kept, *new), parts.tensors, parts.data).written())
    return path


@pytest.mark.parametrize("path", [*MODELS, *VOCABULARIES], ids=lambda path: path.stem)
def test_what_others_made_is_never_refused(path: Path) -> None:
    head = path.read_bytes()
    check_runnable(parse_header(head, len(head)), head)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"split.count": (U16, struct.pack("<H", 2))}, "one of 2 parts .* llama-gguf-split --merge"),
        ({"general.type": text("adapter")}, "a LoRA adapter, not a model: merge it into its model"),
        ({"general.type": text("mmproj")}, "use the file with its text part"),
        ({"general.architecture": text("clip")}, "use the file with its text part"),
        ({"general.architecture": text("llama9")}, "does not know the architecture 'llama9'"),
        ({"general.architecture": text("x\x1b]0;y\x07")}, r"architecture 'x\\x1b\]0;y\\x07'"),
    ],
)
def test_other_files_than_whole_models_are_told_with_the_remedy(
    refused: Refused, changes: dict[str, tuple[int, bytes] | None], says: str
) -> None:
    assert re.search(says, refused(changes))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({".attention.layer_norm_rms_epsilon": f32(float("nan"))}, "layer_norm_rms_epsilon is nan"),
        ({".attention.layer_norm_rms_epsilon": f32(-1e-5)}, "layer_norm_rms_epsilon is -1e-05"),
        ({".attention.layer_norm_epsilon": f32(float("inf"))}, "layer_norm_epsilon is inf"),
        ({".rope.freq_base": f32(0)}, "rope.freq_base is 0"),
        ({".rope.freq_base": f32(-1)}, "rope.freq_base is -1"),
        ({".rope.scaling.factor": f32(float("nan"))}, "rope.scaling.factor is nan"),
        ({".rope.scaling.type": text("cubic")}, "rope scaling is 'cubic', and llama.cpp knows linear, longrope"),
        ({".rope.dimension_count": u32(63)}, "63 of its 64 dimensions are rotated"),
        ({".logit_scale": f32(float("nan"))}, "logit_scale is nan"),
        ({".block_count": u32(1023)}, "1,023 layers, and llama.cpp takes 1 to 512"),
        ({".block_count": u32(0)}, "0 layers, and llama.cpp takes 1 to 512"),
        ({".block_count": None}, "has no llama.block_count"),
        ({".nextn_predict_layers": u32(4)}, "4 layers, all of which predict further tokens"),
        ({".embedding_length": u32(0)}, "embeddings have no dimensions"),
        ({".embedding_length_out": u32(100)}, "no weights make the 100 dimensions"),
        ({".attention.head_count_kv": u32(3)}, "4 attention heads can't share 3 KV heads"),
        ({".attention.head_count_kv": u32s(2, 2)}, "head_count_kv has 2 numbers for 4 layers"),
        ({".attention.head_count": u32(0)}, "its first layer has no attention heads"),
        ({".attention.sliding_window": u32(2**31 - 1)}, "its sliding window has 2,147,483,647 tokens"),
        ({".rope.dimension_count_swa": u32(5)}, "it has 5 rotary dimensions, and needs an even number up to the 64"),
        ({".attention.key_length": u32(32)}, "keys have 32 dimensions and its values 64"),
        ({".expert_count": u32(8)}, "0 of 8 experts are used"),
        ({".expert_count": u32(8), ".expert_used_count": u32(9)}, "9 of 8 experts are used"),
        ({".expert_used_count": u32(1)}, "1 of 0 experts are used"),
        ({".expert_count": u32(2048), ".expert_used_count": u32(2)}, "2,048 experts, and llama.cpp takes 1,024"),
        ({".expert_group_count": u32(1)}, "0 experts are in 1 groups"),
        ({".pooling_type": u32(5)}, "pooling is 5, and llama.cpp knows 0 to 4"),
        ({".context_length": (STRING, string("2048"))}, "key llama.context_length is str, not u32"),
        ({".block_count": (I32, struct.pack("<i", 4))}, "key llama.block_count is i32, not u32"),
        ({".context_length": u32s(2048)}, "key llama.context_length is an array, not u32"),
        ({".feed_forward_length": texts(*"abcd")}, "feed_forward_length is an array of str, not of u32"),
        (
            {".attention.sliding_window_pattern": u32(2), ".attention.rope_pattern": u32(2)},
            "rope_pattern is u32, not an",
        ),
        ({"tokenizer.ggml.add_bos_token": u32(1)}, "add_bos_token is u32, not bool"),
        ({"tokenizer.ggml.model": text("none")}, "it has no tokenizer"),
        ({"tokenizer.ggml.model": None}, "it has no tokenizer"),
        ({"tokenizer.ggml.model": text("words")}, "tokenizer 'words' is unknown"),
        ({"tokenizer.ggml.pre": text("mine")}, "pre-tokenizer 'mine' is unknown"),
        ({"tokenizer.ggml.merges": None}, "it has no list of merges"),
        ({"tokenizer.ggml.tokens": None}, "it has no list of tokens"),
        ({"tokenizer.ggml.tokens": u32s(1, 2)}, "it has no list of tokens"),
        ({"tokenizer.ggml.token_type": u32s(*[1] * 1536)}, "token_type is no array of i32"),
        (
            {"tokenizer.ggml.token_type": (ARRAY, array(I32, 3, bytes(12)))},
            "token_type has 3 elements for 1,536 tokens",
        ),
        ({"tokenizer.ggml.scores": texts("a")}, "scores is no array of f32 or i32"),
        ({"tokenizer.ggml.scores": (ARRAY, array(F32, 1, bytes(4)))}, "scores has 1 elements for 1,536 tokens"),
        ({"tokenizer.ggml.token_type": (ARRAY, array(I32, 1536, struct.pack("<i", 6) * 1536))}, "is marked as a byte"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_llama_cpp_asserts_is_told(
    refused: Refused, changes: dict[str, tuple[int, bytes] | None], says: str
) -> None:
    sentence = refused(changes)
    assert sentence.startswith("llama.cpp can't run the model: ")
    assert says in sentence
    assert sentence.endswith("; convert it again with a current llama.cpp, or use another file.")


@pytest.mark.parametrize(
    "tokens",
    [("same", "same"), ("a\0b", "a\0c"), ("[EMPTY_1]", "")],
    ids=["equal", "equal for C", "named for an empty one"],
)
def test_a_token_that_is_there_twice_is_told(refused: Refused, tokens: tuple[str, str]) -> None:
    more = [f"token {index}" for index in range(1534)]
    assert "twice" in refused({"tokenizer.ggml.tokens": texts(*tokens, *more)})


def test_a_vocabulary_that_llama_cpp_would_search_for_ever_is_told(refused: Refused) -> None:
    endless = {"tokenizer.ggml.model": text("rwkv"), "tokenizer.ggml.tokens": texts("b", "\\x00", "\\n", "ab")}
    types = {"tokenizer.ggml.token_type": (ARRAY, array(I32, 4, struct.pack("<4i", 1, 1, 1, 1)))}
    assert "its vocabulary has no token for the byte 97 alone" in refused({**endless, **types})


def test_a_bias_that_llama_cpp_uses_unasked_is_missed(tmp_path: Path) -> None:
    parts = taken_apart(write_architecture(tmp_path / "m.gguf", "granitehybrid").read_bytes())
    infos = packed([each for each in parts.tensors if each.name != "blk.0.ssm_conv1d.bias"])
    (tmp_path / "m.gguf").write_bytes(replace(parts, tensors=tuple(infos)).written())
    with pytest.raises(UnsupportedModelError, match=r"it has no tensor 'blk\.0\.ssm_conv1d\.bias'"):
        inspect(ModelReference(str(tmp_path / "m.gguf")))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_models_of_other_architectures_are_not_refused(tmp_path: Path, name: str) -> None:
    head = write_architecture(tmp_path / "m.gguf", name).read_bytes()
    check_runnable(parse_header(head, len(head)), head)


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("output_norm.weight", 1, "tensor 'output_norm.weight' has type F16, not F32"),
        ("output_norm.weight", 8, "tensor 'output_norm.weight' has type Q8_0, not F32"),
        ("blk.0.ffn_up.weight", 26, "weights 'blk.0.ffn_up.weight' have type I32, with which"),
        ("blk.0.ffn_up.weight", 15, "weights 'blk.0.ffn_up.weight' have type Q8_K, with which"),
        ("blk.0.ffn_up.weight", 28, "weights 'blk.0.ffn_up.weight' have type F64, with which"),
    ],
)
def test_types_with_which_nothing_can_be_computed_are_told(
    parts: Model, tmp_path: Path, name: str, kind: int, says: str
) -> None:
    infos = packed([replace(each, kind=kind) if each.name == name else each for each in parts.tensors])
    path = tmp_path / "m.gguf"
    path.write_bytes(replace(parts, tensors=tuple(infos), data=parts.data + bytes(2**22)).written())
    with pytest.raises(UnsupportedModelError, match=says):
        inspect(ModelReference(str(path)))
