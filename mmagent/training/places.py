"""What stands in the open places of rows: features of their media, through the adapter that is trained.

Rows with several senses are shown with some of them missing now and then, so that what is learned does not
hang on all of them being there (Neverova et al. 2016, "ModDrop: adaptive multi-modal gesture recognition":
each modality dropped by a Bernoulli draw of its own). A dropped sense is left out of the prompt,
as it is where a question comes without it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import nn

from mmagent.training.combined import Combined
from mmagent.training.several import Several, SeveralSeen

if TYPE_CHECKING:
    from mmagent.core.assemble import Row
    from mmagent.modality import Features
    from mmagent.training.rows import LearnRow

__all__ = ["Seen", "filled", "with_fewer_senses"]


class Seen(Protocol):
    """The features of all media of a run, by number."""

    def batch(self, indices: Sequence[int]) -> Features:
        """Features of these media as one batch."""


def filled(seen: Seen, adapter: nn.Module, rows: Sequence[LearnRow], device: torch.device) -> list[Row]:
    """Prompts with the adapter's prefixes in their open places, made on `device`."""
    numbers = [number for row in rows for number in row.media]
    if not numbers:
        return [row.filled([]) for row in rows]
    of_senses = adapter.sense if isinstance(adapter, Combined) else adapter
    if isinstance(of_senses, Several):
        assert isinstance(seen, SeveralSeen)
        made = of_senses.prefixes(seen, rows, device)
        return [row.filled(prefixes) for row, prefixes in zip(rows, made, strict=True)]
    features = seen.batch(numbers)
    prefixes = iter(
        adapter(features.values.to(device), features.mask.to(device), features.pooled.to(device))
    )  # (N, k, d_core)
    return [row.filled([next(prefixes) for _ in row.media]) for row in rows]


def with_fewer_senses(rows: Sequence[LearnRow], share: float, seed: int) -> list[LearnRow]:
    """Rows as one step shows them: each sense of a row dropped with the chance `share`, one always left.

    Rows of one sense stay as they are. The same seed drops the same.
    """
    if share == 0 or not any(row.views for row in rows):
        return list(rows)
    rng = random.Random(seed)
    return [_fewer(row, share, rng) for row in rows]


def _fewer(row: LearnRow, share: float, rng: random.Random) -> LearnRow:
    if not row.views:
        return row
    senses = sorted(set(row.senses))
    kept: set[str] = set()
    while not kept:
        kept = {name for name in senses if rng.random() >= share}
    return next((view for view in row.views if set(view.senses) == kept), row)
