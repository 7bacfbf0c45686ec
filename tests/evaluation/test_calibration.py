"""Calibration error and Brier score by hand, by scikit-learn, and on confidences that are right by making."""

from __future__ import annotations

import numpy as np
import pytest

from mmagent.errors import UserError
from mmagent.evaluation import brier, calibration_error, interval, reliability


def test_calibration_error_by_hand():
    """Bins of 0.5: {0.2, 0.4} half right, {0.9, 0.7} all right: (2 * |0.5 - 0.3| + 2 * |1 - 0.8|) / 4."""
    assert calibration_error([0.2, 0.4, 0.9, 0.7], [0, 1, 1, 1], bins=2).value() == pytest.approx(0.2)


def test_gaps_within_a_bin_cancel_and_across_bins_do_not():
    assert calibration_error([0.6, 0.6], [1, 0], bins=1).value() == pytest.approx(0.1)
    assert calibration_error([0.45, 0.55], [1, 0], bins=2).value() == pytest.approx(0.55)


@pytest.mark.parametrize("bins", [3, 10, 15])
def test_a_bin_holds_its_upper_edge(bins):
    edges = [at / bins for at in range(bins + 1)]
    points = reliability(edges, np.zeros(bins + 1), bins)
    assert [point.n for point in points] == [2] + [1] * (bins - 1)
    assert all(point.low <= point.confidence <= point.high for point in points)


def test_the_diagram_sums_to_the_error():
    rng = np.random.default_rng(1)
    sure, right = rng.random(300), rng.random(300) < 0.6
    points = reliability(sure, right)
    total = sum(point.n * abs(point.correct - point.confidence) for point in points) / 300
    assert sum(point.n for point in points) == 300
    assert calibration_error(sure, right).value() == pytest.approx(total)


def test_what_is_calibrated_has_an_error_near_zero_and_what_is_not_has_not():
    rng = np.random.default_rng(0)
    sure = rng.random(50_000)
    right = rng.random(50_000) < sure
    assert calibration_error(sure, right).value() < 0.01
    assert calibration_error(sure**2, right).value() > 0.1
    assert interval(calibration_error(sure[:500], right[:500]), resamples=500).low < 0.02


def test_brier_is_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(2)
    sure, right = rng.random(100), rng.random(100) < 0.5
    assert brier(sure, right).value() == pytest.approx(metrics.brier_score_loss(right, sure))
    assert brier([1.0, 0.5], [1, 0]).value() == 0.125


def test_what_is_no_probability_is_named():
    with pytest.raises(UserError, match=r"row 2 has a confidence of 1.2"):
        calibration_error([0.5, 1.2], [0, 1])
    with pytest.raises(UserError, match=r"row 1 has a confidence of nan"):
        brier([float("nan")], [1])
