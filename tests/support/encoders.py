"""The demo encoders, and questions that they were not trained on."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from demo_model.corpus import FOLDER, entries
from lambda_llm.engine.encoder import Encoder
from lambda_llm.settings import KVType, Weights

ENCODERS = FOLDER.parent / "demo-encoder"
ENTRIES = entries()
CONTEXT = 128

OpenEncoder = Callable[..., Encoder]
"""Takes a demo encoder's name or a path."""


@pytest.fixture
def open_encoder() -> Iterator[OpenEncoder]:
    """Open encoders, and close them behind the test."""
    with ExitStack() as opened:

        def open_it(name: Any) -> Encoder:
            path = ENCODERS / f"{name}.gguf" if isinstance(name, str) else name
            given: Any = {"placement": Weights.COPIED, "context": CONTEXT, "kv_type": KVType.F16, "threads": 1}
            return opened.enter_context(Encoder(str(path), what=path.name, **given))

        yield open_it
