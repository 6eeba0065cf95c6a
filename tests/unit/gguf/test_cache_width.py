"""What real models keep of a token and of a sequence, counted by hand from their published shapes.

`test_reserved_memory` compares small models of these kinds with what llama.cpp allocates.
"""

import pytest

from lambda_llm.gguf.cache_width import attention_width, recurrent_width
from lambda_llm.gguf.header import Header, Value

LFM2_KV_HEADS = [0, 0, 8, 0, 0, 8, 0, 0, 8, 0, 8, 0, 8, 0, 8, 0]

MODELS: dict[str, tuple[str, dict[str, Value], int, int]] = {
    "LFM2 1.2B": (
        "lfm2",
        {
            "embedding_length": 2048,
            "block_count": 16,
            "attention.head_count": 32,
            "attention.head_count_kv": [*LFM2_KV_HEADS],
            "shortconv.l_cache": 3,
        },
        6 * 2 * 8 * 64,
        10 * 2048 * 2,
    ),
    "Granite 4.0 H 1B": (
        "granitehybrid",
        {
            "embedding_length": 1536,
            "block_count": 40,
            "attention.head_count": 12,
            "attention.head_count_kv": [4 if layer in {5, 15, 25, 35} else 0 for layer in range(40)],
            "ssm.conv_kernel": 4,
            "ssm.inner_size": 3072,
            "ssm.state_size": 128,
            "ssm.group_count": 1,
            "ssm.time_step_rank": 48,
        },
        4 * 2 * 4 * 128,
        36 * (3 * (3072 + 2 * 128) + 128 * 3072),
    ),
    "Qwen3-Next": (
        "qwen3next",
        {
            "embedding_length": 2048,
            "block_count": 48,
            "attention.head_count": 16,
            "attention.head_count_kv": 2,
            "attention.key_length": 256,
            "attention.value_length": 256,
            "ssm.conv_kernel": 4,
            "ssm.inner_size": 4096,
            "ssm.state_size": 128,
            "ssm.group_count": 16,
            "ssm.time_step_rank": 32,
        },
        12 * 2 * 2 * 256,
        36 * (3 * (4096 + 2 * 16 * 128) + 128 * 4096),
    ),
    "Qwen3-Next with its layers listed": (
        "qwen3next",
        {
            "embedding_length": 64,
            "block_count": 3,
            "attention.head_count": 2,
            "attention.recurrent_layers": [1, 0, 1],
            "ssm.conv_kernel": 4,
            "ssm.inner_size": 128,
            "ssm.state_size": 16,
        },
        2 * 2 * 32,
        2 * (3 * 128 + 16 * 128),
    ),
    "Mamba 2.8B": (
        "mamba",
        {
            "embedding_length": 2560,
            "block_count": 64,
            "attention.head_count": 0,
            "ssm.conv_kernel": 4,
            "ssm.inner_size": 5120,
            "ssm.state_size": 16,
            "ssm.time_step_rank": 160,
        },
        0,
        64 * (3 * 5120 + 16 * 5120),
    ),
    "RWKV 7 1.5B": (
        "rwkv7",
        {"embedding_length": 2048, "block_count": 24, "attention.head_count": 0, "wkv.head_size": 64},
        0,
        24 * (2 * 2048 + 64 * 2048),
    ),
    "Falcon-H1 0.5B": (
        "falcon-h1",
        {
            "embedding_length": 1024,
            "block_count": 36,
            "attention.head_count": 8,
            "attention.head_count_kv": 2,
            "attention.key_length": 64,
            "attention.value_length": 64,
            "ssm.conv_kernel": 4,
            "ssm.inner_size": 1536,
            "ssm.state_size": 128,
            "ssm.group_count": 1,
        },
        36 * 2 * 2 * 64,
        36 * (3 * (1536 + 2 * 128) + 128 * 1536),
    ),
    "Nemotron-H": (
        "nemotron_h",
        {
            "embedding_length": 64,
            "block_count": 4,
            "feed_forward_length": [0, 256, 0, 256],
            "attention.head_count": [0, 0, 4, 0],
            "attention.head_count_kv": [0, 0, 2, 0],
            "attention.key_length": 16,
            "attention.value_length": 16,
            "ssm.conv_kernel": 4,
            "ssm.inner_size": 128,
            "ssm.state_size": 16,
            "ssm.group_count": 2,
        },
        2 * 2 * 16,
        3 * (128 + 2 * 2 * 16) + 16 * 128,
    ),
    "Kimi Linear": (
        "kimi-linear",
        {
            "embedding_length": 2304,
            "block_count": 4,
            "attention.head_count": 32,
            "attention.head_count_kv": [0, 0, 0, 1],
            "attention.key_length": 576,
            "attention.value_length": 512,
            "attention.key_length_mla": 192,
            "attention.value_length_mla": 128,
            "ssm.conv_kernel": 4,
            "kda.head_dim": 128,
        },
        576,
        3 * (3 * 3 * 32 * 128 + 128 * 128 * 32),
    ),
    "DeepSeek-V2-Lite": (
        "deepseek2",
        {
            "embedding_length": 2048,
            "block_count": 27,
            "attention.head_count": 16,
            "attention.head_count_kv": 1,
            "attention.key_length": 576,
            "attention.value_length": 512,
            "attention.key_length_mla": 192,
            "attention.value_length_mla": 128,
        },
        27 * 576,
        0,
    ),
    "Gemma 3n E2B": (
        "gemma3n",
        {
            "embedding_length": 2048,
            "block_count": 30,
            "attention.head_count": 8,
            "attention.head_count_kv": 2,
            "attention.key_length": 256,
            "attention.value_length": 256,
            "attention.sliding_window": 512,
        },
        20 * 2 * 2 * 256,
        0,
    ),
    "Gemma 4, with other heads in the window and shared layers": (
        "gemma4",
        {
            "embedding_length": 1536,
            "block_count": 6,
            "attention.head_count": 8,
            "attention.head_count_kv": 1,
            "attention.key_length": 512,
            "attention.value_length": 512,
            "attention.key_length_swa": 256,
            "attention.value_length_swa": 256,
            "attention.sliding_window": 512,
            "attention.sliding_window_pattern": [True, True, False, True, True, False],
            "attention.shared_kv_layers": 2,
        },
        3 * 2 * 256 + 2 * 512,
        0,
    ),
    "GLM-4.5 Air, which predicts further tokens": (
        "glm4moe",
        {
            "embedding_length": 4096,
            "block_count": 47,
            "nextn_predict_layers": 1,
            "attention.head_count": 96,
            "attention.head_count_kv": 8,
            "attention.key_length": 128,
            "attention.value_length": 128,
        },
        46 * 2 * 8 * 128,
        0,
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_numbers_of_a_token_and_of_a_sequence(name: str) -> None:
    architecture, keys, of_a_token, of_a_sequence = MODELS[name]
    metadata = {f"{architecture}.{key}": value for key, value in keys.items()}
    header = Header({"general.architecture": architecture, **metadata}, {}, ())
    assert attention_width(header) == of_a_token
    assert recurrent_width(header) == of_a_sequence
