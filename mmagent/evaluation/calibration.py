"""Whether confidence means what it says: expected calibration error, reliability diagram, Brier score.

Confidence is the probability, 0 to 1, that the answer given is right; correctness is 0 or 1, or a share
between them where an answer can be partly right.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmagent.errors import UserError
from mmagent.evaluation.metric import Floats, Metric, Rows, counted, mean, same_length

__all__ = ["BINS", "ReliabilityPoint", "brier", "calibration_error", "reliability"]

BINS = 10
"""Equal-width bins unless told otherwise: small test sets leave few rows to a bin. Guo et al. tabulate 15."""


@dataclass(frozen=True)
class ReliabilityPoint:
    """One bin of a reliability diagram (Guo et al. 2017, fig. 1): confidences in (low, high]."""

    low: float
    high: float
    n: int
    confidence: float
    """Mean confidence of the bin's rows."""
    correct: float
    """Share of them that is right."""

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


def calibration_error(confidence: ArrayLike, correct: ArrayLike, bins: int = BINS) -> Metric:
    """Expected calibration error: sum over bins of n_b / n |right_b - confidence_b| (Guo et al. 2017, eq. 3).

    Bins are of equal width and hold their upper edge (eq. 1); 0 is in the first. The figure is never below
    zero and chance adds to it, the more the fewer the rows. Its interval allows for most of that ("basic"),
    not for all: with 20 rows to a bin it holds the truth in about 8 of 10 trials.
    """
    sure, right, of = _binned(confidence, correct, bins)
    gap = right - sure

    def on(draws: Rows) -> Floats:
        return np.asarray(np.abs(counted(of[draws], bins, gap[draws])).sum(axis=1) / draws.shape[1])

    return Metric(len(sure), on, "basic", least=0.0)


def reliability(confidence: ArrayLike, correct: ArrayLike, bins: int = BINS) -> list[ReliabilityPoint]:
    """The points of the reliability diagram, least confident first; empty bins are left out."""
    sure, right, of = _binned(confidence, correct, bins)
    inside = [(b, of == b) for b in range(bins)]
    return [
        ReliabilityPoint(
            b / bins, (b + 1) / bins, int(rows.sum()), float(sure[rows].mean()), float(right[rows].mean())
        )
        for b, rows in inside
        if rows.any()
    ]


def brier(confidence: ArrayLike, correct: ArrayLike) -> Metric:
    """Mean squared distance of confidence and correctness (Brier 1950, for the one event "it is right")."""
    sure, right, _ = _binned(confidence, correct, 1)
    return mean((sure - right) ** 2)


def _binned(confidence: ArrayLike, correct: ArrayLike, bins: int) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Both columns as floats, and each row's bin. Raises UserError for what is no probability."""
    if bins < 1:
        raise UserError(f"{bins} bins hold nothing; there must be at least 1.")
    sure, right = np.array(confidence, dtype=np.float64), np.array(correct, dtype=np.float64)
    same_length(confidence=sure, correct=right)
    for name, column in (("confidence", sure), ("correctness", right)):
        wrong = ~((column >= 0.0) & (column <= 1.0))
        if wrong.any():
            at = int(wrong.argmax())
            raise UserError(f"row {at + 1} has a {name} of {column[at]:g}; it must lie between 0 and 1.")
    edges = np.arange(1, bins) / bins  # not multiplied by the width: 0.7 * 10 is above 7
    return sure, right, np.searchsorted(edges, sure, side="left").astype(np.intp)
