"""Evaluate the demo encoders, through llama.cpp, on held-out questions."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lambda_llm.engine.encoder import Encoder, Pooling, Rows
from lambda_llm.engine.engine import Engine
from scripts.models.demo_model.corpus import Entry
from scripts.models.opening import ONE_THREAD, open_engine

_Answer = tuple[str, str, str]
"""Question, expected answer, actual answer."""


def opened(path: Path) -> Engine:
    """Open a file for evaluation."""
    return open_engine(path, replace(ONE_THREAD, context_length=128))


def examine(path: Path, entries: Sequence[Entry]) -> tuple[int, list[str]]:
    """Return the number of held-out questions, and those answered wrong, each with the wrong answer.

    An embedding is right when the nearest trained question is one of the same entry; a class when it is the entry's
    topic; a reranking when the entry's own answer ranks first.
    """
    with opened(path) as engine:
        encoder = engine.encoder
        asks: Callable[[], list[_Answer]] = {
            Pooling.MEAN: lambda: _nearest(encoder, entries),
            Pooling.RANK: lambda: _classes(encoder, entries) if encoder.labels else _answers(encoder, entries),
        }[encoder.pooling]
        answers = asks()
    return len(answers), [f"{asked} -> {found}" for asked, expected, found in answers if found != expected]


def _nearest(encoder: Encoder, entries: Sequence[Entry]) -> list[_Answer]:
    known = [(entry.id, question) for entry in entries for question in entry.ask]
    vectors = _vectors(encoder, [question for _, question in known])
    found = (_vectors(encoder, [entry.held_out for entry in entries]) @ vectors.T).argmax(axis=1)
    return [(entry.held_out, entry.id, known[index][0]) for entry, index in zip(entries, found, strict=True)]


def _classes(encoder: Encoder, entries: Sequence[Entry]) -> list[_Answer]:
    scores = _rows(encoder, [entry.held_out for entry in entries])
    found = [encoder.labels[row.argmax()] for row in scores]
    return [(entry.held_out, entry.topic, label) for entry, label in zip(entries, found, strict=True)]


def _answers(encoder: Encoder, entries: Sequence[Entry]) -> list[_Answer]:
    fit = [entry for entry in entries if entry.grade != "long"]  # stories are longer than the model's context
    answers = []
    for entry in fit:
        scores = encoder.encode([encoder.pairing(entry.held_out)(other.answer, "the answer") for other in fit])[:, 0]
        answers.append((entry.held_out, entry.id, fit[scores.argmax()].id))
    return answers


def _rows(encoder: Encoder, texts: Sequence[str]) -> Rows:
    return encoder.encode([encoder.model.tokenize(text, add_special=True) for text in texts])


def _vectors(encoder: Encoder, texts: Sequence[str]) -> Rows:
    rows = _rows(encoder, texts)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows
