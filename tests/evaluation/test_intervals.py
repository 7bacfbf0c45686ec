"""Intervals against SciPy and published numbers, and how often they hold the truth on made data."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace

import numpy as np
import pytest

from mmagent.errors import UserError
from mmagent.evaluation import (
    Interval,
    calibration_error,
    interval,
    macro_f1,
    mean,
    over_seeds,
    paired,
    share,
    wilson,
)


def test_wilson_is_the_published_interval():
    """81 of 263: 0.2553 to 0.3662 (Newcombe 1998, table I, method 3); 0 of 20: 0 to 0.1611."""
    found = wilson(81, 263)
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)
    none = wilson(0, 20)
    assert (none.low, round(none.high, 4)) == (0.0, 0.1611)
    assert wilson(20, 20).high == 1.0


@pytest.mark.parametrize("k", [2, 3, 5, 10, 31])
def test_the_interval_over_seeds_is_scipys_t(k):
    stats = pytest.importorskip("scipy.stats")
    runs = np.random.default_rng(k).normal(0.7, 0.05, k)
    low, high = stats.t.interval(0.95, k - 1, runs.mean(), stats.sem(runs))
    found = over_seeds(runs.tolist())
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)


def test_one_seed_has_no_interval():
    with pytest.raises(UserError, match="at least two runs; there is 1"):
        over_seeds([0.7])


@pytest.mark.parametrize("seed", range(3))
def test_bca_is_scipys(seed):
    """Two bootstraps with draws of their own agree to a few hundredths of the interval's width."""
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(seed).exponential(1.0, 40)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="BCa", rng=7).confidence_interval
    ours = interval(mean(values), resamples=20_000)
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.04 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.04 * width)


def coverage(sample, truth: float, trials: int = 200) -> float:
    held = [interval(sample(), resamples=400, seed=trial) for trial in range(trials)]
    return sum(one.low <= truth <= one.high for one in held) / trials


def test_the_bootstrap_holds_the_truth_about_95_times_in_100():
    """200 trials: three standard errors are 4.6 points, and small samples cost a little more."""
    rng = np.random.default_rng(5)
    worth = [0.0, 0.3, 0.6, 0.9, 1.0]
    chances = [0.2, 0.1, 0.1, 0.1, 0.5]
    found = coverage(lambda: mean(rng.choice(worth, 60, p=chances)), float(np.dot(worth, chances)))
    assert 0.89 <= found <= 0.99


def test_the_interval_of_macro_f1_holds_the_truth():
    rng = np.random.default_rng(6)

    def sample(n: int = 100):
        wanted = rng.choice(3, n, p=[0.6, 0.3, 0.1])
        got = np.where(rng.random(n) < 0.75, wanted, rng.integers(0, 4, n))
        return macro_f1(list(map(str, wanted)), list(map(str, got)), ["0", "1", "2"])

    truth = sample(200_000).value()
    assert 0.87 <= coverage(sample, truth, 120) <= 0.995


def test_the_interval_of_the_calibration_error_is_not_pushed_upwards():
    """What is calibrated has an error of 0; BCa would lie above it in nearly every trial."""
    rng = np.random.default_rng(7)

    def sample(n: int = 200):
        sure = rng.beta(4, 1.5, n)
        return calibration_error(sure, rng.random(n) < sure)

    assert coverage(sample, 0.01, 120) >= 0.7
    assert coverage(lambda: replace(sample(), method="bca"), 0.01, 120) < 0.3


def test_the_same_seed_gives_the_same_number_and_another_seed_another():
    values = np.random.default_rng(0).random(300)
    assert interval(mean(values), seed=3) == interval(mean(values), seed=3)
    assert interval(mean(values), seed=3) != interval(mean(values), seed=4)
    other = mean(values[::-1])
    assert paired(mean(values), other, seed=3) == paired(mean(values), other, seed=3)


