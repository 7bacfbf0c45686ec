"""The shot memory as a baseline: the training rows vote for their answers, and nothing is trained.

What the memory family of adapters keeps in a bundle, without a core to speak against and without rows to
choose by: features standardised by the training rows, the mean vote exp(beta cosine) of each answer, and the
power by which these means become probabilities (Tip-Adapter, Zhang et al. 2022, eq. 4-6).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmagent.evaluation.baselines import Predictions, checked, log_softmax, standardised, unit
from mmagent.evaluation.metric import Floats

__all__ = ["NAME", "shot_votes"]

NAME = "shot memory (training-free)"
BETAS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
POWERS = tuple(2.0**k for k in range(8))
SAMPLE = 2000  # training rows that choose beta and power
ROWS = 1024  # whose votes are counted at once
FLOOR = 1e-30


def shot_votes(train_x: ArrayLike, train_y: Sequence[str], test_x: ArrayLike) -> Predictions:
    """The answer with the greatest mean vote of the training rows.

    beta and the power are those under which the training rows are likeliest, no row voting on itself (of more
    than 2,000 rows, every so many-th is asked). Raises UserError where there are no training rows.
    """
    train, y, labels, test = checked(train_x, train_y, test_x)
    train, test = standardised(train, test)
    train, test = unit(train), unit(test)
    beta, power = _sharpness(train, y, len(labels))
    logs = [_mean_logs(test[at : at + ROWS], train, y, len(labels), beta) for at in range(0, len(test), ROWS)]
    found = log_softmax(power * np.concatenate(logs)) if logs else np.zeros((0, len(labels)))
    note = f"cosine on standardised features, beta {beta:g}, power {power:g}, chosen inside the training rows"
    return Predictions(NAME, labels, np.exp(found), note)


def _sharpness(train: Floats, y: NDArray[np.intp], n_labels: int) -> tuple[float, float]:
    """beta and power, chosen by the rows whose answer has others, held against these; (8, 4) without any."""
    has_kin = np.flatnonzero(np.bincount(y, minlength=n_labels)[y] > 1)
    asked = has_kin[:: max(1, -(-len(has_kin) // SAMPLE))]
    if not len(asked) or n_labels == 1:
        return 8.0, 4.0
    best = (-np.inf, 8.0, 4.0)
    for beta in BETAS:
        logs = np.concatenate(
            [
                _mean_logs(train[part], train, y, n_labels, beta, without=part)
                for part in np.array_split(asked, -(-len(asked) // ROWS))
            ]
        )
        for power in POWERS:
            likely = float(log_softmax(power * logs)[np.arange(len(asked)), y[asked]].mean())
            best = max(best, (likely, beta, power), key=lambda one: one[0])
    return best[1], best[2]


def _mean_logs(
    queries: Floats,
    train: Floats,
    y: NDArray[np.intp],
    n_labels: int,
    beta: float,
    without: NDArray[np.intp] | None = None,
) -> Floats:
    """(n, C) logarithm of each answer's mean vote; `without` gives each query's own row, which has none."""
    votes = np.exp(beta * (queries @ train.T - 1.0))  # (n, N)
    counts = np.tile(np.bincount(y, minlength=n_labels).astype(float), (len(queries), 1))
    if without is not None:
        rows = np.arange(len(queries))
        votes[rows, without] = 0.0
        counts[rows, y[without]] -= 1.0
    sums = votes @ np.eye(n_labels)[y]
    return np.asarray(np.log(np.maximum(sums / np.maximum(counts, 1.0), FLOOR)))
