"""What a header says, and that no damage to it ends in anything but one sentence."""

import re
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_llm.errors import LoadError
from lambda_llm.gguf.errors import CorruptError, NotGGUFError, UnsupportedModelError, about
from lambda_llm.gguf.header import HEADER_MAX_BYTES, TENSOR_TYPES, IncompleteError, parse_header
from lambda_llm.gguf.memory_plan import plan_memory
from lambda_llm.gguf.options import KVType, ModelOptions
from lambda_llm.gguf.runnable import check_runnable
from lambda_llm.limits import MIB
from lambda_llm.loading.errors import OutOfTimeError
from scripts.build.llama import SOURCE
from support.models import ARCHITECTURE, Shape, array, header, pair, string, tensor, write_llama

HUGE = [0, 1, 2**16, 2**31, 2**32 - 1, 2**32, 2**40, 2**63 - 1, 2**63, 2**64 - 8, 2**64 - 1]


# -- Sound headers ----------------------------------------------------------------------------------


def test_a_written_model_is_described(model_path: Path) -> None:
    model = model_path.read_bytes()
    parsed = parse_header(model, len(model))
    assert parsed.architecture == "llama"
    assert parsed.name == "A model of noise"
    assert parsed.context_length == 512
    assert parsed.layers == 2
    assert parsed.vocabulary == 300
    assert parsed.number("attention.head_count_kv") == 2
    assert parsed.number("attention.key_length", 16) == 16
    assert parsed.per_layer("feed_forward_length") == [256, 256]
    assert parsed.metadata["llama.attention.layer_norm_rms_epsilon"] == pytest.approx(1e-5)
    assert parsed.tensor_types == {"F32": parsed.weight_bytes}


def test_every_tensor_is_where_package_gguf_finds_it(model_path: Path) -> None:
    model = model_path.read_bytes()
    parsed = parse_header(model, len(model))
    expected = gguf.GGUFReader(model_path).tensors
    assert [(each.name, each.shape, each.type, each.offset, each.size) for each in parsed.tensors] == [
        (each.name, tuple(each.shape.tolist()), each.tensor_type.name, each.data_offset, each.n_bytes)
        for each in expected
    ]
    assert parsed.parameters == sum(each.n_elements for each in expected)


@pytest.mark.parametrize("kind", ["Q4_0", "Q5_1", "Q8_0", "F16", "BF16"])
def test_quantized_tensors_have_the_size_that_package_gguf_gives_them(tmp_path: Path, kind: str) -> None:
    raw = gguf.quantize(np.ones((4, 64), np.float32), gguf.GGMLQuantizationType[kind])
    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tensor("one", raw, raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.add_tensor("two", raw, raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    parsed = parse_header(path.read_bytes(), path.stat().st_size)
    assert parsed.tensor_types == {kind: 2 * raw.nbytes}
    assert {each.shape for each in parsed.tensors} == {(64, 4)}


def test_tensor_types_are_those_of_llama_cpp_and_of_package_gguf() -> None:
    source = (SOURCE / "vendor/llama.cpp/ggml/include/ggml.h").read_text()
    enum = re.findall(r"^ +GGML_TYPE_(\w+) += (\d+),", source, re.MULTILINE)
    known = {int(number): name for name, number in enum if name != "COUNT"}
    assert {number: name for number, (name, _, _) in TENSOR_TYPES.items()} == known
    for kind in gguf.GGMLQuantizationType:
        assert TENSOR_TYPES[kind.value] == (kind.name, *gguf.GGML_QUANT_SIZES[kind])


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        (0, b"\xff", 255),
        (1, b"\xff", -1),
        (2, b"\xff\xff", 65535),
        (3, b"\xff\xff", -1),
        (4, b"\xff" * 4, 2**32 - 1),
        (5, b"\xff" * 4, -1),
        (6, struct.pack("<f", 0.5), 0.5),
        (7, b"\x01", True),
        (8, string("é"), "é"),
        (10, b"\xff" * 8, 2**64 - 1),
        (11, b"\xff" * 8, -1),
        (12, struct.pack("<d", 0.1), 0.1),
        (9, array(5, 3, struct.pack("<3i", 1, -2, 3)), [1, -2, 3]),
        (9, array(8, 2, string("a") + string("")), ["a", ""]),
        (9, array(4, 0, b""), []),
    ],
    ids=[
        "u8",
        "i8",
        "u16",
        "i16",
        "u32",
        "i32",
        "f32",
        "bool",
        "string",
        "u64",
        "i64",
        "f64",
        "i32s",
        "strings",
        "none",
    ],
)
def test_every_type_of_value_is_read(kind: int, raw: bytes, value: object) -> None:
    head = header([ARCHITECTURE, pair("key", kind, raw), pair("last", 4, struct.pack("<I", 7))])
    parsed = parse_header(head, len(head))
    assert parsed.metadata["key"] == value
    assert parsed.metadata["last"] == 7


