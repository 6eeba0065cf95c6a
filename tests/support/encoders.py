"""The demo encoders, and questions that they were not trained on."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from lambda_llm.engine.engine import Engine
from scripts.models.demo_model.corpus import FOLDER, entries
from scripts.models.opening import ONE_THREAD, open_engine

ENCODERS = FOLDER.parent / "demo-encoder"
ENTRIES = entries()
CONTEXT = 128

OpenEncoder = Callable[..., Engine]
"""Takes a demo encoder's name or a path."""


@pytest.fixture
def open_encoder() -> Iterator[OpenEncoder]:
    """Open encoders, and close them behind the test."""
    with ExitStack() as opened:

        def open_it(name: Any) -> Engine:
            path = ENCODERS / f"{name}.gguf" if isinstance(name, str) else name
            return opened.enter_context(open_engine(path, replace(ONE_THREAD, context_length=CONTEXT)))

        yield open_it
