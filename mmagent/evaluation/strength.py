"""How strong a fit should be: held-out likelihoods of a linear probe along a path of strengths.

The optimum of an L2 fit does not change when features are turned, so they are turned into their principal
axes once, with no more axes than rows. There each axis is scaled by its own curvature, a diagonal
preconditioner in the manner of Böhning (1992, "Multinomial logistic regression algorithm"), and L-BFGS needs
a third of the passes over the data, each in float32. A fit starts from the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmagent.evaluation.metric import Floats

__all__ = ["held_out"]

SMALL = 1e-6  # of the largest: axes of less variance say nothing in float32
CURVATURE = 0.1  # of 1 / classes: what a softmax that is fairly sure has left on average
GAIN = 1e-4  # relative gain of a step after which a fit is done; what is held out moves in the third digit
MOST_STEPS = 200

Singles = NDArray[np.float32]


def held_out(
    train: Floats,
    y: NDArray[np.intp],
    test: Floats,
    wanted: NDArray[np.intp],
    n_labels: int,
    c: Sequence[float],
) -> Floats:
    """(len(c),) the summed log-likelihood of test rows' classes under the fit of each strength C.

    train, test  standardised features (N, d) and (n, d);  y, wanted  classes by number, 0 to n_labels - 1
    """
    from scipy.optimize import minimize

    turned, variance, turned_test = _turned(train, test)
    n = len(turned)
    weights = np.zeros((len(variance), n_labels))
    bias = np.zeros(n_labels)
    out = []
    for strength in c:
        penalty = 1 / (strength * n)
        scale = 1 / np.sqrt(CURVATURE / n_labels * variance + penalty)
        loss = _loss(turned * scale.astype(np.float32), y, n_labels, penalty * scale**2)
        start = np.vstack([weights / scale[:, None], bias])
        options = {"maxiter": MOST_STEPS, "ftol": GAIN, "gtol": 1e-6}
        found: Any = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=options)
        fitted = found.x.reshape(-1, n_labels)
        weights, bias = fitted[:-1] * scale[:, None], fitted[-1]
        scores = turned_test @ weights.astype(np.float32) + bias
        top = scores.max(axis=1)
        whole = top + np.log(np.exp(scores - top[:, None]).sum(axis=1))
        likely = scores[np.arange(len(wanted)), wanted] - whole
        out.append(float(np.maximum(likely, np.log(1e-12)).sum()))
    return np.array(out)


def _turned(train: Floats, test: Floats) -> tuple[Singles, Floats, Singles]:
    """Train rows along their principal axes (N, r), the mean square of each axis (r,), test rows (n, r)."""
    rows, others = train.astype(np.float32), test.astype(np.float32)
    wide = rows.shape[1] > len(rows)
    values, vectors = np.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
    kept = values > SMALL * max(float(values[-1]), 1e-30)
    values, vectors = values[kept], vectors[:, kept]
    if wide:
        axes = rows.T @ (vectors / np.sqrt(values))  # (d, r)
        return vectors * np.sqrt(values), values.astype(np.float64) / len(rows), others @ axes
    return rows @ vectors, values.astype(np.float64) / len(rows), others @ vectors


def _loss(
    rows: Singles, y: NDArray[np.intp], n_labels: int, penalty: Floats
) -> Callable[[Floats], tuple[float, Floats]]:
    """The mean cross-entropy plus the penalty, and its gradient, of flat parameters (r + 1, n_labels)."""
    n, at = len(rows), np.arange(len(rows))
    half = 0.5 * penalty[:, None]

    def loss(flat: Floats) -> tuple[float, Floats]:
        given = flat.reshape(-1, n_labels)
        scores = rows @ given[:-1].astype(np.float32)
        scores += given[-1].astype(np.float32)
        scores -= scores.max(axis=1, keepdims=True)
        told = float(scores[at, y].sum(dtype=np.float64))
        np.exp(scores, out=scores)
        sums = scores.sum(axis=1, keepdims=True)
        value = (float(np.log(sums).sum(dtype=np.float64)) - told) / n
        scores /= sums
        scores[at, y] -= 1
        slope = np.empty_like(given)
        slope[:-1] = rows.T @ scores
        slope[-1] = scores.sum(axis=0)
        slope /= n
        slope[:-1] += 2 * half * given[:-1]
        return value + float((half * given[:-1] ** 2).sum()), slope.ravel()

    return loss
