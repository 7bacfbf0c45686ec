"""How good answers are: exact match, choices, macro-F1, the confusion behind it, and perplexity.

A text is compared as given, except for blanks at its two ends; case, punctuation and articles count. (The VQA
accuracy in `mmagent.evaluation.vqa` normalises far more.)

Answers outside the label set are "other". Such an answer costs its row's class recall. It costs no class
precision, because it claims no class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmagent.errors import UserError
from mmagent.evaluation.metric import Floats, Metric, Rows, counted, same_length

__all__ = [
    "OTHER",
    "ClassScore",
    "Confusion",
    "choice_right",
    "confusion",
    "exact_match",
    "macro_f1",
    "perplexity",
]

OTHER = "(other)"
"""Name of the column of answers outside the label set."""


def exact_match(got: Sequence[str], wanted: Sequence[str | Sequence[str]]) -> Floats:
    """(n,) 1.0 where the answer is the wanted text, or one of several, blanks at the ends aside; else 0.0."""
    n = same_length(got=got, wanted=wanted)
    out = np.zeros(n)
    for at, (said, right) in enumerate(zip(got, wanted, strict=True)):
        out[at] = said.strip() in {text.strip() for text in ([right] if isinstance(right, str) else right)}
    return out


def choice_right(scores: Sequence[Mapping[str, float]], wanted: Sequence[str]) -> Floats:
    """(n,) 1.0 where the wanted choice alone scores highest, 1/k where it shares the top with k - 1 others.

    The share is what breaking ties by lot would be right on average, so that equal scores are worth a guess.
    Raises UserError when a wanted answer is no choice.
    """
    out = np.zeros(same_length(scores=scores, wanted=wanted))
    for at, (choices, right) in enumerate(zip(scores, wanted, strict=True)):
        if right not in choices:
            raise UserError(
                f"row {at + 1}: the wanted answer {right!r} is no choice. There are: {', '.join(choices)}."
            )
        best = max(choices.values())
        out[at] = (choices[right] == best) / sum(score == best for score in choices.values())
    return out


def macro_f1(wanted: Sequence[str], got: Sequence[str], labels: Sequence[str] | None = None) -> Metric:
    """Mean of the classes' F1 = 2 TP / (2 TP + FP + FN), each class counting the same (van Rijsbergen 1979).

    labels  the classes; those that occur in `wanted` unless given

    An answer outside the labels is a false negative of its row's class and a false positive of none. A class
    that neither occurs nor is answered has no F1 and is left out of the mean, as in
    ``sklearn.metrics.f1_score(..., average="macro", zero_division=nan)``.
    """
    names, right, said = _coded(wanted, got, labels)
    size = len(names) + 1
    hit = np.where(right == said, right, size - 1)

    def on(draws: Rows) -> Floats:
        both = 2.0 * counted(hit[draws], size)[:, :-1]
        either = (counted(right[draws], size) + counted(said[draws], size))[:, :-1]
        occurs = either > 0.0
        f1 = np.divide(both, either, out=np.zeros_like(both), where=occurs)
        return np.asarray(f1.sum(axis=1) / occurs.sum(axis=1))

    return Metric(len(right), on)


@dataclass(frozen=True)
class ClassScore:
    """One class of a confusion matrix; precision is None where no answer claimed the class."""

    label: str
    n: int
    """Rows whose wanted answer it is."""
    right: int
    precision: float | None
    recall: float | None
    f1: float | None

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "label": self.label,
            "n": self.n,
            "right": self.right,
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
        }


@dataclass(frozen=True, eq=False)
class Confusion:
    """What was answered (columns) for what was wanted (rows); the last column is `OTHER`."""

    labels: tuple[str, ...]
    counts: NDArray[np.int64]
    """(C, C + 1)"""

    def classes(self) -> list[ClassScore]:
        """Precision, recall and F1 of each class, in the order of the labels."""
        hits = self.counts.diagonal()
        wanted, claimed = self.counts.sum(axis=1), self.counts.sum(axis=0)[:-1]
        out = []
        for label, hit, n, said in zip(
            self.labels, hits.tolist(), wanted.tolist(), claimed.tolist(), strict=True
        ):
            f1 = 2 * hit / (n + said) if n + said else None
            out.append(ClassScore(label, n, hit, hit / said if said else None, hit / n if n else None, f1))
        return out

    def as_json(self) -> dict[str, Any]:
        """The same as plain data: rows are wanted answers, columns the given ones."""
        columns = [*self.labels, OTHER]
        return {"rows": list(self.labels), "columns": columns, "counts": self.counts.tolist()}


def confusion(wanted: Sequence[str], got: Sequence[str], labels: Sequence[str] | None = None) -> Confusion:
    """Count wanted against given answers; labels as in `macro_f1`."""
    names, right, said = _coded(wanted, got, labels)
    shape = (len(names), len(names) + 1)
    counts = np.bincount(right * shape[1] + said, minlength=shape[0] * shape[1]).reshape(shape)
    return Confusion(names, counts.astype(np.int64))


def perplexity(logprobs: ArrayLike, tokens: ArrayLike) -> Metric:
    """exp(-sum of log-probabilities / sum of tokens) over all rows: per token, not per row.

    logprobs  (n,) the summed natural log-probability of each row's wanted answer
    tokens    (n,) how many tokens that is

    Infinite where it exceeds what a float holds. Raises UserError for a row without tokens.
    """
    log, count = np.array(logprobs, dtype=np.float64), np.array(tokens, dtype=np.float64)
    n = same_length(logprobs=log, tokens=count)
    if (count < 1).any():
        raise UserError(f"row {int((count < 1).argmax()) + 1} has no tokens; perplexity is per token.")

    def on(draws: Rows) -> Floats:
        with np.errstate(over="ignore"):
            return np.asarray(np.exp(-log[draws].sum(axis=1) / count[draws].sum(axis=1)))

    return Metric(n, on)


def _coded(
    wanted: Sequence[str], got: Sequence[str], labels: Sequence[str] | None
) -> tuple[tuple[str, ...], NDArray[np.intp], NDArray[np.intp]]:
    """The labels, and both columns as their numbers; len(labels) stands for an answer outside them."""
    same_length(wanted=wanted, got=got)
    right = [text.strip() for text in wanted]
    names = tuple(dict.fromkeys(x.strip() for x in labels)) if labels is not None else tuple(sorted({*right}))
    at = {name: index for index, name in enumerate(names)}
    strange = [text for text in right if text not in at]
    if strange:
        raise UserError(
            f"the wanted answer {strange[0]!r} is no label. There are {len(names)}: "
            f"{', '.join(names[:12])}{', ...' if len(names) > 12 else ''}."
        )
    said = [at.get(text.strip(), len(names)) for text in got]
    return names, np.array([at[text] for text in right], np.intp), np.array(said, np.intp)
