"""Encoders: texts to rows of numbers that mean something."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lambda_llm.engine.cancellation import Cancellation, CancelledError
from lambda_llm.engine.encoder import Encoder, Pooling
from lambda_llm.engine.errors import EngineError, InputTooLongError, NotGenerativeError
from lambda_llm.engine.generate import GenerationRequest
from lambda_llm.engine.weight_order import weights_in_order
from scripts.models.demo_encoder.examination import examine
from scripts.models.opening import ONE_THREAD, open_engine
from support.encoders import CONTEXT, ENCODERS, ENTRIES, OpenEncoder
from support.rewrite import rewrite


def rows(encoder: Encoder, *texts: str) -> np.ndarray:
    with encoder.lock:
        return encoder.encode([encoder.model.tokenize(text, add_special=True) for text in texts])


@pytest.mark.parametrize(
    ("name", "pooling", "outputs", "labels"),
    [
        ("embeddings", Pooling.MEAN, 128, ()),
        ("classifier", Pooling.RANK, 9, tuple(sorted({entry.topic for entry in ENTRIES}))),
        ("reranker", Pooling.RANK, 1, ()),
    ],
)
def test_the_file_says_what_an_encoder_is_for(
    open_encoder: OpenEncoder, name: str, pooling: Pooling, outputs: int, labels: tuple[str, ...]
) -> None:
    encoder = open_encoder(name).encoder
    assert (encoder.pooling, encoder.outputs, encoder.labels) == (pooling, outputs, labels)


@pytest.mark.parametrize(("name", "share"), [("embeddings", 0.9), ("classifier", 0.9), ("reranker", 0.75)])
def test_questions_that_were_not_trained_are_understood(name: str, share: float) -> None:
    asked, wrong = examine(ENCODERS / f"{name}.gguf", ENTRIES)
    assert asked > 100
    assert 1 - len(wrong) / asked >= share, wrong


def test_what_means_the_same_is_nearer_than_what_looks_alike(open_encoder: OpenEncoder) -> None:
    same = rows(
        open_encoder("embeddings").encoder,
        "How much RAM is there?",
        "What memory does the function have?",
        "How many CPUs?",
    )
    same /= np.linalg.norm(same, axis=1, keepdims=True)
    assert same[0] @ same[1] > same[0] @ same[2] + 0.2


@pytest.mark.parametrize("name", ["embeddings", "classifier"])
def test_texts_together_say_what_each_says_alone(open_encoder: OpenEncoder, name: str) -> None:
    encoder = open_encoder(name).encoder
    texts = [entry.held_out for entry in ENTRIES]
    together = rows(encoder, *texts)
    alone = np.concatenate([rows(encoder, text) for text in texts])
    # Sums of quantized numbers come out a little different in another order; a row of another text would by far.
    assert np.abs(together - alone).max() < 0.02 * np.abs(alone).max()
    assert together.shape == (len(texts), encoder.outputs)


def test_nothing_makes_no_rows(open_encoder: OpenEncoder) -> None:
    assert rows(open_encoder("embeddings").encoder).shape == (0, 128)


def test_a_text_as_long_as_the_context_fits_and_one_token_more_is_refused(open_encoder: OpenEncoder) -> None:
    encoder = open_encoder("embeddings").encoder
    assert np.isfinite(encoder.encode([[7] * CONTEXT])).all()
    with pytest.raises(InputTooLongError, match="context length is 128 tokens, but text 1 has 129"):
        encoder.encode([[7], [7] * (CONTEXT + 1)])


def test_a_pair_is_separated_as_bert_reads_it(open_encoder: OpenEncoder) -> None:
    encoder = open_encoder("reranker").encoder
    cls, sep = encoder.model.tokenize("", add_special=True)
    question, answer = (encoder.model.tokenize(text, add_special=False) for text in ("How large?", "10 MB."))
    assert encoder.pairing("How large?")("10 MB.", "it") == [cls, *question, sep, *answer, sep]


def test_what_is_written_in_a_text_is_no_control_token(open_encoder: OpenEncoder) -> None:
    encoder = open_encoder("reranker").encoder
    sep = encoder.model.tokenize("", add_special=True)[1]
    assert encoder.pairing("[SEP]")("[SEP]", "it").count(sep) == 2


def test_a_template_for_pairs_has_control_tokens_and_what_is_written_into_it_has_none(
    open_encoder: OpenEncoder, tmp_path: Path
) -> None:
    template = {"tokenizer.chat_template.rerank": "[CLS] {query} [SEP] {document} [SEP]"}
    encoder = open_encoder(rewrite(ENCODERS / "reranker.gguf", tmp_path / "m.gguf", template)).encoder
    cls, sep = encoder.model.tokenize("", add_special=True)
    for query, document in (("How large?", "10 MB."), ("[SEP]", "{query}"), ("{document}", "How [CLS]?")):
        one, other = (
            encoder.model.tokenize(text, add_special=False, parse_special=False) for text in (query, document)
        )
        tokens = encoder.pairing(query)(document, "it")
        assert tokens == [cls, *one, sep, *other, sep]


def test_an_encoding_can_be_cancelled(open_encoder: OpenEncoder) -> None:
    encoder = open_encoder("embeddings").encoder
    left = Cancellation()
    left.cancel()
    with pytest.raises(CancelledError):
        encoder.encode([[7] * CONTEXT], left)
    assert np.isfinite(encoder.encode([[7] * CONTEXT])).all()


def test_a_file_that_says_nothing_of_pooling_has_no_rows(open_encoder: OpenEncoder, tmp_path: Path) -> None:
    silent = rewrite(ENCODERS / "embeddings.gguf", tmp_path / "silent.gguf", {"bert.pooling_type": None})
    with pytest.raises(EngineError, match="names no pooling, so its token embeddings can't become one"):
        rows(open_encoder(silent).encoder, "Hello")


def test_a_decoder_that_embeds_has_a_cache_to_forget(demo_model: Path, tmp_path: Path) -> None:
    """Models such as Qwen3-Embedding are decoders whose last token's state is the vector."""
    decoder = rewrite(demo_model, tmp_path / "last.gguf", {"llama.pooling_type": 3})
    with open_engine(decoder, replace(ONE_THREAD, context_length=256)) as engine:
        encoder = engine.encoder
        assert encoder.pooling is Pooling.LAST
        texts = [entry.held_out for entry in ENTRIES[:40]]
        again = np.concatenate([rows(encoder, text) for text in texts])
        assert np.abs(rows(encoder, *texts) - again).max() < 0.05 * np.abs(again).max()


def test_an_encoder_generates_nothing(open_encoder: OpenEncoder) -> None:
    engine = open_encoder("embeddings")
    with pytest.raises(NotGenerativeError, match="is an encoder and can't generate text: use /v1/embeddings"):
        engine.generate(GenerationRequest([1]))
    with pytest.raises(NotGenerativeError):
        _ = engine.prefixes


def test_the_order_of_its_weights_ends_with_the_classes(open_encoder: OpenEncoder) -> None:
    with_classes, without = (weights_in_order(open_encoder(name).encoder) for name in ("classifier", "embeddings"))
    assert len(with_classes) == len(without) + 4
