"""What the same frozen features give without a language model: majority, class means, a linear probe.

An adapter is worth its training only where it beats these on the same rows. All of them learn from the
training rows alone: the standardisation and the choice of C never see a test row. Each gives a probability
for every class, so that calibration can be compared, too.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmagent.errors import UserError
from mmagent.evaluation.metric import Floats, same_length
from mmagent.evaluation.strength import held_out

if TYPE_CHECKING:
    from mmagent.evaluation.results import Result

__all__ = ["Predictions", "logistic_regression", "majority", "nearest_mean", "per_question"]

Groups = Sequence[str | None]
"""Whose each row is; empty where nobody said."""
Answers = Sequence[str]
Baseline = Callable[..., "Predictions"]
"""(train features, their answers, test features), and `groups` of the training rows where it heeds them."""

FOLDS = 5
STRENGTHS = tuple(10.0**power for power in range(-4, 3))
"""Values of C that are tried, weakest fit first; on equal terms the weaker one stays."""
BETWEEN = 3.16
"""Then this many times the best of them and the one before it: half way to the next."""
_SHARPNESS = np.geomspace(1.0, 200.0, 24)  # of the softmax over cosines


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a baseline says about n test rows."""

    name: str
    labels: tuple[str, ...]
    probabilities: Floats
    """(n, C); every row sums to 1."""
    note: str = ""
    """How it was fitted, for the report."""

    @property
    def answers(self) -> list[str]:
        """(n,) the likeliest class of each row; the first of the sorted labels where several are."""
        return [self.labels[at] for at in self.probabilities.argmax(axis=1)]

    @property
    def confidence(self) -> Floats:
        """(n,) probability of that class."""
        return np.asarray(self.probabilities.max(axis=1))

    def result(self, like: Result) -> Result:
        """These answers to the questions of another result, judged as that one is."""
        confidence = np.clip(self.confidence, 0.0, 1.0).tolist()
        return like.answered(self.name, self.answers, confidence)


def majority(train_x: ArrayLike, train_y: Answers, test_x: ArrayLike) -> Predictions:
    """Always the commonest answer of the training rows; probabilities are the classes' shares there."""
    _, y, labels, test = checked(train_x, train_y, test_x)
    shares = np.bincount(y, minlength=len(labels)) / len(y)
    return Predictions("majority class", labels, np.tile(shares, (len(test), 1)))


def nearest_mean(
    train_x: ArrayLike, train_y: Answers, test_x: ArrayLike, *, are_keys: bool = False
) -> Predictions:
    """The class whose mean direction is nearest by cosine (Snell et al. 2017, with cosine for distance).

    are_keys  the features are keys already, such as the shot memory's, and are compared as given; otherwise
              each dimension is standardised first, by the training rows' mean and deviation

    Probabilities are a softmax over the cosines. Its sharpness is the one of 24 under which the training rows
    are likeliest, each held against means without itself; it does not change the answers.
    """
    train, y, labels, test = checked(train_x, train_y, test_x)
    if not are_keys:
        train, test = standardised(train, test)
    train, test = unit(train), unit(test)
    own = np.eye(len(labels))[y]  # (N, C)
    sums = own.T @ train  # (C, d)
    cosines = test @ unit(sums).T
    left_out = train @ unit(sums).T
    rows = np.arange(len(y))
    left_out[rows, y] = (train * unit(sums[y] - train)).sum(axis=1)
    has_kin = np.bincount(y, minlength=len(labels))[y] > 1
    fits = [
        log_softmax(s * left_out[has_kin])[np.arange(has_kin.sum()), y[has_kin]].sum() for s in _SHARPNESS
    ]
    sharpness = float(_SHARPNESS[int(np.argmax(fits))]) if has_kin.any() and len(labels) > 1 else 10.0
    what = "keys as given" if are_keys else "standardised features"
    name, note = "nearest class mean", f"cosine on {what}, sharpness {sharpness:.3g}"
    return Predictions(name, labels, np.exp(log_softmax(sharpness * cosines)), note)


