"""Figures of inputs that come in pieces are those of the whole, checked against numpy and against theory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from mmagent.figures import (
    Autocorrelation,
    Deflated,
    Moments,
    Reservoir,
    difference_noise,
    entropy_bits,
    level_entropy,
)


def pieces(values, seed=0):
    """The values cut at random places, empty pieces among them."""
    cuts = np.sort(np.random.default_rng(seed).integers(0, len(values) + 1, 7))
    return np.split(values, cuts)


@pytest.mark.parametrize(
    ("counts", "bits"),
    [([1, 1], 1.0), ([3] * 256, 8.0), ([7], 0.0), ([], 0.0), ([0, 0], 0.0), ([1, 3], 0.811278)],
)
def test_entropy_of_known_distributions(counts, bits):
    assert entropy_bits(counts) == pytest.approx(bits, abs=1e-6)


def test_entropy_of_levels_ignores_scale_and_what_is_not_finite():
    values = np.random.default_rng(0).random(50_000)
    assert level_entropy(values) == pytest.approx(8, abs=0.01)
    assert level_entropy(values * 1e6 - 3) == pytest.approx(level_entropy(values), abs=1e-2)
    assert level_entropy(np.append(values, [np.nan, np.inf])) == level_entropy(values)
    assert level_entropy([5.0, 5.0]) == level_entropy([np.nan]) == 0


def test_moments_in_pieces_are_those_of_the_whole_far_from_zero():
    values = np.random.default_rng(1).normal(1e8, 2.0, 10_000)
    moments = Moments()
    for piece in pieces(values):
        moments.add(piece)
    moments.add([np.nan, np.inf])
    assert moments.count == 10_000
    assert moments.mean == pytest.approx(values.mean(), rel=1e-12)
    assert moments.std == pytest.approx(values.std(), rel=1e-6)
    assert (moments.low, moments.high) == (values.min(), values.max())


def test_moments_of_nothing_are_unknown():
    moments = Moments()
    moments.add([])
    assert np.isnan([moments.mean, moments.std, moments.low]).all()


@pytest.mark.parametrize("lag", [1, 3])
def test_autocorrelation_in_pieces_is_that_of_the_whole(lag):
    values = np.cumsum(np.random.default_rng(2).normal(size=3000)) + 1e6
    found = Autocorrelation(lag)
    for piece in pieces(values):
        found.add(piece)
    assert found.value == pytest.approx(np.corrcoef(values[:-lag], values[lag:])[0, 1], rel=1e-9)


def test_autocorrelation_of_noise_alternation_gaps_and_constants():
    noise, flips = Autocorrelation(), Autocorrelation()
    noise.add(np.random.default_rng(3).normal(size=20_000))
    flips.add([1.0, -1.0] * 10 + [np.nan, np.nan] + [1.0, -1.0] * 10)
    assert abs(noise.value) < 0.03
    assert flips.value == pytest.approx(-1)
    for constant in ([4.0] * 9, [], [1.0], [np.nan] * 5):
        still = Autocorrelation()
        still.add(constant)
        assert still.value is None


def test_what_repeats_compresses_and_noise_does_not():
    same, noise = Deflated(), Deflated()
    same.add(bytes(100_000))
    for piece in pieces(np.random.default_rng(4).integers(0, 256, 100_000, dtype=np.uint8)):
        noise.add(piece.tobytes())
    assert same.share < 0.01
    assert 0.99 < noise.share < 1.01
    same.add(np.zeros((0, 3)))
    assert same.tried == 100_000
    assert Deflated().share is None


def test_only_the_first_bytes_are_tried():
    bounded = Deflated(limit=1000)
    for _ in range(5):
        bounded.add(bytes(400))
    assert bounded.tried == 1000
    first = bounded.share
    bounded.add(np.random.default_rng(5).bytes(1000))
    assert bounded.share == first


def test_quantiles_are_exact_while_all_is_kept_and_near_after():
    few, many = Reservoir(), Reservoir(2000)
    few.add(range(101))
    assert few.quantiles(0, 0.25, 1) == [0, 25, 100]
    many.add(np.random.default_rng(6).permutation(100_000))
    low, middle, high = many.quantiles(0.1, 0.5, 0.9)
    assert (low, middle, high) == pytest.approx((10_000, 50_000, 90_000), abs=4000)
    assert Reservoir().quantiles(0.5) == [None]


def test_the_sample_does_not_depend_on_the_pieces():
    values = np.random.default_rng(7).random(5000)
    whole, cut = Reservoir(300), Reservoir(300)
    whole.add(values)
    for piece in pieces(values):
        cut.add(piece)
    assert np.array_equal(whole.values, cut.values)
    assert whole.seen == cut.seen == 5000


def test_noise_on_a_smooth_signal_is_found_in_spite_of_steps():
    t = np.linspace(0, 6, 20_000)
    signal = np.sin(t) + (t > 3) * 5 + np.random.default_rng(8).normal(0, 0.2, t.size)
    assert difference_noise(signal) == pytest.approx(0.2, rel=0.05)
    assert difference_noise([1.0, 2.0]) is None


def test_a_long_input_needs_no_more_memory_than_a_short_one():
    def peak(blocks):
        tracemalloc.start()
        kept = [Moments(), Autocorrelation(), Reservoir(10_000)]
        for seed in range(blocks):
            block = np.random.default_rng(seed).random(20_000)
            for figure in kept:
                figure.add(block)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(2)
    assert peak(60) < 1.2 * peak(6)