@pytest.mark.parametrize(
    ("kind", "raw"),
    [(8, b"".join(string(f"token {number}") for number in range(1025))), (6, bytes(4 * 1025))],
    ids=["strings", "numbers"],
)
def test_long_arrays_are_stepped_over_but_counted(kind: int, raw: bytes) -> None:
    head = header([ARCHITECTURE, pair("tokenizer.ggml.tokens", 9, array(kind, 1025, raw)), pair("last", 7, b"\x00")])
    parsed = parse_header(head, len(head))
    assert "tokenizer.ggml.tokens" not in parsed.metadata
    assert parsed.vocabulary == 1025
    assert parsed.metadata["last"] is False


def test_numbers_that_differ_from_layer_to_layer_are_listed() -> None:
    head = header(
        [
            ARCHITECTURE,
            pair("llama.block_count", 4, struct.pack("<I", 3)),
            pair("llama.attention.head_count_kv", 9, array(5, 3, struct.pack("<3i", 8, 0, 2))),
            pair("llama.feed_forward_length", 4, struct.pack("<I", 64)),
        ]
    )
    parsed = parse_header(head, len(head))
    assert parsed.per_layer("attention.head_count_kv") == [8, 0, 2]
    assert parsed.per_layer("feed_forward_length") == [64, 64, 64]
    assert parsed.per_layer("attention.head_count", 4) == [4, 4, 4]


def test_what_is_not_said_is_nothing() -> None:
    head = header()
    parsed = parse_header(head, len(head))
    assert (parsed.name, parsed.context_length, parsed.layers, parsed.vocabulary) == ("", 0, 0, 0)
    assert (parsed.tensors, parsed.parameters, parsed.weight_bytes) == ((), 0, 0)


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (6, struct.pack("<f", float("nan"))),
        (6, struct.pack("<f", float("inf"))),
        (5, struct.pack("<i", -1)),
        (8, string("4096")),
        (9, array(8, 1, string("4096"))),
        (9, array(5, 1, struct.pack("<i", -1))),
    ],
    ids=["no number", "infinite", "negative", "text", "texts", "negatives"],
)
def test_a_length_of_a_senseless_type_is_as_good_as_none(kind: int, raw: bytes) -> None:
    head = header(
        [ARCHITECTURE, pair("llama.block_count", 4, struct.pack("<I", 1)), pair("llama.context_length", kind, raw)]
    )
    parsed = parse_header(head, len(head))
    assert parsed.context_length == 0
    assert parsed.per_layer("context_length") == [0]


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        (4, "convert the model again"),
        *((kind, "as Q4_0, which is repacked") for kind in (31, 32, 33)),
        (36, "as IQ4_NL"),
    ],
)
def test_types_that_llama_cpp_no_longer_reads_are_told_with_what_to_use_instead(kind: int, remedy: str) -> None:
    head = header(tensors=[tensor("w", [32], kind=kind)])
    with pytest.raises(UnsupportedModelError, match=rf"^Tensor 'w' has type {kind}, which .*{remedy}"):
        parse_header(head, 1000)


def test_latin_1_is_read_as_such() -> None:
    head = header([ARCHITECTURE, pair("general.author", 8, string("Ren\xe9".encode("latin-1")))])
    assert parse_header(head, len(head)).text("general.author") == "Ren\xe9"


@pytest.mark.parametrize(("pooling", "encodes"), [(0, False), (1, True), (4, True), (2**32 - 1, False)])
def test_a_pooling_that_is_not_specified_makes_no_encoder(pooling: int, *, encodes: bool) -> None:
    head = header([ARCHITECTURE, pair("llama.pooling_type", 4, struct.pack("<I", pooling))])
    assert parse_header(head, len(head)).encodes is encodes


