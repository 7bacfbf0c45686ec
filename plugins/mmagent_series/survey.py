"""One pass over a series: what its profile and its picture are made of, in memory that does not grow."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mmagent.figures import Autocorrelation, Deflated, Moments, Reservoir, difference_noise
from mmagent_series.gaps import filled
from mmagent_series.series import Block, Series

__all__ = ["PARTS", "Survey", "survey"]

MOST_CHANNELS = 64  # that are told one by one and compared
SAMPLED = 1 << 20  # values in all that quantiles are taken from
PARTS = 8  # of equal length, whose levels and spreads tell whether a series stays as it is
COLUMNS = 1000  # of the picture, each from the least to the largest value that falls into it
PERIODOGRAM = 2048  # samples of a piece whose spectrum is taken
ROUNDING = 1e-9  # of a channel's largest value: a deviation from its line of no more is no course
PIECES = 64  # of them at most, evenly spread


@dataclass(eq=False)
class Survey:
    """What was seen of the first C channels, 64 at most.

    equal      share of steps without any change, per channel (C,)
    longest    samples of the longest gap
    parts      (2, PARTS, C) mean and deviation of eight parts
    covariance (C, C), gaps interpolated;  slope (C,) least-squares change over the whole length
    frequency  (F,) cycles per sample above 0;  power (F, C) Welch's periodogram of pieces without
               their trend, each channel's sum 1
    noise      (C,) white noise as second differences tell it; NaN where there are too few
    envelope   (COLUMNS or fewer, 2, C) least and largest value of each column; NaN in a gap
    """

    moments: list[Moments]
    correlations: list[Autocorrelation]
    sampled: list[Reservoir]
    deflated: Deflated
    equal: NDArray[np.float64]
    longest: int
    parts: Block
    covariance: Block
    slope: NDArray[np.float64]
    frequency: NDArray[np.float64]
    power: Block
    noise: NDArray[np.float64]
    envelope: Block


def survey(series: Series) -> Survey:
    """Look through a series once, and at some pieces of it once more."""
    n_channels = min(len(series.channels), MOST_CHANNELS)
    gathered = _Gathered(series.length, n_channels)
    for block in series.blocks():
        gathered.add(block[:, :n_channels])
    frequency, power, noise = _spectra(series, n_channels)
    return Survey(
        gathered.moments,
        gathered.correlations,
        gathered.sampled,
        gathered.deflated,
        gathered.equal / max(series.length - 1, 1),
        gathered.longest,
        gathered.parts,
        gathered.covariance,
        gathered.slope,
        frequency,
        power,
        noise,
        gathered.envelope,
    )


@dataclass(eq=False)
class _Gathered:
    """Sums over the blocks seen so far."""

    length: int
    n_channels: int
    deflated: Deflated = field(default_factory=Deflated)
    longest: int = 0

    def __post_init__(self) -> None:
        n, size = self.n_channels, max(1000, SAMPLED // self.n_channels)
        self.moments = [Moments() for _ in range(n)]
        self.correlations = [Autocorrelation() for _ in range(n)]
        self.sampled = [Reservoir(min(size, 100_000)) for _ in range(n)]
        self.equal = np.zeros(n)
        self.envelope = np.full((min(COLUMNS, self.length), 2, n), np.nan)
        self._at, self._run = 0, np.zeros(n, np.int64)
        self._last: Block | None = None
        self._origin: Block | None = None
        self._sums, self._outer, self._timed = np.zeros(n), np.zeros((n, n)), np.zeros(n)
        self._parts = np.zeros((3, PARTS, n))  # count, sum, sum of squares

    def add(self, block: Block) -> None:
        """The next samples (n, C)."""
        whole = filled(block)
        if self._origin is None:
            self._origin = whole[0].copy()  # sums are taken from here, so that squares stay small
        for channel in range(self.n_channels):
            own = block[:, channel]
            self.moments[channel].add(own)
            self.correlations[channel].add(own)
            self.sampled[channel].add(own)
        self.deflated.add(np.ascontiguousarray(block.T.astype(np.float32)).tobytes())
        joined = block if self._last is None else np.concatenate([self._last, block])
        self.equal += (joined[1:] == joined[:-1]).sum(axis=0)
        self._last = block[-1:]
        place = np.arange(self._at, self._at + len(block))
        apart = whole - self._origin
        self._sums += apart.sum(axis=0)
        self._outer += apart.T @ apart
        self._timed += (place - (self.length - 1) / 2) @ apart
        self._into_parts(place * PARTS // self.length, apart)
        self._into_columns(place * len(self.envelope) // self.length, block)
        self._count_gaps(np.isnan(block))
        self._at += len(block)

    def _into_parts(self, part: NDArray[np.int64], apart: Block) -> None:
        for at in np.unique(part):
            own = apart[part == at]
            self._parts[:, at] += np.stack(
                [np.full(self.n_channels, len(own)), own.sum(axis=0), (own**2).sum(axis=0)]
            )

    def _into_columns(self, column: NDArray[np.int64], block: Block) -> None:
        starts = np.flatnonzero(np.diff(column, prepend=-1))
        least = np.fmin.reduceat(block, starts, axis=0)
        largest = np.fmax.reduceat(block, starts, axis=0)
        where = column[starts]
        self.envelope[where, 0] = np.fmin(self.envelope[where, 0], least)
        self.envelope[where, 1] = np.fmax(self.envelope[where, 1], largest)

    def _count_gaps(self, gone: NDArray[np.bool_]) -> None:
        if not gone.any():
            self._run[:] = 0
            return
        for channel in range(self.n_channels):
            edges = np.flatnonzero(np.diff(gone[:, channel].astype(np.int8), prepend=0, append=0))
            runs = edges[1::2] - edges[::2]
            if len(runs) and edges[0] == 0:
                runs[0] += self._run[channel]
            self.longest = max(self.longest, int(runs.max(initial=0)))
            self._run[channel] = int(runs[-1]) if len(runs) and edges[-1] == len(gone) else 0

    @property
    def parts(self) -> Block:
        count, total, squares = self._parts
        mean = total / np.maximum(count, 1)
        return np.stack([mean, np.sqrt(np.maximum(squares / np.maximum(count, 1) - mean**2, 0))])

    @property
    def covariance(self) -> Block:
        mean = self._sums / self.length
        return self._outer / self.length - np.outer(mean, mean)

    @property
    def slope(self) -> NDArray[np.float64]:
        """Change over the whole length of the line that fits best."""
        n = self.length
        return self._timed / max(n * (n * n - 1) / 12, 1e-12) * max(n - 1, 0)


def _spectra(series: Series, n_channels: int) -> tuple[NDArray[np.float64], Block, NDArray[np.float64]]:
    """Frequencies, mean periodograms and noise of pieces of a series, evenly spread."""
    size = min(PERIODOGRAM, series.length)
    count = min(PIECES, -(-series.length // size))
    window = np.hanning(size + 2)[1:-1, None]
    power = np.zeros((size // 2, n_channels))
    noises = []
    for start in np.linspace(0, series.length - size, count).round().astype(int).tolist():
        block = series.samples.block(start, start + size)[:, :n_channels]
        level = _level(filled(block))
        level[:, level.std(axis=0) <= ROUNDING * np.fmax.reduce(np.abs(block), axis=0)] = 0
        power += np.abs(np.fft.rfft(level * window, axis=0)[1:]) ** 2
        noises.append([_or_nan(difference_noise(block[:, at])) for at in range(n_channels)])
    total = power.sum(axis=0)
    told = np.array(noises)
    known = ~np.isnan(told).all(axis=0)
    noise = np.full(n_channels, np.nan)
    noise[known] = np.nanmedian(told[:, known], axis=0)
    frequency = np.asarray(np.fft.rfftfreq(size)[1:], dtype=np.float64)
    return frequency, power / np.where(total > 0, total, 1), noise


def _level(rows: Block) -> Block:
    """Without the line that fits each channel best, whose slow change would hide every tone."""
    time = np.linspace(-0.5, 0.5, len(rows))
    slope = time @ rows / max(float(time @ time), 1e-12)
    return np.asarray(rows - rows.mean(axis=0) - time[:, None] * slope)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
