"""Which rows make which step: a function of seed and step alone, so that any step can be taken up again.

Rows of like length go together, so that little of a batch is padding; which rows and in which order is drawn
anew in every epoch. Where a step's rows are of unlike lengths all the same (few rows, or a few very long
ones), they are read in several passes, so that padding stays below `PADDING` whatever the data are.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Order", "passes", "rate_share"]

PADDING = 0.12  # of the positions of a pass, at most
POOL = 16  # batches among which rows are sorted by length: enough to match, few enough to stay mixed


@dataclass
class Order:
    """The rows of every step.

    lengths      tokens of each row, prompt and target together
    batch_size   rows per step; the last step of an epoch may have fewer
    """

    lengths: Sequence[int]
    batch_size: int
    seed: int
    _last: tuple[int, list[list[int]]] = field(default=(-1, []), repr=False)

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which every row is seen once."""
        return math.ceil(len(self.lengths) / self.batch_size)

    def steps(self, epochs: float) -> int:
        """Steps in so many epochs, at least one."""
        return max(1, round(epochs * self.steps_per_epoch))

    def rows(self, step: int) -> list[int]:
        """Rows of step number `step`, counted from 0 over all epochs."""
        epoch, within = divmod(step, self.steps_per_epoch)
        if self._last[0] != epoch:
            self._last = epoch, self._epoch(epoch)
        return self._last[1][within]

    def _epoch(self, epoch: int) -> list[list[int]]:
        rng = random.Random(f"order {self.seed} {epoch}")
        rows = list(range(len(self.lengths)))
        rng.shuffle(rows)
        size, batches = self.batch_size, []
        for start in range(0, len(rows), POOL * size):
            pool = sorted(rows[start : start + POOL * size], key=lambda row: self.lengths[row])
            batches += [pool[at : at + size] for at in range(0, len(pool), size)]
        short = [batch for batch in batches if len(batch) < size]  # at most one: only the last pool is uneven
        full = [batch for batch in batches if len(batch) == size]
        rng.shuffle(full)
        return full + short

    def examples(self, first: int, last: int) -> int:
        """Rows of the steps from `first` up to but not including `last`."""
        ends = last // self.steps_per_epoch - first // self.steps_per_epoch
        short = self.steps_per_epoch * self.batch_size - len(self.lengths)  # what an epoch's last step lacks
        return (last - first) * self.batch_size - ends * short

    def waste(self, accumulate: int = 1) -> float:
        """Share of the first epoch's positions that are padding, 0 to 1, in one process."""
        taken = 0
        for batch in self._epoch(0):
            own = [self.lengths[row] for row in batch]
            taken += sum(len(part) * max(own[at] for at in part) for part in passes(own, accumulate))
        return 1 - sum(self.lengths) / taken


def passes(lengths: Sequence[int], accumulate: int = 1) -> list[list[int]]:
    """A step's rows, by their places, in passes of like length: at least `accumulate` where there are rows.

    One empty pass where there is no row.
    """
    most = math.ceil(len(lengths) / accumulate)
    found: list[list[int]] = [[]]
    filled = 0
    for at in sorted(range(len(lengths)), key=lengths.__getitem__):
        length, rows = lengths[at], len(found[-1])
        if rows and (rows == most or filled + length < (1 - PADDING) * length * (rows + 1)):
            found.append([])
            filled = 0
        found[-1].append(at)
        filled += length
    return found


def rate_share(step: int, steps: int, warmup: float) -> float:
    """The learning rate's share of its peak in a step: a straight rise, then a cosine to nothing.

    The rise takes `warmup` of all steps; the last step is above nothing (Loshchilov and Hutter 2017).
    """
    rise = warmup * steps
    if step < rise:
        return (step + 1) / (rise + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1.0, steps - rise)))