def test_a_header_of_a_hundred_thousand_arrays_is_refused_at_once() -> None:
    head = header(counts=(0, 100_001)) + pair("key", 9, array(6, 256, bytes(1024))) * 10
    with pytest.raises(NotGGUFError, match="it announces 0 tensors and 100,001 keys"):
        parse_header(head, 105 * MIB)


@pytest.mark.parametrize(
    "value", [array(8, 10_000_000, string("a") * 10), array(8, 1024, string("a") * 1024)], ids=["long", "short"]
)
def test_whoever_has_no_time_left_ends_the_parsing(value: bytes) -> None:
    def expired() -> None:
        raise OutOfTimeError("no time")

    with pytest.raises(OutOfTimeError):
        parse_header(header([ARCHITECTURE, pair("key", 9, value)]), 2**30, expired)


def test_weights_begin_at_the_next_multiple_of_the_alignment() -> None:
    pairs = [ARCHITECTURE, pair("general.alignment", 4, struct.pack("<I", 4096))]
    head = header(pairs, [tensor("one", [8]), tensor("two", [8], offset=4096)])
    parsed = parse_header(head, 3 * 4096)
    assert [each.offset for each in parsed.tensors] == [4096, 2 * 4096]


def test_version_2_is_read_like_version_3() -> None:
    head = header(version=2)
    assert parse_header(head, len(head)).architecture == "llama"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_kind_of_bytes_will_do(model_path: Path, kind: Callable[[bytes], bytes]) -> None:
    model = model_path.read_bytes()
    assert parse_header(kind(model), len(model)) == parse_header(model, len(model))


# -- Too few bytes ----------------------------------------------------------------------------------


def test_a_header_goes_on_until_its_last_byte(tmp_path: Path) -> None:
    model = write_llama(tmp_path / "model.gguf", Shape(layers=1, vocabulary=3)).read_bytes()
    end = min(each.offset for each in parse_header(model, len(model)).tensors)
    needed = next(size for size in range(end, 0, -1) if is_incomplete(model[: size - 1], len(model)))
    assert end - needed < 32
    assert all(is_incomplete(model[:size], len(model)) for size in range(needed))


def is_incomplete(head: bytes, file_size: int) -> bool:
    try:
        parse_header(head, file_size)
    except IncompleteError:
        return True
    return False


def test_a_vocabulary_that_goes_on_is_not_taken_for_damage(tmp_path: Path) -> None:
    model = write_llama(tmp_path / "model.gguf", tensors=False).read_bytes()
    with pytest.raises(IncompleteError):
        parse_header(model[:2000], len(model))


# -- Other files, and damaged ones ------------------------------------------------------------------


@pytest.mark.parametrize(
    "beginning", [b"PK\x03\x04", b"ggjt", b"\x89HDF", b"\x00\x00\x00\x00", b"<htm", b"FUGG", b"G!"]
)
def test_another_kind_of_file_is_told_by_its_beginning(beginning: bytes) -> None:
    with pytest.raises(NotGGUFError) as caught:
        parse_header(beginning, 1000)
    assert repr(beginning) in str(caught.value)
    assert "convert_hf_to_gguf.py" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"G", b"GGU", b"GGUF", b"GGUF\x03\x00\x00\x00"])
def test_a_file_that_ends_in_its_first_bytes_is_damaged(content: bytes) -> None:
    with pytest.raises(NotGGUFError, match=rf"header is damaged .*of {len(content)}\)"):
        parse_header(content, len(content))


def test_version_1_is_told() -> None:
    head = b"GGUF" + struct.pack("<III", 1, 0, 0) + bytes(100)
    with pytest.raises(NotGGUFError, match=r"This is a GGUF file of version 1, .*convert the model again"):
        parse_header(head, len(head))


def test_a_big_endian_file_is_told() -> None:
    head = header(order=">")
    with pytest.raises(NotGGUFError, match=r"version 50331648, but only 2 and 3 \(little-endian\) can be read"):
        parse_header(head, len(head))


@pytest.mark.parametrize(
    ("head", "how"),
    [
        (header(counts=(2**63, 1)), "announces 9,223,372,036,854,775,808 tensors"),
        (header(counts=(0, 2**64 - 1)), "and 18,446,744,073,709,551,615 keys"),
        (header(counts=(0, 2)), "something of 8 bytes is announced"),
        (header([pair("general.architecture", 4, b"\x01\x00\x00\x00")]), "names no architecture"),
        (header([]), "names no architecture"),
        (header([pair("key", 13, b"")]), "a value has the unknown type 13"),
        (header([pair("key", 9, array(9, 1, b""))]), "a value has the unknown type 9"),
        (header([pair("key", 9, array(13, 2000, b""))]), "a value has the unknown type 13"),
        (header([pair("key", 9, array(8, 2**64 - 1, b""))]), "something of 8 bytes is announced"),
        (header([pair("key", 9, array(10, 2**64 - 1, b""))]), "something of 147,573,952,589,676,412,920 bytes"),
        (header([struct.pack("<Q", 2**64 - 1)]), "something of 18,446,744,073,709,551,615 bytes"),
        (header([pair("key", 9, array(8, 2000, struct.pack("<QQ", 2**63, 0)))]), "damaged"),
        (header([pair("", 7, b"\x00")]), "a key is empty"),
        (header([ARCHITECTURE, ARCHITECTURE]), "the key 'general.architecture' is there twice"),
        (header(tensors=[tensor("w", [])]), "tensor 'w' has 0 dimensions"),
        (header(tensors=[tensor("w", [1] * 5)]), "tensor 'w' has 5 dimensions"),
        (header(tensors=[tensor("w", [32], kind=43)]), "tensor 'w' has the unknown type 43"),
        (header(tensors=[tensor("w", [8, 0])]), "tensor 'w' has no elements"),
        (header(tensors=[tensor("w" * 64, [8])]), "is longer than 63 bytes"),
        (header(tensors=[tensor("w", [8]), tensor("w", [8], offset=32)]), "two tensors have the same name"),
        (
            header(tensors=[tensor("v", [8]), tensor("w", [8], offset=64)]),
            "'w' begins at byte 64 of the weights instead of 32",
        ),
        (header(tensors=[tensor("w", [33], kind=8)]), "rows of 33 elements, Q8_0 needs multiples of 32"),
        (header([ARCHITECTURE, pair("general.alignment", 4, bytes(4))]), "alignment is 0"),
        (header([ARCHITECTURE, pair("general.alignment", 8, string("8"))]), "alignment is '8'"),
        (header([ARCHITECTURE, pair("general.alignment", 5, b"\xff" * 4)]), "alignment is -1"),
        (header([ARCHITECTURE, pair("general.alignment", 4, struct.pack("<I", 48))]), "48, not a power of two"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_damage_is_told(head: bytes, how: str) -> None:
    with pytest.raises(NotGGUFError) as caught:
        parse_header(head, len(head))
    assert str(caught.value).startswith("The GGUF header is damaged (")
    assert how in str(caught.value)
    assert "upload or download the model again" in str(caught.value)


def test_a_header_is_not_longer_than_any_model_needs() -> None:
    head = header([pair("key", 8, struct.pack("<Q", HEADER_MAX_BYTES))])
    with pytest.raises(NotGGUFError, match="something of 134,217,728 bytes is announced"):
        parse_header(head, 2**40)


@pytest.mark.parametrize(
    "one",
    [tensor("w", [2**32] * 4), tensor("w", [17])],
    ids=["huge", "by a number"],
)
def test_a_file_that_ends_before_its_weights_is_truncated(one: bytes) -> None:
    head = header(tensors=[one])
    with pytest.raises(CorruptError, match=r"The file is truncated: .*the file has 160"):
        parse_header(head, 160)


# -- Any damage -------------------------------------------------------------------------------------


def settle(head: bytes, file_size: int) -> None:
    """Parse and do the sums, as a load does; what is not an expected error passes through."""
    tracemalloc.start()
    try:
        parsed = parse_header(head, file_size)
        check_runnable(parsed, head)
        assert isinstance(parsed.name, str)
        assert parsed.parameters >= 0
        plan = plan_memory(parsed, file_size, ModelOptions(kv_type=KVType.Q8_0), memory=10**9)
        plan.describe()
        plan.require()
    except IncompleteError:
        pass
    except LoadError as error:
        assert str(error).endswith(".")  # noqa: PT017 - any LoadError is right
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 4 * MIB + 20 * len(head)


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole header with every kind of thing in it, and room behind it."""
    small = Shape(layers=1, width=32, feed_forward=32, vocabulary=10)
    model = write_llama(tmp_path_factory.mktemp("models") / "model.gguf", small).read_bytes()
    more = [
        pair("general.alignment", 4, struct.pack("<I", 32)),
        pair("llama.expert_used_count", 9, array(5, 1, struct.pack("<i", 0))),
        pair("tokenizer.ggml.ranks", 9, array(6, 1100, bytes(4400))),
        pair("tokenizer.ggml.words", 9, array(8, 1100, string("word") * 1100)),
    ]
    pairs, tensors = struct.unpack_from("<QQ", model, 8)[::-1]
    path = tmp_path_factory.mktemp("headers") / "header.gguf"
    path.write_bytes(model[:8] + struct.pack("<QQ", tensors, pairs + len(more)) + b"".join(more) + model[24:])
    assert len(parse_header(path.read_bytes(), 10**6).tensors) == tensors
    return path


@settings(max_examples=150)
@given(data=st.data())
def test_a_header_cut_anywhere_ends_in_a_sentence(sound: Path, data: st.DataObject) -> None:
    head = sound.read_bytes()
    size = data.draw(st.integers(0, len(head)))
    settle(head[:size], data.draw(st.sampled_from([size, len(head), 10**6, 10**12])))


@settings(max_examples=300)
@given(data=st.data())
def test_bytes_changed_anywhere_end_in_a_sentence(sound: Path, data: st.DataObject) -> None:
    head = bytearray(sound.read_bytes())
    # Most of a header is vocabulary, which nothing depends on: half of the changes go where the structure is.
    positions = st.one_of(st.integers(4, len(head) - 1), st.integers(4, 900))
    for position in data.draw(st.lists(positions, min_size=1, max_size=8)):
        head[position] = data.draw(st.integers(0, 255))
    settle(bytes(head), data.draw(st.sampled_from([len(head), 10**6, 10**12])))


@settings(max_examples=300)
@given(data=st.data())
def test_huge_numbers_anywhere_end_in_a_sentence(sound: Path, data: st.DataObject) -> None:
    head = bytearray(sound.read_bytes())
    for position in data.draw(st.lists(st.integers(4, len(head) - 8), min_size=1, max_size=3)):
        struct.pack_into("<Q", head, position, data.draw(st.sampled_from(HUGE)))
    settle(bytes(head), data.draw(st.sampled_from([len(head), 10**6, 2**63])))


@settings(max_examples=100)
@given(
    pairs=st.lists(
        st.tuples(
            st.sampled_from(["block_count", "context_length", "embedding_length", "feed_forward_length"])
            | st.sampled_from(
                ["attention.head_count", "attention.head_count_kv", "attention.key_length", "vocab_size"]
            ),
            st.sampled_from([5, 10, 11, 12, 6]),
            st.binary(min_size=8, max_size=8),
            st.integers(0, 5),
        ),
        max_size=8,
    )
)
def test_senseless_dimensions_end_in_a_sentence(pairs: list[tuple[str, int, bytes, int]]) -> None:
    sizes = {5: 4, 6: 4, 10: 8, 11: 8, 12: 8}
    head = header(
        [ARCHITECTURE]
        + [
            pair(f"llama.{key}", 9, array(kind, count, raw[: sizes[kind]] * count))
            if count
            else pair(f"llama.{key}", kind, raw[: sizes[kind]])
            for key, kind, raw, count in pairs
        ],
        [tensor("w", [8])],
    )
    settle(head, len(head) + 64)


@settings(max_examples=200)
@given(st.binary(max_size=2000))
def test_noise_after_the_magic_ends_in_a_sentence(noise: bytes) -> None:
    settle(b"GGUF\x03\x00\x00\x00" + noise, len(noise) + 8)


def test_whoever_knows_the_address_adds_it_to_the_sentence() -> None:
    with (
        pytest.raises(NotGGUFError, match=r"^s3://models/tiny\.gguf: This is not a GGUF file"),
        about("s3://models/tiny.gguf"),
    ):
        parse_header(b"PK", 1000)
    with pytest.raises(CorruptError, match=r"^nearer: damaged$"), about("farther"), about("nearer"):
        raise CorruptError("damaged")