def logistic_regression(
    train_x: ArrayLike, train_y: Answers, test_x: ArrayLike, *, seed: int = 0, groups: Groups = ()
) -> Predictions:
    """Multinomial logistic regression on features standardised by the training rows (scikit-learn, L2).

    C is the one of `STRENGTHS`, or half way to the next, under which held-out answers are likeliest, in
    five-fold cross-validation inside the training rows (counting right answers instead picks strong fits to
    noise by luck). Every fold is standardised by its own training part. Members of a class are dealt to the
    folds in turn, in an order drawn from `seed`, so a class may have fewer members than there are folds. A
    class with one member is never in both parts; its row is left out of the choice. Where rows have groups,
    folds are of whole groups.
    Raises UserError without scikit-learn.
    """
    train, y, labels, test = checked(train_x, train_y, test_x)
    name = "logistic regression"
    if len(labels) == 1:
        return Predictions(name, labels, np.ones((len(test), 1)), "one class in the training rows")
    scikit_learn()
    best = chosen_strength(train, y, seed, groups)
    found, converged = _fitted(train, y, test, len(labels), best)
    note = f"C = {best:.3g}, chosen inside the training rows" + ("" if converged else "; not converged")
    return Predictions(name, labels, found, note)


def per_question(
    baseline: Baseline,
    train: tuple[ArrayLike, Answers, Answers],
    test: tuple[ArrayLike, Answers],
    groups: Groups = (),
) -> Predictions:
    """A baseline fitted to each question on its own, where rows ask different things of their inputs.

    train  features, answers and questions of the training rows;  test  features and questions of the others
    groups of the training rows, for a baseline that heeds them; empty for one that does not

    A question that was never trained on is answered by the baseline fitted to all training rows.
    """
    train_x, train_y, train_asked = np.asarray(train[0]), list(train[1]), list(train[2])
    test_x, test_asked = np.asarray(test[0]), list(test[1])
    same_length(features=train_x, answers=train_y, questions=train_asked)
    same_length(features=test_x, questions=test_asked)
    labels = tuple(sorted(set(train_y)))
    out, name = np.zeros((len(test_x), len(labels))), ""
    known = set(train_asked)
    for asked in dict.fromkeys(question if question in known else None for question in test_asked):
        rows = [at for at, question in enumerate(train_asked) if asked is None or question == asked]
        into = [
            at for at, question in enumerate(test_asked) if (question if question in known else None) == asked
        ]
        own = {"groups": [groups[at] for at in rows]} if groups else {}
        part = baseline(train_x[rows], [train_y[at] for at in rows], test_x[into], **own)
        out[np.ix_(into, [labels.index(label) for label in part.labels])] = part.probabilities
        name = part.name
    return Predictions(f"{name} per question", labels, out, f"{len(known)} questions, each fitted alone")


def checked(
    train_x: ArrayLike, train_y: Answers, test_x: ArrayLike
) -> tuple[Floats, NDArray[np.intp], tuple[str, ...], Floats]:
    """Features as float64 (N, d) and (n, d), answers as numbers, and their labels. Raises UserError."""
    train, test = np.array(train_x, dtype=np.float64), np.array(test_x, dtype=np.float64)
    same_length(features=train, answers=train_y)
    if len(train) == 0:
        raise UserError("there are no training rows, so no baseline can be fitted.")
    if train.ndim != 2 or test.ndim != 2 or train.shape[1] != test.shape[1]:
        raise UserError(
            f"training features {train.shape} and test features {test.shape} must be rows of one width."
        )
    if not (np.isfinite(train).all() and np.isfinite(test).all()):
        raise UserError(
            "some features are not finite, so no baseline can be fitted; encode the inputs again."
        )
    answers = [text.strip() for text in train_y]
    labels = tuple(sorted(set(answers)))
    at = {label: index for index, label in enumerate(labels)}
    return train, np.array([at[text] for text in answers], np.intp), labels, test


def standardised(train: Floats, test: Floats) -> tuple[Floats, Floats]:
    """Both, with the training rows' mean taken off and divided by their deviation; constants become 0."""
    centre, spread = train.mean(axis=0), train.std(axis=0)
    spread[spread < 1e-12] = np.inf
    return (train - centre) / spread, (test - centre) / spread


