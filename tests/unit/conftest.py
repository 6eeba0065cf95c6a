"""Headers that package `gguf` wrote."""

from pathlib import Path

import pytest

from support.models import write_llama


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama(tmp_path_factory.mktemp("models") / "small.gguf")