def test_draws_do_not_depend_on_how_many_are_made_at_a_time(monkeypatch):
    from mmagent.evaluation import intervals

    values = np.random.default_rng(0).random(50)
    before = interval(mean(values), resamples=500)
    monkeypatch.setattr(intervals, "_BLOCK", 333)
    assert interval(mean(values), resamples=500) == before


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_a_wider_level_is_a_wider_interval(level):
    values = np.random.default_rng(1).random(80)
    inner, outer = interval(mean(values), level=level), interval(mean(values), level=0.99)
    assert outer.low < inner.low < inner.value < inner.high < outer.high


def test_a_share_of_right_answers_has_width_even_when_all_are_right():
    assert share([1.0] * 20) == wilson(20, 20)
    assert share([1.0] * 20).low < 0.9
    assert share([1.0, 0.6] * 10).method == "bca"


def test_a_paired_difference_is_narrower_than_the_two_apart():
    rng = np.random.default_rng(2)
    easy = rng.random(400)
    first, second = (easy < 0.75).astype(float), (easy < 0.70).astype(float)
    found = paired(mean(first), mean(second))
    apart = wilson(int(first.sum()), 400)
    assert found.verdict == "better"
    assert found.high - found.low < apart.high - apart.low
    assert found.value == pytest.approx(first.mean() - second.mean())
    assert found.share_not_better < 0.01


def test_a_difference_turns_its_sign_with_its_sides():
    rng = np.random.default_rng(3)
    first, second = mean(rng.random(200)), mean(rng.random(200) + 0.2)
    there, back = paired(first, second), paired(second, first)
    assert (there.value, there.low, there.high) == pytest.approx(
        (-back.value, -back.high, -back.low), abs=2e-3
    )
    assert (there.verdict, back.verdict) == ("worse", "better")


def test_the_p_is_that_of_all_sign_changes():
    """Six rows of difference, each way of changing their signs counted out."""
    gaps = np.array([0.9, 0.6, 0.3, -0.3, 0.6, 1.0])
    sums = [abs(float(np.dot(signs, gaps))) for signs in itertools.product((-1, 1), repeat=6)]
    exact = np.mean(np.array(sums) >= abs(gaps.sum()) - 1e-9)
    found = paired(mean(np.r_[gaps, np.zeros(50)]), mean(np.zeros(56)), resamples=40_000).p
    assert found == pytest.approx(exact, abs=0.008)


def test_four_rows_won_and_none_lost_may_be_chance():
    """The bootstrap alone would call it better; the sign test says p = 2 / 2^4."""
    found = paired(mean([1.0] * 4 + [0.0] * 96), mean([0.0] * 100))
    assert found.low > 0.0
    assert found.p == pytest.approx(0.125, abs=0.01)
    assert found.verdict == "tied"


def test_equal_answers_are_a_tie():
    rows = mean([0.0, 1.0, 1.0, 0.0])
    found = paired(rows, rows)
    assert (found.value, found.low, found.high, found.p, found.verdict) == (0.0, 0.0, 0.0, 1.0, "tied")


def test_a_difference_of_calibration_errors_can_be_negative():
    rng = np.random.default_rng(4)
    sure = rng.random(400)
    right = rng.random(400) < sure
    found = paired(calibration_error(sure, right), calibration_error(sure**3, right), resamples=500)
    assert found.high < 0.0
    assert found.p is None


def test_different_rows_cannot_be_paired():
    with pytest.raises(UserError, match="there are 2 and 3"):
        paired(mean([1, 0]), mean([1, 0, 1]))


def test_ten_thousand_resamples_of_two_thousand_rows_are_quick():
    rng = np.random.default_rng(0)
    wanted = [str(x) for x in rng.integers(0, 50, 2000)]
    metric = macro_f1(wanted, rng.permutation(wanted).tolist())
    began = time.process_time()
    interval(metric)
    assert time.process_time() - began < 2.0


def test_an_interval_goes_to_json_and_back():
    found = interval(mean([0.1, 0.4, 0.9]), resamples=50)
    assert Interval.from_json(found.as_json()) == found
