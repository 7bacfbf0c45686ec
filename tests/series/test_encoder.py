"""The builtin encoder: the same for the same series, batched or alone, and what its features see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mmagent_series import encoder as builtin
from mmagent_series.encoder import BuiltinEncoder
from mmagent_series.kernels import N_FEATURES, groups, taps
from mmagent_series.reader import SeriesReader
from mmagent_series.slots import into_slots


def uneven(rng: np.random.Generator) -> list[Any]:
    """Series of many lengths and numbers of channels."""
    shapes = [
        (1, 1),
        (2, 3),
        (15, 6),
        (100, 1),
        (427, 2),
        (1024, 1),
        (1025, 3),
        (20_000, 2),
        (40, 40),
        (50, 200),
    ]
    return [rng.normal(size=shape).cumsum(axis=0) for shape in shapes]


def test_batched_is_single_and_repeatable(reader: SeriesReader, encoder: BuiltinEncoder):
    batch = [reader.load(one) for one in uneven(np.random.default_rng(0))]
    together = encoder.encode(batch)
    assert together.values.shape == (len(batch), 16, encoder.d_encoder)
    assert together.mask.sum(1).tolist() == [1, 1, 1, 1, 1, 1, 2, 16, 1, 1]
    assert not together.values[~together.mask].any()
    assert together.values.isfinite().all()
    assert together.pooled.isfinite().all()
    again = BuiltinEncoder(torch.device("cpu"))
    assert again.id == encoder.id
    for at, one in enumerate(batch):
        alone = again.encode([one])
        assert torch.equal(alone.pooled[0], together.pooled[at])
        assert torch.equal(alone.values[0], together.values[at][together.mask[at]])


def test_nothing_gives_nothing(encoder: BuiltinEncoder):
    assert encoder.encode([]).pooled.shape == (0, encoder.d_encoder)


def test_padding_changes_nothing(reader: SeriesReader, encoder: BuiltinEncoder, waves: np.ndarray):
    padded = np.concatenate([np.full((9, 3), np.nan), waves, np.full((300, 3), np.nan)])
    plain, filled = (encoder.encode([reader.load(one)]) for one in (waves, padded))
    assert torch.equal(plain.pooled, filled.pooled)


def test_shares_do_not_see_scale_and_level_but_magnitudes_do(
    reader: SeriesReader, encoder: BuiltinEncoder, waves: np.ndarray
):
    first, second = (encoder.encode([reader.load(one)]).pooled[0] for one in (waves, 40 * waves + 7))
    torch.testing.assert_close(first[-N_FEATURES:], second[-N_FEATURES:], atol=0.02, rtol=0)
    assert (first[:-N_FEATURES] - second[:-N_FEATURES]).abs().max() > 3


def test_a_periodic_series_read_later_has_nearly_the_same_shares(
    reader: SeriesReader, encoder: BuiltinEncoder
):
    time = np.arange(600) / 600
    wave = np.sin(2 * np.pi * 20 * time) + 0.5 * np.sin(2 * np.pi * 40 * time)
    shares = [encoder.encode([reader.load(np.roll(wave, by))]).pooled[0, -N_FEATURES:] for by in (0, 13)]
    other = encoder.encode([reader.load(np.sign(wave))]).pooled[0, -N_FEATURES:]
    moved, apart = ((shares[0] - one).abs().mean() for one in (shares[1], other))
    assert moved < 0.01 < 0.05 < apart


def test_gaps_are_interpolated(reader: SeriesReader, encoder: BuiltinEncoder):
    ramp = np.linspace(0, 1, 90)
    holed = ramp.copy()
    holed[30:50] = np.nan
    whole, filled = (encoder.encode([reader.load(one)]).pooled[0] for one in (ramp, holed))
    own = builtin.SLOTS * builtin.PER_CHANNEL
    assert (whole[:own] - filled[:own]).abs().max() < 0.1
    missing = builtin.SLOTS * builtin.PER_CHANNEL + 3
    assert filled[missing] == pytest.approx(20 / 90)


def test_a_channel_without_values_or_movement_is_harmless(reader: SeriesReader, encoder: BuiltinEncoder):
    array = np.zeros((50, 3))
    array[:, 1], array[:, 2] = np.nan, 1e9 + np.arange(50) % 2 * 1e-9
    assert encoder.encode([reader.load(array)]).pooled.isfinite().all()


def test_a_long_series_is_seen_whole(reader: SeriesReader, encoder: BuiltinEncoder):
    array = np.random.default_rng(0).normal(size=(200_000, 1))
    array[123_456] = 1000  # a single sample, in no piece that is read
    pooled = encoder.encode([reader.load(array)]).pooled[0].double().sinh()
    mean, deviation, least, largest = pooled[:4].tolist()
    assert (mean, deviation) == pytest.approx((array.mean(), array.std()), rel=1e-4, abs=1e-6)
    assert (least, largest) == pytest.approx((array.min(), 1000), rel=1e-4)


def test_more_channels_than_slots_are_folded():
    values = torch.arange(5.0).view(5, 1)
    assert into_slots(values, 3).flatten().tolist() == [1.5, 2.5, 2.0]
    assert into_slots(values, 8).flatten().tolist() == [0, 1, 2, 3, 4, 0, 0, 0]


def test_kernels_are_those_of_minirocket():
    kernels = taps()
    assert kernels.shape == (84, 9)
    assert len({tuple(row.tolist()) for row in kernels}) == 84
    assert not kernels.sum(1).any()
    assert set(kernels.flatten().tolist()) == {-1.0, 2.0}
    for n_channels in (1, 2, 6, 43, 300):
        mix = groups(n_channels)
        assert torch.equal(mix, groups(n_channels))
        assert len(mix) == (1 if n_channels == 1 else 2 * min(n_channels, 42))
        torch.testing.assert_close(mix.norm(dim=1), torch.ones(len(mix)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_on_a_gpu_the_features_are_the_same(reader: SeriesReader, encoder: BuiltinEncoder, waves: np.ndarray):
    there = BuiltinEncoder(torch.device("cuda")).encode([reader.load(waves)])
    torch.testing.assert_close(
        there.pooled.cpu(), encoder.encode([reader.load(waves)]).pooled, atol=0.02, rtol=0
    )
