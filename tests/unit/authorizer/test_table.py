"""A table that does not answer; what else becomes of it is in tests/integration/test_authorizer.py."""

import socket

import pytest

from lambda_llm.authorizer.errors import KeyTableError
from lambda_llm.authorizer.keys import made
from lambda_llm.authorizer.table import ATTEMPTS, CONNECT_SECONDS, READ_SECONDS, KeyTable

AUTHORIZER_SECONDS = 10
"""Time-out of the function, as modules/front-door sets it."""


def test_silence_ends_before_the_function_s_time_out() -> None:
    assert ATTEMPTS * (CONNECT_SECONDS + READ_SECONDS) < AUTHORIZER_SECONDS


def test_a_table_that_is_silent_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"):
            monkeypatch.setenv(name, "us-east-1")
        table = KeyTable("llm-keys", read_seconds=0.1)
        _, key = made("acme", "standard", now=0)
        with pytest.raises(KeyTableError, match=r"The keys in llm-keys can't be read \(Read timeout.*dynamodb:GetItem"):
            table.find(key.key_hash)
        with pytest.raises(KeyTableError, match=r"can't be written \(Read timeout.*dynamodb:PutItem"):
            table.put(key)
