"""How two senses compare: what their inputs say together of a yes or no, and neither says alone.

Whether a picture and a sound match cannot be told from either. For two answers and each two senses s and t,

    log p(second | f_s, f_t) - log p(first | f_s, f_t) = sum_r w_r (a_r f_s) (b_r f_t) + constant

is a bilinear form of low rank. The directions a_r and b_r are those in which the two senses go together most
differently under one answer and the other: both senses are whitened, and the cross-covariance under the
second answer less that under the first is decomposed by singular values (as in canonical correlation
analysis: Hotelling 1936, "Relations between two sets of variates", but of a difference). The weights w come
from logistic regression on the products.

The products add up over senses like any evidence: with v = sum_s v_s and q = sum_s v_s^2 of all senses there,
sum_{s<t} v_s v_t = (v^2 - q) / 2 (Rendle 2010, "Factorization Machines", lemma 3.1), nothing where one sense
is alone. Each two senses have directions of their own, in which the others say nothing; one of them is 1
wherever the sense is there, and carries the constant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mmagent.adapter import Labelled

__all__ = ["RANK", "Pair", "Views", "compared", "n_views", "placed"]

Floats = NDArray[np.float64]
RANK = 12  # products
KEPT = 80  # principal directions of each sense
RIDGE = 3.0  # added to the variance along each, of standardised features
FEWEST = 20  # rows of each answer with both senses, below which nothing is compared
JOINT = " with "


@dataclass(frozen=True, eq=False)
class Views:
    """Directions of one sense: v = weight f + bias, weight (R, d_encoder), bias (R,)."""

    weight: Floats
    bias: Floats

    def of(self, pooled: Floats) -> Floats:
        """(N, d_encoder) to (N, R)."""
        return np.asarray(pooled @ self.weight.T + self.bias)


@dataclass(frozen=True, eq=False)
class Pair:
    """Two senses compared.

    names    the senses;  views  of each, RANK of them;  weight (2, RANK), bias (2,): of logistic regression
             on their products, less the log share of each answer
    held_out by row, log p(answer | products) - log p(answer), (2,), of fits without that row
    """

    names: tuple[str, str]
    views: tuple[Views, Views]
    weight: Floats
    bias: Floats
    held_out: Mapping[int, Floats]

    @property
    def name(self) -> str:
        """How it is called among the voices."""
        return JOINT.join(self.names)


def n_views(senses: Sequence[str], answers: Sequence[str]) -> int:
    """Directions of each sense: for all pairs of senses, and none unless there are two answers."""
    return (RANK + 1) * len(list(combinations(senses, 2))) if len(answers) == 2 else 0


def compared(rows: Mapping[str, Labelled], labels: Sequence[str], seed: int) -> list[Pair]:
    """Each two senses of which enough rows have both, by the numbers of the rows. Two labels."""
    found = []
    for one, other in combinations(sorted(rows), 2):
        at = [dict(zip(rows[name].rows, range(len(rows[name].rows)), strict=True)) for name in (one, other)]
        both = [number for number in rows[one].rows if number in at[1]]
        answer_of = dict(zip(rows[one].rows, rows[one].answers, strict=True))
        y = np.array([labels.index(answer_of[number].strip()) for number in both], np.intp)
        if min(np.bincount(y, minlength=2)) < FEWEST:
            continue
        x = [
            rows[name].pooled[[at[side][number] for number in both]].double().numpy()
            for side, name in enumerate((one, other))
        ]
        groups = dict(zip(rows[one].rows, rows[one].groups, strict=False))
        own = [groups.get(number) for number in both]
        found.append(_pair((one, other), (x[0], x[1]), y, labels, both, seed, own))
    return found


def placed(pairs: Sequence[Pair], sense: str, senses: Sequence[str], d: int) -> tuple[Views, list[slice]]:
    """The directions of a sense for all pairs, its own where they belong, and the places of `pairs`."""
    total = n_views(senses, ("", ""))
    weight, bias = np.zeros((total, d)), np.zeros(total)
    order = [*combinations(sorted(senses), 2)]
    places = []
    for pair in pairs:
        at = (RANK + 1) * order.index(pair.names)
        places.append(slice(at, at + RANK + 1))
        if sense in pair.names:
            own = pair.views[pair.names.index(sense)]
            weight[at : at + RANK], bias[at : at + RANK] = own.weight, own.bias
            bias[at + RANK] = 1.0
    return Views(weight, bias), places


def _pair(
    names: tuple[str, str],
    x: tuple[Floats, Floats],
    y: NDArray[np.intp],
    labels: Sequence[str],
    numbers: Sequence[int],
    seed: int,
    groups: Sequence[str | None],
) -> Pair:
    """Two senses compared on rows that have both: x (N, d_s) and (N, d_t), y (N,) 0 or 1.

    Rows are held out in folds, of whole groups where they have any; one in which a label is lost is left out.
    """
    from mmagent.evaluation.baselines import FOLDS, folds, log_softmax

    fold = folds(y, FOLDS, seed, groups)
    held_out: dict[int, Floats] = {}
    for out in range(int(fold.max()) + 1):
        inside, outside = fold != out, np.flatnonzero(fold == out)
        if len(np.unique(y[inside])) < 2:
            continue
        views, weight, bias = _fit((x[0][inside], x[1][inside]), y[inside], labels, seed)
        products = views[0].of(x[0][outside]) * views[1].of(x[1][outside])
        shares = np.log(np.bincount(y[inside], minlength=2) / inside.sum())
        told = log_softmax(products @ weight.T + bias + shares) - shares
        held_out.update((numbers[at], one) for at, one in zip(outside.tolist(), told, strict=True))
    return Pair(names, *_fit(x, y, labels, seed), held_out)


def _fit(
    x: tuple[Floats, Floats], y: NDArray[np.intp], labels: Sequence[str], seed: int
) -> tuple[tuple[Views, Views], Floats, Floats]:
    """Directions of both, and weight and bias over their products, less the log shares."""
    from mmagent.evaluation.probe import linear_probe

    one, other = _whitened(x[0]), _whitened(x[1])
    z, w = one.of(x[0]), other.of(x[1])
    apart = z[y == 1].T @ w[y == 1] / (y == 1).sum() - z[y == 0].T @ w[y == 0] / (y == 0).sum()
    left, _, right = np.linalg.svd(apart)
    views = tuple(_turned(view, turn[:RANK]) for view, turn in ((one, left.T), (other, right)))
    products = views[0].of(x[0]) * views[1].of(x[1])
    probe = linear_probe(products, [labels[at] for at in y], seed=seed, strength=1.0)
    shares = np.log(np.bincount(y, minlength=2) / len(y))
    return (views[0], views[1]), probe.weight, probe.bias - shares


def _whitened(x: Floats) -> Views:
    """Principal directions of standardised features, each divided by its spread, with a ridge."""
    centre, spread = x.mean(axis=0), x.std(axis=0)
    spread[spread < 1e-12] = np.inf
    _, values, vectors = np.linalg.svd((x - centre) / spread, full_matrices=False)
    kept = min(KEPT, len(values))
    scale = 1.0 / np.sqrt(values[:kept] ** 2 / len(x) + RIDGE)
    weight = np.zeros((KEPT, x.shape[1]))
    weight[:kept] = scale[:, None] * vectors[:kept] / spread
    return Views(weight, -weight @ centre)


def _turned(view: Views, turn: Floats) -> Views:
    """Directions (RANK, KEPT) among those of a view."""
    return Views(turn @ view.weight, turn @ view.bias)
