"""Baselines on made features: what they can see they find, what they must not see they do not."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from mmagent.errors import UserError
from mmagent.evaluation import (
    Result,
    judged,
    logistic_regression,
    majority,
    nearest_mean,
    per_question,
)
from mmagent.evaluation.baselines import (
    BETWEEN,
    FOLDS,
    STRENGTHS,
    chosen_strength,
    folds,
    standardised,
)
from mmagent.evaluation.shot_votes import shot_votes
from mmagent.evaluation.strength import held_out

FITTED = [majority, nearest_mean, logistic_regression, shot_votes]


def blobs(n: int, seed: int, spread: float = 0.5, classes: int = 3):
    centres = np.random.default_rng(99).normal(size=(classes, 6))
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    return centres[y] + spread * rng.normal(size=(n, 6)), [f"class {c}" for c in y]


@pytest.fixture(autouse=True)
def scikit_learn():
    pytest.importorskip("sklearn")


@pytest.mark.parametrize("baseline", FITTED)
def test_every_row_gets_a_distribution_over_the_training_classes(baseline):
    train, test = blobs(60, 0), blobs(25, 1)
    found = baseline(*train, test[0])
    assert found.labels == ("class 0", "class 1", "class 2")
    assert found.probabilities.shape == (25, 3)
    assert (found.probabilities >= 0).all()
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1.0)
    assert len(found.answers) == len(found.confidence) == 25


@pytest.mark.parametrize("baseline", [nearest_mean, logistic_regression, shot_votes])
def test_classes_that_lie_apart_are_found(baseline):
    train, test = blobs(90, 0), blobs(60, 1)
    right = [a == b for a, b in zip(baseline(*train, test[0]).answers, test[1], strict=True)]
    assert np.mean(right) > 0.9


@pytest.mark.parametrize("baseline", FITTED)
def test_an_answer_does_not_depend_on_the_other_test_rows(baseline):
    """Anything learned from the test rows (a mean, a deviation, C) would show here."""
    train, (x, _) = blobs(60, 0), blobs(20, 1)
    far = np.vstack([x, 1000.0 * np.ones((20, 6))])
    alone, among = baseline(*train, x), baseline(*train, far)
    np.testing.assert_allclose(alone.probabilities, among.probabilities[:20])


def test_majority_by_hand():
    found = majority(np.zeros((4, 2)), ["b", "a", "b", "b"], np.zeros((3, 2)))
    assert found.answers == ["b", "b", "b"]
    assert found.probabilities[0].tolist() == [0.25, 0.75]


def test_nearest_mean_of_given_keys_is_the_cosine_by_hand():
    """Means of unit vectors: a (1, 0), b (0, 1); (3, 1) is nearer to a whatever its length."""
    train = np.array([[1.0, 0.0], [5.0, 0.0], [0.0, 1.0], [0.0, 9.0]])
    found = nearest_mean(train, ["a", "a", "b", "b"], np.array([[3.0, 1.0], [0.1, 0.9]]), are_keys=True)
    assert found.answers == ["a", "b"]
    ratio = found.probabilities[0, 0] / found.probabilities[0, 1]
    sharpness = np.log(ratio) / ((3.0 - 1.0) / np.sqrt(10.0))
    assert np.log(found.probabilities[1, 1] / found.probabilities[1, 0]) == pytest.approx(
        sharpness * 0.8 / np.sqrt(0.82)
    )


def test_standardising_makes_the_unit_of_a_feature_irrelevant():
    train, test = blobs(60, 0, spread=1.0), blobs(40, 1, spread=1.0)
    unit = np.array([1e3, 1.0, 1e-3, 1.0, 1.0, 50.0])
    for baseline in (nearest_mean, logistic_regression):
        here = baseline(train[0], train[1], test[0]).probabilities
        there = baseline(train[0] * unit, train[1], test[0] * unit).probabilities
        np.testing.assert_allclose(here, there, atol=1e-6)


def test_logistic_regression_is_scikit_learns_with_the_chosen_c():
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    train, test = blobs(60, 0, spread=1.5), blobs(30, 1, spread=1.5)
    found = logistic_regression(*train, test[0])
    scaler = StandardScaler().fit(train[0])
    c = float(found.note.split("C = ")[1].split(",")[0])
    model = LogisticRegression(C=c, max_iter=1000).fit(scaler.transform(train[0]), train[1])
    np.testing.assert_allclose(found.probabilities, model.predict_proba(scaler.transform(test[0])), atol=1e-5)


@pytest.mark.parametrize("d", [4, 90], ids=["more rows than features", "more features than rows"])
def test_strengths_are_held_against_each_other_as_by_scikit_learn(d):
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(3)
    y, wanted = np.arange(60) % 5, np.arange(30) % 5
    centres = rng.normal(size=(5, d))
    train, test = (centres[at] + 1.5 * rng.normal(size=(len(at), d)) for at in (y, wanted))
    strengths = (1e-3, 1e-1, 1.0, 10.0)
    found = held_out(train, y, test, wanted, 5, strengths)
    for c, likely in zip(strengths, found, strict=True):
        model = LogisticRegression(C=c, tol=1e-8, max_iter=5000).fit(train, y)
        told = model.predict_log_proba(test)[np.arange(30), wanted]
        assert likely / 30 == pytest.approx(told.mean(), abs=0.03)


def test_the_strength_is_also_looked_for_half_way_to_the_next():
    rng = np.random.default_rng(1)
    y = np.arange(90) % 3
    x = rng.normal(size=(3, 8))[y] + 1.5 * rng.normal(size=(90, 8))
    fold = folds(y, FOLDS, 0)

    def likely(c):
        whole = 0.0
        for at in range(FOLDS):
            known, new = standardised(x[fold != at], x[fold == at])
            whole += float(held_out(known, y[fold != at], new, y[fold == at], 3, [c])[0])
        return whole

    chosen = chosen_strength(x, y, 0)
    decade = max(STRENGTHS, key=likely)
    around = [decade / 10 * BETWEEN, decade, decade * BETWEEN]
    assert chosen == max(around, key=likely)
    assert chosen not in STRENGTHS  # here it pays


def test_noise_is_fitted_weakly_and_what_lies_apart_is_not():
    rng = np.random.default_rng(0)
    noise = logistic_regression(rng.normal(size=(60, 40)), list("ab") * 30, rng.normal(size=(200, 40)))
    assert noise.confidence.mean() < 0.9
    train, test = blobs(90, 0, spread=0.2), blobs(30, 1, spread=0.2)
    assert logistic_regression(*train, test[0]).confidence.mean() > 0.9


@pytest.mark.parametrize(
    "answers", [["a", "b"], ["a"] * 9 + ["b"], ["a", "b", "c", "d", "e", "f"], ["a", "a", "a"], ["a"]]
)
def test_very_small_training_sets_are_fitted(answers):
    x = np.random.default_rng(0).normal(size=(len(answers), 3))
    for baseline in FITTED:
        found = baseline(x, answers, x)
        np.testing.assert_allclose(found.probabilities.sum(axis=1), 1.0)
        assert set(found.answers) <= set(answers)


def test_the_seed_is_all_the_chance_there_is():
    train, test = blobs(40, 0, spread=2.0), blobs(20, 1)
    first = logistic_regression(*train, test[0], seed=4)
    again = logistic_regression(*train, test[0], seed=4)
    assert (first.probabilities == again.probabilities).all()
    assert first.note == again.note


def test_questions_of_one_input_are_fitted_apart():
    """The same feature means another answer under another question."""
    x = np.array([[1.0, 0.0], [0.0, 1.0]] * 10)
    asked = ["shape"] * 10 + ["colour"] * 10
    answers = ["round", "square"] * 5 + ["red", "blue"] * 5
    test = (np.array([[1.0, 0.1], [1.0, 0.1], [0.1, 1.0]]), ["shape", "colour", "colour"])
    found = per_question(nearest_mean, (x, answers, asked), test)
    assert found.answers == ["round", "red", "blue"]
    unknown = per_question(majority, (x, answers, asked), (test[0][:1], ["size"]))
    assert unknown.probabilities.tolist() == [[0.25, 0.25, 0.25, 0.25]]


def test_a_baseline_becomes_a_result_of_the_same_rows():
    rows = tuple(judged("what?", [w], "a", logprob=-1.0, tokens=1) for w in "aab")
    like = Result("the adapter", rows, labels=("a", "b"))
    found = majority(np.zeros((3, 1)), ["b", "b", "a"], np.zeros((3, 1))).result(like)
    assert [row.correct for row in found.rows] == [0.0, 0.0, 1.0]
    assert found.rows[0].confidence == pytest.approx(2 / 3)
    assert found.rows[0].logprob is None
    assert (found.name, found.labels) == ("majority class", ("a", "b"))


def test_features_that_cannot_be_fitted_are_named():
    with pytest.raises(UserError, match="rows of one width"):
        majority(np.zeros((2, 3)), ["a", "b"], np.zeros((1, 4)))
    with pytest.raises(UserError, match="not finite"):
        majority(np.full((2, 3), np.nan), ["a", "b"], np.zeros((1, 3)))
    with pytest.raises(UserError, match="no training rows"):
        majority(np.zeros((0, 3)), [], np.zeros((1, 3)))


def test_without_scikit_learn_the_others_work_and_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    train, test = blobs(20, 0), blobs(5, 1)
    assert len(nearest_mean(*train, test[0]).answers) == 5
    with pytest.raises(UserError, match=r"pip install 'mmagent\[train\]'"):
        logistic_regression(*train, test[0])


def test_folds_are_of_whole_groups_and_of_like_size():
    y = np.arange(60) % 3
    groups = [f"speaker {at % 7}" for at in range(58)] + [None, None]
    fold = folds(y, 5, 0, groups)
    for name in set(groups) - {None}:
        assert len({int(fold[at]) for at in range(60) if groups[at] == name}) == 1
    assert sorted(set(fold.tolist())) == [0, 1, 2, 3, 4]
    assert np.bincount(fold).max() <= 18
    assert (folds(y, 5, 0, groups) == fold).all()
    assert (folds(y, 5, 0, ["one"] * 60) == folds(y, 5, 0)).all()
    assert sorted(set(folds(y, 5, 0, ["a", "b"] * 30).tolist())) == [0, 1]


def test_where_groups_differ_the_strength_for_new_ones_is_weaker():
    """Each speaker has features of its own that tell its answers apart, and one that is true of all."""
    rng = np.random.default_rng(0)
    y = np.tile(np.arange(2), 60)
    speaker = np.repeat(np.arange(6), 20)
    x = rng.normal(size=(120, 20))
    x[:, 0] += 1.0 * y
    for one in range(6):  # a strong hint whose direction is the speaker's own
        own = speaker == one
        x[own] += np.outer(np.where(y[own] == 1, 1.0, -1.0), rng.normal(size=20) * 1.5)
    groups = [str(one) for one in speaker]
    assert chosen_strength(x, y, 0, groups) < chosen_strength(x, y, 0)
