"""Metrics against numbers worked out by hand and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmagent.errors import UserError
from mmagent.evaluation import choice_right, confusion, exact_match, macro_f1, perplexity


def test_exact_match_ignores_blanks_at_the_ends_and_nothing_else():
    got = [" frog\n", "Frog", "a frog", "frog.", "newt", "tree  frog"]
    assert exact_match(got, ["frog"] * 5 + ["tree frog"]).tolist() == [1, 0, 0, 0, 0, 0]


def test_any_of_several_wanted_answers_is_right():
    assert exact_match(["sofa", "chair"], [["couch", "sofa"], ["couch", "sofa"]]).tolist() == [1, 0]


def test_columns_of_different_length_are_refused():
    with pytest.raises(UserError, match=r"2 of got, 1 of wanted"):
        exact_match(["a", "b"], ["a"])


def test_a_choice_that_shares_the_top_is_worth_a_guess():
    scores = [{"a": -1.0, "b": -2.0}, {"a": -1.0, "b": -1.0}, {"a": -3.0, "b": -1.0, "c": -1.0}]
    assert choice_right(scores, ["a", "a", "a"]).tolist() == [1.0, 0.5, 0.0]
    with pytest.raises(UserError, match=r"row 1: the wanted answer 'd' is no choice. There are: a, b"):
        choice_right(scores, ["d", "a", "a"])


def test_macro_f1_by_hand_with_an_answer_outside_the_labels():
    """a: TP 2, FN 1 (other), FP 0 -> 0.8.  b: TP 1, FN 1, FP 0 -> 2/3.  c: TP 1, FN 0, FP 1 -> 2/3."""
    wanted, got = ["a", "a", "a", "b", "b", "c"], ["a", "a", "dragon", "b", "c", "c"]
    assert macro_f1(wanted, got).value() == pytest.approx((0.8 + 2 / 3 + 2 / 3) / 3)


@pytest.mark.parametrize("seed", range(5))
def test_macro_f1_is_scikit_learns(seed):
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    labels = list("abcdef")  # "f" never occurs
    wanted = rng.choice(list("abcde"), 80).tolist()
    got = [w if rng.random() < 0.6 else rng.choice([*"abcd", "other", "none"]) for w in wanted]
    expected = metrics.f1_score(wanted, got, labels=labels, average="macro", zero_division=np.nan)
    assert macro_f1(wanted, got, labels).value() == pytest.approx(expected)


def test_macro_f1_does_not_see_the_order_of_rows_or_the_names_of_classes():
    rng = np.random.default_rng(0)
    wanted, got = rng.choice(list("abc"), 50), rng.choice(list("abcx"), 50)
    order = rng.permutation(50)
    renamed = {"a": "z", "b": "y", "c": "a", "x": "x"}
    value = macro_f1(wanted.tolist(), got.tolist()).value()
    assert 0.0 < value < 1.0
    assert macro_f1(wanted[order].tolist(), got[order].tolist()).value() == pytest.approx(value)
    other = macro_f1([renamed[w] for w in wanted], [renamed[g] for g in got]).value()
    assert other == pytest.approx(value)


def test_a_wanted_answer_that_is_no_label_is_named():
    with pytest.raises(UserError, match=r"'newt' is no label. There are 2: cat, frog"):
        macro_f1(["newt"], ["frog"], ["cat", "frog"])


def test_confusion_counts_what_was_said_for_what_was_wanted():
    table = confusion(["a", "a", "b", "b"], ["a", "dragon", "a", "b "], ["a", "b", "c"])
    assert table.counts.tolist() == [[1, 0, 0, 1], [1, 1, 0, 0], [0, 0, 0, 0]]
    assert table.as_json()["columns"] == ["a", "b", "c", "(other)"]
    a, b, c = table.classes()
    assert (a.n, a.right, a.precision, a.recall, a.f1) == (2, 1, 0.5, 0.5, 0.5)
    assert (b.precision, b.recall) == (1.0, 0.5)
    assert b.f1 == pytest.approx(2 / 3)
    assert (c.n, c.precision, c.recall, c.f1) == (0, None, None, None)


def test_class_f1s_average_to_macro_f1():
    rng = np.random.default_rng(3)
    wanted, got = rng.choice(list("abcd"), 60).tolist(), rng.choice(list("abcdx"), 60).tolist()
    f1s = [one.f1 for one in confusion(wanted, got).classes()]
    assert macro_f1(wanted, got).value() == pytest.approx(np.mean(f1s))


def test_perplexity_is_per_token_and_not_per_row():
    """Three tokens at 1/2 and one at 1/8: (1/2)^3 (1/8) over four tokens is 64^(1/4)."""
    logprobs = [3 * math.log(0.5), math.log(0.125)]
    assert perplexity(logprobs, [3, 1]).value() == pytest.approx(64**0.25)
    assert perplexity([-5000.0], [1]).value() == math.inf
    with pytest.raises(UserError, match=r"row 2 has no tokens"):
        perplexity([-1.0, -1.0], [1, 0])


def test_no_rows_are_no_metric():
    with pytest.raises(UserError, match=r"no rows to measure"):
        macro_f1([], [])
