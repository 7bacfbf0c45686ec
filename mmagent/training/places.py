"""What stands in the open places of rows: features of their media, through the adapter that is trained.

Rows with several senses are shown with some of them missing now and then, so that what is learned does not
hang on all of them being there (Neverova et al. 2016, "ModDrop: adaptive multi-modal gesture recognition":
each modality dropped by a Bernoulli draw of its own). A dropped sense is left out of the prompt,
as it is where a question comes without it.

An adapter that supposes (`mmagent.supposing`) learns how its answers are said, not which of them is right:
P(z | x) is fitted and stays, and as long as no answer is said in the place of another,

    -log P(y | x) = -log sum_z P(z | x) P_core(y | z) = -log P(z = y | x) - log P_core(y | z = y)

The last term hangs on the question and on z. So a row teaches an answer that is drawn for it, all of them as
often: one that is rare among the rows is learned as well as any, and none is learned from its questions.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, cast

import torch
from torch import Tensor, nn

from mmagent.supposing import supposes
from mmagent.training.combined import Combined
from mmagent.training.several import Several, SeveralSeen

if TYPE_CHECKING:
    from mmagent.core.assemble import Row
    from mmagent.modality import Features
    from mmagent.supposing import Supposing
    from mmagent.training.rows import LearnRow

__all__ = ["Seen", "filled", "with_answers_drawn", "with_fewer_senses"]


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


def with_answers_drawn(rows: Sequence[LearnRow], adapter: nn.Module, seed: int) -> list[LearnRow]:
    """Rows with an answer drawn in the place of their own, where adapters suppose that; the same for a seed.

    All answers come as often, or of a row with choices one of these. A row stays that would be too long.
    """
    of_senses = adapter.sense if isinstance(adapter, Combined) else adapter
    rng = random.Random(seed)
    decks: dict[tuple[str, ...], list[str]] = {}
    drawn = []
    for row in rows:
        known = _known(of_senses, row)
        offered = tuple(answer for answer in known if answer in row.offered) if row.offered else known
        if offered:
            deck = decks.setdefault(offered, [])
            if not deck:
                deck += rng.sample(offered, len(offered))
            row = row.saying(deck.pop())
        drawn.append(row)
    return drawn


def _known(adapter: nn.Module, row: LearnRow) -> tuple[str, ...]:
    """The answers that the adapters of all of a row's media suppose, its own among them; else none."""
    senses = set(row.senses) if isinstance(adapter, Several) else ([""] if row.media else [])
    each = [adapter.of(name) if isinstance(adapter, Several) else adapter for name in senses]
    known = {tuple(one.answers) if supposes(one) else () for one in each}
    answers = known.pop() if len(known) == 1 else ()
    return answers if row.answer in answers else ()


def _as_taught(adapter: nn.Module, row: LearnRow, device: torch.device) -> list[Tensor] | None:
    """The prefixes (k, d_core) of a row's own answer; None where its adapters do not suppose that."""
    known = _known(adapter, row)
    if not known:
        return None
    place = torch.tensor([known.index(row.answer)], device=device)
    each = [adapter.of(name) if isinstance(adapter, Several) else adapter for name in row.senses]
    return [cast("Supposing", one).said(place)[0] for one in each]


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
