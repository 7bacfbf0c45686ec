"""Plain numbers that tell a channel: how large it is, and how it moves.

Some tasks hang on magnitude (a force of 500 N is a collision), others on shape alone. So there are both:
magnitudes in the unit of the channel, and shape, told of the channel brought to mean 0 and deviation 1. A
series of fewer than 32 samples has no course and no spectrum worth telling; such sets are small, too, and
every number that says little costs more there than it brings.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from mmagent_series.kernels import FEWEST
from mmagent_series.series import Block

__all__ = ["LEVELS", "SHAPES", "levels", "shapes"]

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
PARTS = 4  # of equal length, whose means and deviations are told, so its course is
LAGS = (1, 2, 4, 8)
OCTAVES = 8  # bands of the spectrum, from half the sampling rate down
LEVELS = 8 + len(QUANTILES) + 2 * PARTS + 2
SHAPES = 4 + len(LAGS) + OCTAVES + 1
STILL = 1e-9  # a deviation below this, in units of the largest value, is rounding


def levels(rows: Block) -> Block:
    """(C, LEVELS) magnitudes of finite samples (T, C), in the unit of the channel.

    Mean, deviation, least, largest, slope (over the whole length), largest magnitude, mean and largest step,
    five quantiles; then mean and deviation of each quarter, first and last value, 0 where there are fewer
    than 32 samples.
    """
    length = len(rows)
    time = np.linspace(-0.5, 0.5, length) if length > 1 else np.zeros(1)
    steps = np.abs(np.diff(rows, axis=0)) if length > 1 else np.zeros((1, rows.shape[1]))
    told = [
        rows.mean(axis=0),
        rows.std(axis=0),
        rows.min(axis=0),
        rows.max(axis=0),
        time @ rows / max(float(time @ time), 1e-12),
        np.abs(rows).max(axis=0),
        steps.mean(axis=0),
        steps.max(axis=0),
        *np.quantile(rows, QUANTILES, axis=0),
    ]
    if length < FEWEST:
        return np.pad(np.stack(told, axis=1), ((0, 0), (0, LEVELS - len(told))))
    edges = np.linspace(0, length, PARTS + 1).round().astype(int)
    for start, stop in pairwise(edges):
        told += [rows[start:stop].mean(axis=0), rows[start:stop].std(axis=0)]
    return np.stack([*told, rows[0], rows[-1]], axis=1)


def shapes(z: Block) -> Block:
    """(C, SHAPES) of samples (T, C) of about mean 0 and deviation 1; no magnitude is left in them.

    Share of crossings of 0, skewness, kurtosis, deviation of steps, autocorrelation at four lags; then share
    of power in each octave and entropy of the spectrum (nats), 0 where there are fewer than 32 samples.
    """
    length, n_channels = z.shape
    none = np.zeros(n_channels)
    above = z > 0
    told = [
        (above[1:] != above[:-1]).mean(axis=0) if length > 1 else none,
        (z**3).mean(axis=0).clip(-50, 50),
        (z**4).mean(axis=0).clip(0, 50),
        np.diff(z, axis=0).std(axis=0) if length > 1 else none,
    ]
    told += [(z[lag:] * z[:-lag]).mean(axis=0) if lag < length else none for lag in LAGS]
    if length < FEWEST:
        return np.pad(np.stack(told, axis=1), ((0, 0), (0, SHAPES - len(told))))
    window = np.hanning(length + 2)[1:-1, None]
    power = np.abs(np.fft.rfft(z * window, axis=0)[1:]) ** 2  # without the mean
    share = power / np.maximum(power.sum(axis=0), 1e-12)
    frequency = np.fft.rfftfreq(length)[1:] * 2  # 1 is half the sampling rate
    for octave in range(OCTAVES):
        low, high = 0.5 ** (octave + 1), 0.5**octave
        told.append(share[(frequency > low) & (frequency <= high)].sum(axis=0))
    told.append(-(share * np.log(np.maximum(share, 1e-12))).sum(axis=0))
    return np.stack(told, axis=1)
