"""What stands in the open places of rows: features of their media, through the adapter that is trained.

Rows with several senses are shown with some of them missing now and then, so that what is learned does not
hang on all of them being there (Neverova et al. 2016, "ModDrop: adaptive multi-modal gesture recognition":
each modality dropped by a Bernoulli draw of its own). A dropped sense is left out of the prompt,
as it is where a question comes without it.

An adapter that supposes (`mmagent.supposing`) is taught each of its answers by the rows that have it: what it
supposes of them does not matter then, only how it is said. That is its part of the loss: with P(z | x) fitted
and kept, and other answers' words as good as never said for z,

    -log P(y | x) = -log sum_z P(z | x) P_core(y | z) = -log P(y | x) of the probe - log P_core(y | z = y)
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from mmagent.supposing import supposes
from mmagent.training.combined import Combined
from mmagent.training.several import Several, SeveralSeen

if TYPE_CHECKING:
    from mmagent.core.assemble import Row
    from mmagent.modality import Features
    from mmagent.training.rows import LearnRow

__all__ = ["Seen", "filled", "taught_apart", "with_fewer_senses"]


class Seen(Protocol):
    """The features of all media of a run, by number."""

    def batch(self, indices: Sequence[int]) -> Features:
        """Features of these media as one batch."""


def filled(
    seen: Seen, adapter: nn.Module, rows: Sequence[LearnRow], device: torch.device, *, taught: bool = False
) -> list[Row]:
    """Prompts with the adapter's prefixes in their open places, made on `device`.

    taught: where the adapter supposes, the prefix of a row's own answer, as far as it knows that.
    """
    of_senses = adapter.sense if isinstance(adapter, Combined) else adapter
    if not taught:
        return _filled(seen, of_senses, rows, device)
    known = [_as_taught(of_senses, row, device) for row in rows]
    rest = iter(
        _filled(seen, of_senses, [row for row, own in zip(rows, known, strict=True) if own is None], device)
    )
    return [row.filled(own) if own is not None else next(rest) for row, own in zip(rows, known, strict=True)]


def taught_apart(adapter: nn.Module) -> bool:
    """Whether each answer is taught apart from the others, as adapters that suppose are."""
    of_senses = adapter.sense if isinstance(adapter, Combined) else adapter
    return all(map(supposes, of_senses.adapters if isinstance(of_senses, Several) else [of_senses]))


def _as_taught(adapter: nn.Module, row: LearnRow, device: torch.device) -> list[Tensor] | None:
    """The prefixes (k, d_core) of a row's own answer; None where its adapters do not suppose, or not that."""
    found = []
    for place in range(len(row.media)):
        one = adapter.of(row.senses[place]) if isinstance(adapter, Several) else adapter
        if not supposes(one) or row.answer not in one.answers:
            return None
        found.append(one.said(torch.tensor([one.answers.index(row.answer)], device=device))[0])
    return found


def _filled(seen: Seen, adapter: nn.Module, rows: Sequence[LearnRow], device: torch.device) -> list[Row]:
    numbers = [number for row in rows for number in row.media]
    if not numbers:
        return [row.filled([]) for row in rows]
    if isinstance(adapter, Several):
        assert isinstance(seen, SeveralSeen)
        made = adapter.prefixes(seen, rows, device)
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
