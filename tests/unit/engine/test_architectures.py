"""Models with sliding windows, recurrent and hybrid ones: reuse changes nothing but the time."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lambda_llm.engine.decoder import Buffer, Decoder, common_prefix
from lambda_llm.engine.engine import Engine
from lambda_llm.engine.generate import Generation, GenerationRequest
from lambda_llm.engine.prefix_cache import CacheScope
from lambda_llm.engine.sampling import Sampling
from lambda_llm.engine.session_store import BLOCK_TOKENS, SessionStore
from lambda_llm.inference.init import init
from lambda_llm.inference.settings import Settings
from support.answers import OpenEngine
from support.architectures import RECURRENT, WINDOW, WINDOWED, write_architecture
from support.sessions import Shelf, sessions

END = 2
ALL = (*WINDOWED, *RECURRENT)
OPTIONS: dict[str, Any] = {"context_length": 1024}
TOLERANCE = 0.05
"""Of logits with a standard deviation of 1: batches are divided differently, and the KV cache has 16 bits."""

Logits = np.ndarray[Any, np.dtype[np.float32]]
Opened = Callable[..., Engine]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("architectures")
    return lambda name: (
        folder / f"{name}.gguf"
        if (folder / f"{name}.gguf").exists()
        else write_architecture(folder / f"{name}.gguf", name)
    )


@pytest.fixture
def opened(models: Callable[[str], Path], open_engine: OpenEngine) -> Opened:
    """Open a model with an empty cache, by its architecture."""
    return lambda name, **changes: open_engine(models(name), **(OPTIONS | changes))


class Refusing(Decoder):
    """Gets states that lack their last bytes."""

    def append_state(self, tokens: Sequence[int], state: Buffer) -> None:
        super().append_state(tokens, memoryview(state)[:-7])


def tokens(count: int, seed: int = 0) -> list[int]:
    """A prompt: BOS and bytes."""
    return [1, *map(int, np.random.default_rng(seed).integers(6, 262, count - 1))]


def logits(engine: Engine, prompt: list[int]) -> Logits:
    """Of the last token, with what is in the cache."""
    with engine.decoder.lock:
        engine.decoder.evaluate(prompt)
        return engine.decoder.logits().copy()


def alone(opened: Opened, name: str, prompt: list[int]) -> Logits:
    """The same, by an environment that has seen nothing else."""
    return logits(opened(name), prompt)


def said(engine: Engine, prompt: list[int], most: int = 8, sessions: SessionStore | None = None) -> Generation:
    """A generation that has ended, at so many tokens."""
    sampling = Sampling(temperature=0, logit_bias={END: -100})
    request = GenerationRequest(prompt, sampling, max_tokens=most, remember=sessions is not None)
    going = Generation(request, engine.decoder, engine.prefixes, sessions=sessions)
    "".join(going)
    going.settle()
    return going


def assert_same(one: Logits, other: Logits) -> None:
    assert np.isfinite(one).all()
    assert one.std() > 0.5
    np.testing.assert_allclose(one, other, atol=TOLERANCE)


@pytest.mark.parametrize("name", WINDOWED)
def test_what_is_behind_the_window_counts(opened: Opened, name: str) -> None:
    """Otherwise nothing below would show that it is lost."""
    prompt = tokens(300)
    without = [*tokens(150, seed=7), *prompt[150:]]
    assert np.abs(alone(opened, name, prompt) - alone(opened, name, without)).max() > 4 * TOLERANCE


@pytest.mark.parametrize("length", [WINDOW - 1, WINDOW, WINDOW + 1, 195, 3 * WINDOW, 700])
@pytest.mark.parametrize("name", ALL)
def test_a_pinned_prefix_of_any_length_is_reused_as_often_as_it_is_asked_for(
    opened: Opened, name: str, length: int
) -> None:
    engine = opened(name)
    prefix = tokens(length)
    with engine.decoder.lock:
        engine.prefixes.pin(prefix)
    for number in range(3):
        prompt = [*prefix, *tokens(20, seed=number + 1)[1:]]
        with engine.decoder.lock:
            engine.decoder.truncate(0)
            assert engine.prefixes.load(prompt, CacheScope(str(number))) == length
        assert_same(logits(engine, prompt), alone(opened, name, prompt))


@pytest.mark.parametrize("name", ALL)
def test_the_next_turn_starts_from_the_last(opened: Opened, name: str) -> None:
    engine = opened(name)
    said(engine, tokens(300))
    known = list(engine.decoder.evaluated)
    following = said(engine, [*known, END, *tokens(40, seed=1)[1:]], most=1)
    assert following.stats.cached_tokens == len(known)
    prompt = list(following.prompt)
    assert_same(logits(engine, prompt), alone(opened, name, prompt))


@pytest.mark.parametrize("name", ALL)
def test_a_fork_goes_back_as_far_as_the_model_can(opened: Opened, name: str) -> None:
    engine = opened(name)
    long = tokens(600)
    logits(engine, long)
    fork = [*long[:350], *tokens(30, seed=1)[1:]]
    with engine.decoder.lock:
        cached = engine.decoder.evaluate(fork)
        got = engine.decoder.logits().copy()
    assert cached == (0 if name in RECURRENT else 350)
    assert_same(got, alone(opened, name, fork))


@pytest.mark.parametrize("name", ALL)
def test_the_same_prompt_again_gives_the_same(opened: Opened, name: str) -> None:
    engine = opened(name)
    prompt = tokens(300)
    assert_same(logits(engine, prompt), logits(engine, prompt))


@pytest.mark.parametrize("name", ALL)
def test_a_conversation_moves_to_another_environment(opened: Opened, name: str) -> None:
    shelf = Shelf()
    here, there = opened(name), opened(name)
    with sessions(here, shelf) as store:
        said(here, tokens(400), sessions=store)
    known = list(here.decoder.evaluated)
    prompt = [*known, END, *tokens(60, seed=1)[1:]]
    with sessions(there, shelf) as store:
        following = said(there, prompt, most=1, sessions=store)
        assert store.counts.hits == 1
        assert store.counts.damaged == 0
    assert following.stats.cached_tokens == len(known)
    assert len(shelf.objects) >= (1 if name in RECURRENT else 400 // BLOCK_TOKENS)
    assert_same(logits(there, prompt), alone(opened, name, prompt))


@pytest.mark.parametrize("name", RECURRENT)
def test_an_environment_that_finds_no_state_of_a_recurrent_model_computes_all(opened: Opened, name: str) -> None:
    shelf = Shelf()
    here, there = opened(name), opened(name)
    with sessions(here, shelf) as store:
        said(here, tokens(400), sessions=store)
    fork = [*tokens(400)[:300], *tokens(60, seed=1)[1:]]
    with sessions(there, shelf) as store:
        assert said(there, fork, most=1, sessions=store).stats.cached_tokens == 0
        assert store.counts.misses == 1
    assert_same(logits(there, fork), alone(opened, name, fork))


@pytest.mark.parametrize("name", ALL)
def test_a_context_that_shifts_leaves_nothing_wrong_behind(opened: Opened, name: str) -> None:
    engine = opened(name, context_length=512, context_shift=True)
    prefix = tokens(195)
    with engine.decoder.lock:
        engine.prefixes.pin(prefix)
    going = said(engine, [*prefix, *tokens(250, seed=1)[1:]], most=400)
    assert going.stats.completion_tokens == 400 > 512 - len(going.prompt), "it has shifted"
    prompt = [*prefix, *tokens(30, seed=2)[1:]]
    following = said(engine, prompt, most=1)
    assert following.stats.cached_tokens in {0, len(prefix)}
    assert_same(logits(engine, prompt), alone(opened, name, prompt))


@pytest.mark.parametrize("name", ALL)
def test_a_state_that_llama_cpp_refuses_costs_a_prefill(
    opened: Opened, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = opened(name, kind=Refusing)
    prefix = tokens(195)
    with engine.decoder.lock, caplog.at_level(logging.WARNING, "lambda_llm"):
        engine.prefixes.pin(prefix)
        engine.decoder.truncate(0)
        assert engine.prefixes.load([*prefix, 7, 8], CacheScope("other")) == 0
    assert "a pinned prefix is evaluated again" in caplog.text
    assert_same(logits(engine, [*prefix, 7, 8]), alone(opened, name, [*prefix, 7, 8]))


@pytest.mark.parametrize("name", ALL)
def test_a_warm_environment_answers_every_request_after_a_long_system_prompt(
    models: Callable[[str], Path], name: str
) -> None:
    environment = init(
        Settings.load(model=str(models(name)), threads=1, context=512, system_prompt="Be kind. " * 21, memory_mb=2000)
    )
    with environment.engine as engine:
        system = {"role": "system", "content": "Be kind. " * 21}
        prompts = [
            engine.template.tokens([system, {"role": "user", "content": text}]) for text in ("One?", "Two?", "Three?")
        ]
        kept = common_prefix(prompts[0], prompts[1])
        assert kept > WINDOW
        for number, prompt in enumerate(prompts):
            going = engine.generate(
                GenerationRequest(prompt, Sampling(temperature=0), max_tokens=4, scope=CacheScope(str(number)))
            )
            "".join(going)
            assert going.stats.completion_tokens > 0
            assert going.stats.cached_tokens >= kept - 1