def unit(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 1e-12, lengths, np.inf))


def log_softmax(scores: Floats) -> Floats:
    shifted = scores - scores.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def folds(y: NDArray[np.intp], k: int, seed: int, groups: Groups = ()) -> NDArray[np.intp]:
    """(N,) each row's fold: shuffled, sorted by class, dealt in turn, so every class is spread evenly.

    groups (N,), None for a row without one: with two or more, whole groups are dealt, the largest first, each
    to the fold with the fewest rows, and rows without a group one by one; then there may be fewer folds.
    """
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(y))
    if len({group for group in groups if group is not None}) > 1:
        return _dealt_whole(order, k, groups)
    order = order[np.argsort(y[order], kind="stable")]
    fold = np.empty(len(y), dtype=np.intp)
    fold[order] = np.arange(len(y)) % k
    return fold


def _dealt_whole(order: NDArray[np.intp], k: int, groups: Groups) -> NDArray[np.intp]:
    members: dict[tuple[str | None, int], list[int]] = defaultdict(list)
    for row in order.tolist():
        members[groups[row], row if groups[row] is None else -1].append(row)
    sizes = [0] * min(k, len(members))
    fold = np.empty(len(order), dtype=np.intp)
    for rows in sorted(members.values(), key=len, reverse=True):
        into = sizes.index(min(sizes))
        fold[rows] = into
        sizes[into] += len(rows)
    return fold


def chosen_strength(train: Floats, y: NDArray[np.intp], seed: int, groups: Groups = ()) -> float:
    """C by cross-validation; 1 where there are too few rows for any.

    groups: whose each row is. Folds that have the same speaker, patient or day on both sides find no fit too
    strong; where new rows will be of others, whole groups are held out, as they will be.
    """
    fold = folds(y, min(FOLDS, len(y)), seed, groups)
    likely = _held_out(train, y, fold, STRENGTHS)
    if not likely.any():
        return 1.0
    best = STRENGTHS[int(likely.argmax())]
    weaker, stronger = best / 10 * BETWEEN, best * BETWEEN
    beside = _held_out(train, y, fold, (weaker, stronger))
    tried = {weaker: beside[0], best: likely.max(), stronger: beside[1]}
    return max(tried, key=lambda strength: float(tried[strength]))


def _held_out(train: Floats, y: NDArray[np.intp], fold: NDArray[np.intp], c: Sequence[float]) -> Floats:
    """(len(c),) the log-likelihood of all rows, each under the fit of every strength to the other folds."""
    likely = np.zeros(len(c))
    for at in range(int(fold.max()) + 1):
        inside = fold != at
        classes = np.unique(y[inside])
        outside = (fold == at) & np.isin(y, classes)
        if len(classes) < 2 or not outside.any():
            continue
        known, new = standardised(train[inside], train[outside])
        own, wanted = (np.searchsorted(classes, y[rows]) for rows in (inside, outside))
        likely += held_out(known, own, new, wanted, len(classes), c)
    return likely


def _fitted(train: Floats, y: NDArray[np.intp], test: Floats, n_labels: int, c: float) -> tuple[Floats, bool]:
    """Probabilities (n, C) of test rows after the fit of strength `c`, and whether it converged."""
    linear_model, not_converged = scikit_learn()
    train, test = standardised(train, test)
    model = linear_model.LogisticRegression(max_iter=1000, C=c)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", not_converged)
        model.fit(train, y)
    probabilities = np.zeros((len(test), n_labels))
    probabilities[:, model.classes_] = model.predict_proba(test)
    return probabilities, int(model.n_iter_.max()) < model.max_iter


def scikit_learn() -> tuple[Any, type[Warning]]:
    try:
        from sklearn import linear_model
        from sklearn.exceptions import ConvergenceWarning
    except ImportError as error:
        raise UserError(
            "logistic regression needs scikit-learn, which is not installed. "
            "Install it with: pip install 'mmagent[train]'. The other baselines work without it."
        ) from error
    return linear_model, ConvergenceWarning
