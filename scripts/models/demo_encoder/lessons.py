"""What each of the three encoders learns: which texts mean the same, what a question is about, which answer fits."""

import random
from collections.abc import Sequence
from typing import Final

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from scripts.models.demo_encoder.network import Parameters, Shape, embeddings, hidden, scores
from scripts.models.demo_model.corpus import Entry, Teacher

_TEMPERATURE: Final = 0.07
_DROPOUT: Final = 0.1
_LENGTH: Final = 44
"""Tokens after which a lesson is cut: only stories are longer, and they would make every batch as long."""
_DOCUMENTS: Final = 8
"""Answers among which a question must find its own; one of them is."""


class Lessons:
    """Draws batches and says how wrong the network is about them."""

    def __init__(self, entries: Sequence[Entry], tokenizer: Tokenizer, shape: Shape, seed: int) -> None:
        self.labels = sorted({entry.topic for entry in entries})
        self._entries = entries
        self._tokenizer = tokenizer
        self._shape = shape
        self._random = random.Random(seed)  # noqa: S311 - reproducible, not secret
        self._teacher = Teacher(seed)

    def batch(self, texts: Sequence[str | tuple[str, str]]) -> tuple[Tensor, Tensor]:
        """Returns ids and where they are, each (texts, length); a pair is what a reranker reads."""
        rows = [encoding.ids[:_LENGTH] for encoding in self._tokenizer.encode_batch(list(texts))]
        length = max(map(len, rows))
        ids = torch.tensor([row + [0] * (length - len(row)) for row in rows])
        return ids, torch.tensor([[True] * len(row) + [False] * (length - len(row)) for row in rows])

    def similarity(self, parameters: Parameters) -> Tensor:
        """Texts of one entry are alike, its answer among them, and those of two entries are not."""
        drawn = self._random.sample(list(self._entries), 48)
        pairs = [(self._teacher.question(entry), self._other(entry)) for entry in drawn]
        ids, there = self.batch([text for pair in zip(*pairs, strict=True) for text in pair])
        vectors = embeddings(hidden(parameters, self._shape, ids, there, _DROPOUT), there)
        first, second = vectors.chunk(2)
        alike = first @ second.T / _TEMPERATURE
        own = torch.arange(len(drawn))
        return (functional.cross_entropy(alike, own) + functional.cross_entropy(alike.T, own)) / 2

    def topic(self, parameters: Parameters) -> Tensor:
        """A question belongs to its entry's topic."""
        drawn = self._random.choices(self._entries, k=64)
        ids, there = self.batch([self._teacher.question(entry) for entry in drawn])
        said = scores(parameters, hidden(parameters, self._shape, ids, there, _DROPOUT))
        own = torch.tensor([self.labels.index(entry.topic) for entry in drawn])
        return functional.cross_entropy(said, own, label_smoothing=0.05)

    def relevance(self, parameters: Parameters) -> Tensor:
        """A question's own answer is relevant, and no other."""
        drawn = self._random.sample(list(self._entries), 12)
        pairs = []
        for entry in drawn:
            same_topic = [other for other in self._entries if other.topic == entry.topic and other.id != entry.id]
            near = self._random.sample(same_topic, min(3, len(same_topic)))
            others = [other for other in self._random.sample(list(self._entries), _DOCUMENTS + 4) if other not in near]
            rest = [other for other in others if other.id != entry.id][: _DOCUMENTS - 1 - len(near)]
            question = self._teacher.question(entry)
            pairs += [(question, other.answer) for other in (entry, *near, *rest)]
        ids, there = self.batch(pairs)
        said = scores(parameters, hidden(parameters, self._shape, ids, there, _DROPOUT)).view(len(drawn), -1)
        own = torch.zeros(len(drawn), dtype=torch.long)
        right = torch.zeros_like(said)
        right[:, 0] = 1
        return functional.cross_entropy(said, own) + functional.binary_cross_entropy_with_logits(said, right)

    def _other(self, entry: Entry) -> str:
        return entry.answer if self._random.random() < 0.3 else self._teacher.question(entry)  # noqa: PLR2004 - a share
