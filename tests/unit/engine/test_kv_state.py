"""What is found in the states that llama.cpp writes, whatever form the model's cache has."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lambda_llm.engine.decoder import Decoder
from lambda_llm.engine.errors import EngineError
from lambda_llm.engine.kv_state import check_finite
from lambda_llm.gguf.options import KVType
from support.answers import OpenEngine
from support.kv_forms import ARCHITECTURES, LAYERS, WIDTH, write_architecture

TOKENS = 48
NOT_FINITE = "numbers that are not finite"
UNKNOWN = "have a form that this version"

MakeState = Callable[..., bytes]


@pytest.fixture
def decoder(open_engine: OpenEngine, tmp_path: Path) -> Callable[..., Decoder]:
    def make(architecture: str, kv_type: KVType = KVType.F16, spoiled: str | None = None) -> Decoder:
        path = write_architecture(tmp_path / "model.gguf", architecture, spoiled)
        made = open_engine(path, kv_type=kv_type, context_length=256).decoder
        made.evaluate(range(TOKENS))
        return made

    return make


def refused(state: bytes) -> str:
    with pytest.raises(EngineError) as error:
        check_finite(state)
    return str(error.value)


def halves(number: float, count: int) -> bytes:
    return np.full(count, number, "<f2").tobytes()


@pytest.mark.parametrize("kv_type", KVType)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("start", "end"), [(0, TOKENS), (0, 1), (16, 33), (TOKENS - 1, TOKENS)])
def test_what_llama_cpp_writes_is_sound(
    decoder: Callable[..., Decoder], architecture: str, kv_type: KVType, start: int, end: int
) -> None:
    check_finite(decoder(architecture, kv_type).read_state(start, end))


@pytest.mark.parametrize("number", [np.nan, -np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_one_number_anywhere_that_is_not_finite_is_found(
    decoder: Callable[..., Decoder], architecture: str, number: float
) -> None:
    """Only the numbers count: the same two bytes among the metadata make another form, or nothing."""
    state = bytes(decoder(architecture).read_state(0, 16))
    spoiled = np.frombuffer(halves(number, 1), np.uint8)
    said = []
    for at in range(0, len(state) - 1, 61):
        changed = np.frombuffer(state, np.uint8).copy()
        changed[at : at + 2] = spoiled
        try:
            check_finite(changed.tobytes())
        except EngineError as error:
            said.append(str(error))
    found = sum(NOT_FINITE in each for each in said)
    # At an even offset it is one number, at an odd one it is parts of two, which are finite in most cases.
    assert found >= 0.45 * len(range(0, len(state) - 1, 61))


@pytest.mark.parametrize("offset", [0, 1])
def test_a_scale_that_is_not_finite_is_found_and_its_numbers_are_free(
    decoder: Callable[..., Decoder], offset: int
) -> None:
    state = bytes(decoder("llama", KVType.Q8_0).read_state(0, 16))
    rows = state.index(struct.pack("<iQ", 8, WIDTH // 32 * 34)) + 12
    whatever = state[: rows + 2] + b"\xff" * 32 + state[rows + 34 :]
    check_finite(whatever)
    block = rows + offset * 34
    assert NOT_FINITE in refused(state[:block] + halves(np.inf, 1) + state[block + 2 :])


@pytest.mark.parametrize("kv_type", KVType)
@pytest.mark.parametrize("architecture", ["llama", "cohere2", "qwen2vl"])
@pytest.mark.parametrize("name", ["attn_k", "attn_v"])
@pytest.mark.parametrize("layer", [0, LAYERS - 1])
def test_what_a_damaged_model_computes_is_found(
    decoder: Callable[..., Decoder], architecture: str, kv_type: KVType, name: str, layer: int
) -> None:
    state = decoder(architecture, kv_type, f"blk.{layer}.{name}").read_state(0, TOKENS)
    assert NOT_FINITE in refused(bytes(state))


def test_values_in_columns_are_found_too() -> None:
    """As llama.cpp writes them without flash attention: a number of every cell after the other."""
    cells = np.array([[position, 1, 1] for position in range(3)], "<u4").tobytes()
    keys = struct.pack("<iQ", 1, 8) + halves(0.5, 3 * 4)
    columns = struct.pack("<iII", 1, 2, 5)

    def state(values: bytes) -> bytes:
        return struct.pack("<IiII", 0xAF143CD8, 1, 1, 3) + cells + struct.pack("<II", 1, 1) + keys + columns + values

    check_finite(state(halves(0.5, 3 * 5)))
    assert NOT_FINITE in refused(state(halves(0.5, 14) + halves(np.nan, 1)))
    assert UNKNOWN in refused(state(halves(0.5, 14)))


@pytest.mark.parametrize("size", [0, 1, 7, 8, 15, 16, 100, -1, -2])
def test_a_part_of_a_state_is_refused(decoder: Callable[..., Decoder], size: int) -> None:
    state = bytes(decoder("cohere2").read_state(0, 16))
    assert UNKNOWN in refused(state[:size])


def test_more_than_a_state_is_refused(decoder: Callable[..., Decoder]) -> None:
    state = bytes(decoder("llama").read_state(0, 16))
    assert UNKNOWN in refused(state + b"\0")
    assert UNKNOWN in refused(state + state[:-2])
    check_finite(state + state)


@pytest.mark.parametrize("layers", [2**16, 2**32 - 1])
def test_announcing_much_takes_no_time_or_memory(layers: int) -> None:
    cells = np.array([[0, 1, 1]], "<u4").tobytes()
    state = struct.pack("<IiII", 0xAF143CD8, 1, 1, 1) + cells + struct.pack("<II", 0, layers) + bytes(12) * 2**16
    assert UNKNOWN in refused(state)
    assert UNKNOWN in refused(struct.pack("<IiII", 0xAF143CD8, 1, 1, 2**32 - 1) + bytes(1000))
    assert UNKNOWN in refused(struct.pack("<Ii", 0xAF143CD8, 1) + struct.pack("<II", 1, 0) * 100_000)
    assert UNKNOWN in refused(struct.pack("<Ii", 0xAF143CD8, 1) * 100_000)
    row = struct.pack("<IIIIiiQ", 1, 0, 0, 1, 0, 0, 4) + bytes(4)
    assert UNKNOWN in refused((struct.pack("<Ii", 0xAF143CD8, 1) + row) * 100_000 + b"\0")


def test_noise_is_refused() -> None:
    random = np.random.default_rng(1)
    for size in (0, 8, 100, 10_000):
        assert UNKNOWN in refused(struct.pack("<I", 0xAF143CD8) + random.bytes(size + 5))
