"""A metric on n rows that can be asked again for any draw of those rows, many draws at a time.

That is all the bootstrap needs: what is a mean, what is a ratio of sums and what is neither go the same way,
without a loop over resamples. No matrix product is used, so a number is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmagent.errors import UserError

__all__ = ["Floats", "Method", "Metric", "Rows", "counted", "mean"]

Rows = NDArray[np.intp]
"""Row numbers (b, m): b draws of m rows each."""
Floats = NDArray[np.float64]
Method = Literal["bca", "basic"]


@dataclass(frozen=True, eq=False)
class Metric:
    """A metric of n rows; `value()` is the number itself. Raises UserError when there are no rows."""

    n: int
    on: Callable[[Rows], Floats]
    """The metric on draws of rows: (b, m) row numbers -> (b,)."""
    method: Method = "bca"
    """The bootstrap interval that suits it (see `mmagent.evaluation.intervals`)."""
    least: float = -np.inf
    """The lowest value it can take; no interval goes below."""
    values: Floats | None = None
    """(n,) the rows' own values where the metric is their mean, else None."""

    def __post_init__(self) -> None:
        if self.n < 1:
            raise UserError("there are no rows to measure. A metric needs at least one answered row.")

    def value(self) -> float:
        """The metric on all rows as they are."""
        return float(self.on(np.arange(self.n, dtype=np.intp)[None])[0])


def mean(values: ArrayLike) -> Metric:
    """The mean of one value per row (n,), such as 1 for right and 0 for wrong."""
    rows = np.array(values, dtype=np.float64)
    return Metric(len(rows), lambda draws: np.asarray(rows[draws].mean(axis=1)), values=rows)


def counted(ids: NDArray[np.intp], size: int, weights: Floats | None = None) -> Floats:
    """How often each id below `size` stands in each draw, or the sum of its weights: (b, m) -> (b, size)."""
    shifted = (ids + size * np.arange(len(ids), dtype=np.intp)[:, None]).ravel()
    flat = None if weights is None else weights.ravel()
    return np.bincount(shifted, flat, len(ids) * size).reshape(len(ids), size).astype(np.float64)


def same_length(**columns: Sequence[object] | NDArray[np.generic]) -> int:
    """The common length of some columns. Raises UserError naming the lengths when they differ."""
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{n} of {name}" for name, n in lengths.items())
        raise UserError(f"there must be one of each per row, but there are {found}.")
    return next(iter(lengths.values()))
