"""What is done before the snapshot so that the first request need not."""

import logging
from pathlib import Path

import pytest

from lambda_llm.engine.decoder import Decoder
from lambda_llm.engine.engine import Engine
from lambda_llm.engine.errors import ContextOverflowError, NonFiniteError, TemplateError
from lambda_llm.engine.guesses import Cost
from lambda_llm.gguf.options import Guess
from lambda_llm.inference import warm_up
from lambda_llm.inference.warm_up import warm_up_decoder, warm_up_encoder
from support.answers import EXPECTED, OpenEngine, generation, user
from support.encoders import ENCODERS, OpenEncoder
from support.models import damaged
from support.rewrite import rewrite
from support.templates import GEMMA_2, QWEN_3, source

SYSTEM = "You are a terse assistant for questions about AWS Lambda."


def test_a_conversation_begins_behind_the_system_prompt(engine: Engine) -> None:
    ready = warm_up_decoder(engine, [SYSTEM])
    assert ready == len(engine.decoder.evaluated)
    opening = engine.model.tokenize(SYSTEM, add_special=False)
    prompt = engine.template.tokens([{"role": "system", "content": SYSTEM}, user("What is a token?")])
    first = generation(engine, prompt=prompt, max_tokens=1)
    "".join(first)
    assert first.stats.cached_tokens >= len(opening)
    assert first.stats.cached_tokens < len(prompt)


def test_each_of_several_system_prompts_costs_nothing_whatever_came_before(engine: Engine) -> None:
    systems = [SYSTEM, "You count.", "You answer in one sentence, and you say nothing else."]
    warm_up_decoder(engine, systems)
    assert engine.prefixes.count == len(systems)
    for system in [*systems, *systems]:
        going = generation(
            engine, prompt=engine.template.tokens([{"role": "system", "content": system}, user("9 lives?")])
        )
        "".join(going)
        assert going.stats.cached_tokens >= len(engine.model.tokenize(system, add_special=False))


@pytest.mark.parametrize("name", [GEMMA_2, QWEN_3])
def test_a_system_prompt_is_kept_wherever_the_template_has_it(
    open_engine: OpenEngine, demo_model: Path, tmp_path: Path, name: str
) -> None:
    """Gemma has no system role, so the prompt is at the beginning of the user's turn."""
    engine = open_engine(rewrite(demo_model, tmp_path / "m.gguf", {"tokenizer.chat_template": source(name)}))
    warm_up_decoder(engine, [SYSTEM])
    engine.decoder.truncate(0)
    opening = engine.model.tokenize(SYSTEM, add_special=False)
    for later in ([], [{"role": "assistant", "content": "One."}, {"role": "developer", "content": "Two."}, user("?")]):
        prompt = engine.template.tokens([{"role": "system", "content": SYSTEM}, user("What is it?"), *later])
        first = generation(engine, prompt=prompt, max_tokens=1)
        "".join(first)
        assert len(opening) <= first.stats.cached_tokens < len(prompt)
        engine.decoder.truncate(0)


def test_without_a_system_prompt_the_template_s_own_beginning_is_ready(engine: Engine) -> None:
    warm_up_decoder(engine)
    first = generation(engine)
    assert EXPECTED in "".join(first)
    assert first.stats.cached_tokens > 0


def test_a_model_without_a_template_is_warmed_too(open_engine: OpenEngine, demo_model: Path, tmp_path: Path) -> None:
    engine = open_engine(rewrite(demo_model, tmp_path / "m.gguf", {"tokenizer.chat_template": None}))
    assert warm_up_decoder(engine) == len(engine.model.tokenize("Hello", add_special=True))


def test_a_system_prompt_that_can_t_be_used_fails_at_once(
    open_engine: OpenEngine, demo_model: Path, tmp_path: Path
) -> None:
    small = open_engine(context_length=64)
    with pytest.raises(ContextOverflowError, match="64 tokens"):
        warm_up_decoder(small, [SYSTEM * 20])
    # A template without a system role has the system prompt before the user's text; one that takes no text is refused.
    silent = open_engine(rewrite(demo_model, tmp_path / "m.gguf", {"tokenizer.chat_template": "Hello"}))
    for systems in ((), [SYSTEM]):
        with pytest.raises(TemplateError, match="leaves out what the user says: fix tokenizer"):
            warm_up_decoder(silent, systems)


def test_a_model_that_computes_no_numbers_is_refused(
    open_engine: OpenEngine, open_encoder: OpenEncoder, demo_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(NonFiniteError, match="numbers that are not finite"):
        warm_up_decoder(open_engine(damaged(demo_model, tmp_path / "m.gguf", float("nan"))))
    encoder = next(ENCODERS.glob("*.gguf"))
    broken = damaged(encoder, tmp_path / "e.gguf", float("nan"), "token_embd_norm.weight")
    with pytest.raises(NonFiniteError, match="numbers that are not finite"):
        warm_up_encoder(open_encoder(broken))


def test_constraints_are_ready(engine: Engine) -> None:
    """Otherwise the first one would take half a second, with a vocabulary of 128,000 tokens."""
    warm_up_decoder(engine)
    assert "trie" in vars(engine.decoder)


@pytest.mark.parametrize(
    ("guess", "cost", "expected", "told"),
    [
        (
            Guess.AUTO,
            Cost(0.03, 1.7),
            1.7,
            "tokens are guessed: one takes 30.0 ms, and 1.70 times as long with 3 guessed",
        ),
        (Guess.AUTO, Cost(0.03, 2.5), None, "tokens are not guessed: one takes 30.0 ms, and 2.50 times as long"),
        (Guess.AUTO, Cost(0.004, 1.7), None, "tokens are not guessed: one takes 4.0 ms"),
        (Guess.AUTO, None, None, "tokens are not guessed: this model's KV cache can't be cut"),
        (Guess.ON, None, 1.8, ""),
        (Guess.OFF, Cost(0.03, 1.7), None, ""),
    ],
)
def test_what_was_measured_says_whether_tokens_are_guessed(
    open_engine: OpenEngine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    guess: Guess,
    cost: Cost | None,
    expected: float | None,
    told: str,
) -> None:
    engine = open_engine(guess=guess)

    def measured(decoder: Decoder) -> Cost | None:
        assert decoder.lock.locked()
        assert guess is Guess.AUTO, "nobody asked for a measurement"
        return cost

    monkeypatch.setattr(warm_up, "measured", measured)
    with caplog.at_level(logging.INFO, "lambda_llm"):
        warm_up_decoder(engine)
    assert engine.decoder.guess_cost == expected
    assert told in caplog.text
    assert ("guessed" in caplog.text) is (guess is Guess.AUTO)


def test_the_tiny_demo_model_is_too_fast_for_guesses(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "lambda_llm"):
        ready = warm_up_decoder(engine)
    assert "tokens are not guessed: one takes " in caplog.text
    assert engine.decoder.guess_cost is None
    assert len(engine.decoder.evaluated) == ready
    assert EXPECTED in "".join(generation(engine))
