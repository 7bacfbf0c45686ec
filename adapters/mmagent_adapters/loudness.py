"""How loud each of several probes speaks when what they say is added up: fitted to rows they did not learn.

A probe that was fitted to few rows is surer than it is right, and senses that err together must not be
counted twice. One weight for each sense, the same whichever others are there, makes up for both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mmagent.adapter import Labelled

__all__ = ["held_out_evidence", "log_shares", "loudness"]

Floats = NDArray[np.float64]
FEWEST = 1e-6  # a probability that is told as this where a fold has not met the answer
STEPS = 50


def log_shares(answers: Sequence[str], labels: Sequence[str]) -> Floats:
    """(C,) log of the share of each label, one row of each added."""
    counts = np.array([1.0 + sum(answer == label for answer in answers) for label in labels])
    return np.asarray(np.log(counts / counts.sum()))


def held_out_evidence(
    rows: Labelled, labels: Sequence[str], strength: float | None, seed: int
) -> dict[int, Floats]:
    """By the number of a row, log p(label | x) - log p(label), (C,), of a probe fitted without that row.

    Five folds, of whole groups where rows have them, each with the strength that was chosen for the whole.
    Rows whose answer stands in one fold alone are left out.
    """
    from mmagent.evaluation.baselines import FOLDS, folds, log_softmax
    from mmagent.evaluation.probe import linear_probe

    answers = [answer.strip() for answer in rows.answers]
    at = {label: number for number, label in enumerate(labels)}
    pooled = rows.pooled.double().numpy()
    y = np.array([at[answer] for answer in answers], np.intp)
    fold = folds(y, min(FOLDS, len(answers)), seed, rows.groups)
    found: dict[int, Floats] = {}
    for out in range(int(fold.max()) + 1):
        inside = [n for n in range(len(answers)) if fold[n] != out]
        there = {answers[n] for n in inside}
        outside = [n for n in range(len(answers)) if fold[n] == out and answers[n] in there]
        if len(there) < 2 or not outside:
            continue
        known = [answers[n] for n in inside]
        probe = linear_probe(pooled[inside], known, seed=seed, strength=strength)
        told = np.full((len(outside), len(labels)), np.log(FEWEST))
        told[:, [at[label] for label in probe.labels]] = log_softmax(
            pooled[outside] @ probe.weight.T + probe.bias
        )
        shares = log_shares(known, labels)
        found.update((rows.rows[n], one - shares) for n, one in zip(outside, told, strict=True))
    return found


def loudness(
    evidence: Mapping[str, Mapping[int, Floats]],
    answers: Mapping[int, str],
    labels: Sequence[str],
    prior: Floats,
    of: Mapping[str, Collection[str]] | None = None,
) -> dict[str, float]:
    """A weight of 0 or more for each voice, under which the rows' answers are likeliest.

    evidence: by voice and row, (C,);  answers: by row;  prior (C,) log p(label);  of: the senses that a voice
    is of, where it is not a sense alone. The mean over all rows and all choices of their senses of
    log softmax(prior + sum_s w_s evidence_s), concave in w, by Newton's method; a pull towards 1 of the
    weight of one row settles what the rows leave open.
    """
    names = list(evidence)
    at = {label: number for number, label in enumerate(labels)}
    parts = _by_voices(evidence, answers, of or {})
    weights = np.ones(len(names))
    for _ in range(STEPS):
        slope, bend = weights - 1.0, np.eye(len(names))
        for kept, rows in parts.items():
            own = [names.index(name) for name in kept]
            x = np.stack([[evidence[name][row] for row in rows] for name in kept], axis=1)  # (N, S, C)
            y = np.array([at[answers[row]] for row in rows])
            scores = prior + np.einsum("s,nsc->nc", weights[own], x)
            p = np.exp(scores - scores.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            mean = np.einsum("nc,nsc->ns", p, x)
            slope[own] += (mean - x[np.arange(len(y)), :, y]).sum(axis=0)
            spread = np.einsum("nc,nsc,ntc->st", p, x, x) - mean.T @ mean
            bend[np.ix_(own, own)] += spread
        step = np.linalg.solve(bend, slope)
        size = float(np.abs(step).max())
        weights = np.maximum(0.0, weights - step / max(1.0, size / 0.5))
        if size < 1e-6:
            break
    return dict(zip(names, weights.tolist(), strict=True))


def _by_voices(
    evidence: Mapping[str, Mapping[int, Floats]],
    answers: Mapping[int, str],
    of: Mapping[str, Collection[str]],
) -> dict[tuple[str, ...], list[int]]:
    """The rows that have these voices, for every choice of their senses: those whose senses are all there."""
    parts: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for row in answers:
        there = [name for name, one in evidence.items() if row in one]
        senses = [name for name in there if name not in of]
        for size in range(1, len(senses) + 1):
            for kept in combinations(senses, size):
                heard = tuple(name for name in there if set(of.get(name, (name,))) <= set(kept))
                parts[heard].append(row)
    return parts
