"""The baselines of an evaluation: fitted to the training rows' frozen features, asked the very same rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mmagent.asked import sources_asked
from mmagent.errors import UserError
from mmagent.evaluation.asking import DIGITS
from mmagent.evaluation.baselines import (
    Baseline,
    Predictions,
    logistic_regression,
    majority,
    nearest_mean,
    per_question,
)
from mmagent.evaluation.metric import Floats
from mmagent.evaluation.results import Result
from mmagent.evaluation.shot_votes import shot_votes

if TYPE_CHECKING:
    from mmagent.agent import Agent
    from mmagent.data import Example
    from mmagent.feature_cache import FeatureCache

__all__ = ["BASELINES", "baseline_results", "pooled_features"]

BASELINES = ("majority", "nearest", "logistic", "memory")
MOST_CLASSES = 200  # of a linear probe: it is fitted 36 times over, and more take longer than the adapter
READ = 256  # features read from the cache at a time

Progress = Callable[[int, int], None]


def baseline_results(
    agent: Agent,
    names: Sequence[str],
    train: Sequence[Example],
    examples: Sequence[Example],
    like: Result,
    *,
    cache: FeatureCache | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[list[Result], list[str]]:
    """The baselines' answers to the rows of `like`, and why any is left out.

    Where rows are asked different things, each question has a baseline of its own, unless the features know
    what is asked. Where a row has choices, a baseline chooses among them, too. Raises UserError for media
    that cannot be read.
    """
    notes: list[str] = []
    asked = {one.question for one in (*train, *examples)}
    features = np.zeros((len(train) + len(examples), 1))
    if set(names) != {"majority"}:
        features = pooled_features(agent, (*train, *examples), cache=cache, progress=progress)
        if np.isnan(features).any():
            features = _filled(features, len(train))
            notes.append("to a baseline, a row without one of the senses has the training rows' mean there.")
    known, new = features[: len(train)], features[len(train) :]
    answers = [one.answer for one in train]
    results = []
    for name in names:
        if name == "logistic" and len(set(answers)) > MOST_CLASSES:
            notes.append(
                f"logistic regression is left out: {len(set(answers)):,} different answers, and at most "
                f"{MOST_CLASSES} are fitted."
            )
            continue
        fit = _BASELINES[name]
        own: dict[str, Any] = {}
        if name == "logistic":
            fit, own = partial(fit, seed=seed), {"groups": [one.group for one in train]}
        try:
            if len(asked) > 1 and not _told_of_it(agent, examples):
                questions = [[one.question or "" for one in rows] for rows in (train, examples)]
                made = per_question(fit, (known, answers, questions[0]), (new, questions[1]), **own)
            else:
                made = fit(known, answers, new, **own)
        except UserError as error:
            notes.append(f"{_NAMES[name]} is left out: {error}")
            continue
        results.append(_answered(made, examples, like))
    return results, notes


def pooled_features(
    agent: Agent,
    examples: Sequence[Example],
    *,
    cache: FeatureCache | None = None,
    progress: Progress | None = None,
) -> Floats:
    """(N, d) the encoder's pooled features of each row: the mean over its media, modality beside modality.

    nan where a row has none of a modality that others have. Features come through the feature cache. Raises
    UserError.
    """
    from mmagent.feature_cache import FeatureCache, encode_cached

    columns = []
    for modality in sorted({name for one in examples for name, sources in one.media.items() if sources}):
        looks = agent.plugins.modalities.get(modality)
        media = [sources_asked(one.media.get(modality, ()), one.question, looks) for one in examples]
        sources = [source for own in media for source in own]
        of = np.repeat(np.arange(len(examples)), [len(own) for own in media])
        reader, encoder = agent.encoder(modality)
        seen = encode_cached(reader, encoder, sources, cache or FeatureCache(), progress=progress)
        pooled = np.concatenate(
            [
                seen.batch(range(at, min(at + READ, len(seen)))).pooled.numpy()
                for at in range(0, len(seen), READ)
            ]
        )
        sums = np.zeros((len(examples), pooled.shape[1]))
        np.add.at(sums, of, pooled)
        counts = np.bincount(of, minlength=len(examples))[:, None]
        columns.append(np.where(counts > 0, sums / np.maximum(counts, 1), np.nan))
    return np.concatenate(columns, axis=1) if columns else np.zeros((len(examples), 1))


def _filled(features: Floats, n_train: int) -> Floats:
    """Features with the mean of the training rows where a row has none; columns that no such row has go."""
    known = ~np.isnan(features[:n_train]).all(axis=0)
    features = features[:, known]
    if not features.shape[1]:
        return np.zeros((len(features), 1))
    return np.where(np.isnan(features), np.nanmean(features[:n_train], axis=0), features)


def _told_of_it(agent: Agent, examples: Sequence[Example]) -> bool:
    """Whether the features know what is asked, so that one baseline learns from all questions together."""
    known = agent.plugins.modalities
    names = {name for one in examples for name, sources in one.media.items() if sources}
    return all(name in known and known[name].asked for name in names)


_BASELINES: Mapping[str, Baseline] = {
    "majority": majority,
    "nearest": nearest_mean,
    "logistic": logistic_regression,
    "memory": shot_votes,
}
_NAMES = {
    "majority": "the majority class",
    "nearest": "the nearest class mean",
    "logistic": "logistic regression",
    "memory": "the shot memory",
}


def _answered(made: Predictions, examples: Sequence[Example], like: Result) -> Result:
    """The likeliest class of each row as its answer; of a row with choices, the likeliest of these."""
    at = {label: index for index, label in enumerate(made.labels)}
    got, sure = [], []
    for example, probabilities in zip(examples, made.probabilities, strict=True):
        open_to = [at[choice] for choice in example.choices or () if choice in at] or list(range(len(at)))
        shares = probabilities[open_to]
        best = int(shares.argmax())
        got.append(made.labels[open_to[best]])
        sure.append(round(min(float(shares[best] / max(shares.sum(), 1e-12)), 1.0), DIGITS))
    return like.answered(made.name, got, sure)
