"""The linear probe itself: logistic regression on features, as the matrix an adapter can carry."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mmagent.errors import UserError
from mmagent.evaluation.baselines import Answers, Groups, checked, chosen_strength, scikit_learn
from mmagent.evaluation.metric import Floats

__all__ = ["Probe", "linear_probe"]


@dataclass(frozen=True, eq=False)
class Probe:
    """p(label | f) = softmax(weight f + bias), on features as they come.

    labels (C,) sorted; weight (C, d); bias (C,); note: how it was fitted; strength: its C.
    """

    labels: tuple[str, ...]
    weight: Floats
    bias: Floats
    note: str
    strength: float


def linear_probe(
    features: ArrayLike,
    answers: Answers,
    *,
    seed: int = 0,
    strength: float | None = None,
    groups: Groups = (),
) -> Probe:
    """What `logistic_regression` fits to the same rows: C chosen inside them, features standardised by them.

    strength: C, in the place of the chosen one. groups: whose each row is, as in `chosen_strength`. The
    standardisation is folded into weight and bias. Raises UserError without scikit-learn, and for answers
    that are all the same.
    """
    x, y, labels, _ = checked(features, answers, features)
    if len(labels) < 2:
        raise UserError(f"all rows have the answer {labels[0]!r}; there is nothing to tell apart.")
    given = strength is not None
    strength = chosen_strength(x, y, seed, groups) if strength is None else strength
    linear_model, not_converged = scikit_learn()
    centre, spread = x.mean(axis=0), x.std(axis=0)
    spread[spread < 1e-12] = np.inf
    model = linear_model.LogisticRegression(C=strength, max_iter=1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", not_converged)
        model.fit((x - centre) / spread, y)
    weight, bias = model.coef_, model.intercept_
    if len(labels) == 2:  # scikit-learn keeps one row, the second label's against the first's
        weight, bias = np.vstack([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    weight = weight / spread
    note = f"C = {strength:.3g}, {'as given' if given else 'chosen inside these rows'}"
    return Probe(labels, weight, bias - weight @ centre, note, strength)
