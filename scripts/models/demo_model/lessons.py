"""Batches for training: conversations of like length side by side, so that little is padding."""

from collections.abc import Iterator
from typing import Final

import torch

from scripts.models.demo_model.corpus import Teacher
from scripts.models.demo_model.network import IGNORED, Batch
from scripts.models.demo_model.tokens import Encoder

_POOL: Final = 256
"""Conversations that are drawn at a time and sorted by length."""


def batches(teacher: Teacher, encoder: Encoder, *, tokens: int, context: int) -> Iterator[Batch]:
    """Yields batches of about `tokens` tokens without end, in no order of length.

    Args:
        teacher: Source of conversations.
        encoder: Makes ids of them.
        tokens: Size of a batch, padding included.
        context: Longest conversation; a longer one is cut.
    """
    generator = torch.Generator().manual_seed(0)
    while True:
        pool = sorted((encoder.encode(teacher.conversation()) for _ in range(_POOL)), key=lambda item: len(item[0]))
        groups: list[list[tuple[list[int], list[bool]]]] = [[]]
        for item in pool:
            if groups[-1] and (len(groups[-1]) + 1) * len(item[0]) > tokens:
                groups.append([])
            groups[-1].append(item)
        for index in torch.randperm(len(groups), generator=generator).tolist():
            yield _batch(groups[index], context)


def _batch(items: list[tuple[list[int], list[bool]]], context: int) -> Batch:
    length = min(max(len(ids) for ids, _ in items), context)
    rows = torch.zeros(len(items), length, dtype=torch.long)
    targets = torch.full((len(items), length), IGNORED)
    for row, (ids, taught) in enumerate(items):
        kept = torch.tensor(ids[:length])
        rows[row, : len(kept)] = kept
        # Each position learns the id after it; attention is causal, so padding at the end harms nothing.
        following = torch.where(torch.tensor(taught[:length]), kept, IGNORED)[1:]
        targets[row, : len(following)] = following
    return rows, targets
