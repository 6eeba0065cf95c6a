"""Questions to the demo model, whose answers are known, and the shortest way to an answer."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lambda_llm.engine.decoder import Decoder
from lambda_llm.engine.engine import Engine
from lambda_llm.engine.generate import Generation, GenerationRequest
from lambda_llm.engine.loaded_model import LoadedModel
from lambda_llm.engine.sampling import Sampling
from lambda_llm.engine.session_store import SessionStore
from lambda_llm.gguf.memory_plan import MemoryPlan
from lambda_llm.gguf.options import ModelOptions, Weights
from scripts.demo import MODEL, QUESTIONS

OpenEngine = Callable[..., Engine]
"""Takes a path (default: the demo model's), `kind` of Decoder, and fields of `ModelOptions`."""

QUESTION, EXPECTED = QUESTIONS[0]
OTHER_QUESTION, OTHER_EXPECTED = QUESTIONS[1]
LONG_QUESTION = "Count from 1 to 100."
"""Its answer has more than 300 tokens, and ends with 100."""


@pytest.fixture
def open_engine() -> Iterator[OpenEngine]:
    """Open engines, which takes milliseconds, and close them behind the test."""
    with ExitStack() as opened:

        def open_it(path: Path | str = MODEL, kind: type[Decoder] = Decoder, **changes: Any) -> Engine:
            # llama.cpp's threads spin while they wait; on a machine with few CPUs one is the fastest.
            given: dict[str, Any] = {"placement": Weights.COPIED, "context_length": 2048, "threads": 1}
            options = ModelOptions(**(given | changes))
            model = opened.enter_context(LoadedModel(str(path), options.placement))
            decoder = opened.enter_context(kind(model, options))
            return Engine(model, plan_of(options), decoder=decoder)

        yield open_it


def plan_of(options: ModelOptions) -> MemoryPlan:
    """A memory plan with a number of its own for each part."""
    return MemoryPlan(options, weights=2, kv_cache=3, compute_buffers=4, pinned=5, process=6, peak=7, memory=8)


@pytest.fixture
def engine(open_engine: OpenEngine) -> Engine:
    """The demo model with an empty KV cache."""
    return open_engine()


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def generation(
    engine: Engine, question: str = QUESTION, *, sessions: SessionStore | None = None, **changes: Any
) -> Generation:
    """The greedy answer to one question; iterate it. `changes` are fields of `GenerationRequest`."""
    prompt = changes.pop("prompt", None) or engine.template.tokens([user(question)])
    sampling = changes.pop("sampling", Sampling(temperature=0))
    request = GenerationRequest(prompt, sampling, remember=sessions is not None, **changes)
    return Generation(request, engine.decoder, engine.prefixes, sessions=sessions)


def answer(engine: Engine, question: str = QUESTION, **changes: Any) -> str:
    return "".join(generation(engine, question, **changes))
