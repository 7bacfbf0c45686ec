"""The builtin encoder: convolution features beside plain statistics, without weights and without fitting.

A feature vector has three parts, in this order:

- 16 slots of channels, each with its magnitudes and its shape; channel c is in slot c modulo 16, several in a
  slot are averaged. Of a magnitude it is the inverse hyperbolic sine that stands there: near 0 the number
  itself, far from it its logarithm, so that 5, 50 and 500 are equally far apart;
- length, rate, number of channels and missing share;
- the share of outputs above three biases for 84 kernels, eight dilations, of the signal and its difference.

Of a series of fewer than 32 samples the last part and whatever hangs on many samples are 0. One of up to 1024
samples is one window, and `values` is `pooled`. A longer one has up to 16 windows of equal length, each told
like a series of its own; `pooled` tells magnitudes of the whole and the mean of shapes and shares. Of a
window of more than 1024 samples four pieces are read, evenly spread, while least, largest, mean and deviation
of the whole are those of every sample.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from mmagent.features import stacked
from mmagent.modality import Features
from mmagent_series import kernels, statistics
from mmagent_series.gaps import filled
from mmagent_series.series import Block, Series
from mmagent_series.slots import into_slots

__all__ = ["SLOTS", "WINDOW", "BuiltinEncoder"]

SLOTS = 16
WINDOW = 1024  # samples of a window that is read whole
MOST_WINDOWS = 16
PIECES = 4  # that are read of a longer window
WIDE = 128  # channels; of wider series one piece is read
PER_CHANNEL = statistics.LEVELS + statistics.SHAPES
BESIDE = 4
VERSION = "series builtin 1"  # a change of any feature changes it


class BuiltinEncoder:
    """Deterministic features of series; computed in float32 whatever is asked for."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._kernels = kernels.taps().to(device)

    @property
    def d_encoder(self) -> int:
        """Width of a feature."""
        return SLOTS * PER_CHANNEL + BESIDE + kernels.N_FEATURES

    @cached_property
    def id(self) -> str:
        """sha256 over what the features hang on."""
        told = (
            VERSION,
            SLOTS,
            WINDOW,
            MOST_WINDOWS,
            PIECES,
            kernels.DILATIONS,
            kernels.BIASES,
            self.d_encoder,
        )
        return hashlib.sha256(repr(told).encode()).hexdigest()

    @torch.no_grad()
    def encode(self, batch: Sequence[Series]) -> Features:
        """Features of series, each computed alone, so that a batch and its padding change nothing."""
        return stacked([self._features(series) for series in batch], self.d_encoder, self._device)

    def _features(self, series: Series) -> tuple[Tensor, Tensor]:
        """(n, d_encoder) features of the windows of one series, and (d_encoder,) of the whole."""
        whole = _extent(series)
        looks = [self._look(series, whole, start, stop) for start, stop in windows(series.length)]
        beside = _beside(series)
        if len(looks) == 1:
            only = _vector(statistics.levels(looks[0].rows), looks[0], beside, self._device)
            return only[None], only
        own = [_vector(statistics.levels(look.rows), look, beside, self._device) for look in looks]
        rows = np.concatenate([look.rows for look in looks])
        magnitudes = statistics.levels(rows)
        magnitudes[:, :4] = np.stack([whole.mean, whole.deviation, whole.least, whole.largest], axis=1)
        together = _Look(
            rows,
            np.mean([look.shapes for look in looks], axis=0),
            torch.stack([look.shares for look in looks]).mean(dim=0),
        )
        return torch.stack(own), _vector(magnitudes, together, beside, self._device)

    def _look(self, series: Series, whole: _Extent, start: int, stop: int) -> _Look:
        """One window: the samples that are read of it, and what they show."""
        rows, shapes, shares = [], [], []
        mix = kernels.groups(len(series.channels)).to(self._device)
        for first, last in pieces(start, stop, len(series.channels)):
            part = filled(series.samples.block(first, last), whole.mean)
            z = (part - whole.mean) / whole.deviation_or_one
            signal = mix @ torch.from_numpy(z.T.astype(np.float32)).to(self._device)
            rows.append(part)
            shapes.append(statistics.shapes(z))
            shares.append(kernels.shares_above(signal, self._kernels).flatten())
        return _Look(np.concatenate(rows), np.mean(shapes, axis=0), torch.stack(shares).mean(dim=0))


@dataclass(frozen=True, eq=False)
class _Look:
    """What was seen of a window: samples (t, C), shapes (C, SHAPES), shares above biases (N_FEATURES,)."""

    rows: Block
    shapes: Block
    shares: Tensor


@dataclass(frozen=True, eq=False)
class _Extent:
    """Of every sample that there is: (C,) each."""

    mean: Block
    deviation: Block
    least: Block
    largest: Block

    @property
    def deviation_or_one(self) -> Block:
        """The deviation; 1 for a channel that does not move, beyond rounding."""
        size = np.maximum(np.abs(self.least), np.abs(self.largest))
        still = self.deviation <= statistics.STILL * size
        return np.where(still, 1.0, self.deviation)


def windows(length: int) -> list[tuple[int, int]]:
    """Start and stop of each window: one of up to 1024 samples, else up to 16 of equal length."""
    count = min(-(-length // WINDOW), MOST_WINDOWS)
    edges = np.linspace(0, length, count + 1).round().astype(int).tolist()
    return list(pairwise(edges))


def pieces(start: int, stop: int, n_channels: int) -> list[tuple[int, int]]:
    """Start and stop of what is read of a window: all of a short one, else pieces evenly spread."""
    if stop - start <= WINDOW:
        return [(start, stop)]
    count = min(PIECES if n_channels <= WIDE else 1, -(-(stop - start) // WINDOW))
    starts = np.linspace(start, stop - WINDOW, count).round().astype(int).tolist()
    return [(at, at + WINDOW) for at in starts]


def _extent(series: Series) -> _Extent:
    """Mean, deviation, least and largest value of each channel; 0 for a channel without any value."""
    n_channels = len(series.channels)
    count, mean, square = np.zeros(n_channels), np.zeros(n_channels), np.zeros(n_channels)
    least, largest = np.full(n_channels, np.inf), np.full(n_channels, -np.inf)
    for block in series.blocks():
        there = ~np.isnan(block).all(axis=0)
        rows, n = filled(block)[:, there], len(block)
        own, before = rows.mean(axis=0), count[there]
        apart = own - mean[there]  # Chan et al. 1983, how sums of squares are joined
        square[there] += ((rows - own) ** 2).sum(axis=0) + apart**2 * before * n / (before + n)
        mean[there] += apart * n / (before + n)
        count[there] += n
        least[there] = np.minimum(least[there], rows.min(axis=0))
        largest[there] = np.maximum(largest[there], rows.max(axis=0))
    none = count == 0
    least[none], largest[none] = 0.0, 0.0
    return _Extent(mean, np.sqrt(square / np.maximum(count, 1)), least, largest)


def _beside(series: Series) -> Block:
    """(BESIDE,) logarithms of length and of rate (0 where unknown), number of channels, missing share."""
    n_channels = len(series.channels)
    rate = 0.0 if series.rate is None else np.log10(series.rate)
    return np.array(
        [np.log10(series.length), rate, n_channels, series.missing / (series.length * n_channels)]
    )


def _vector(magnitudes: Block, look: _Look, beside: Block, device: torch.device) -> Tensor:
    """(d_encoder,) of magnitudes (C, LEVELS) and what else was seen."""
    channels = torch.from_numpy(np.concatenate([np.arcsinh(magnitudes), look.shapes], axis=1))
    slots = into_slots(channels, SLOTS).flatten()  # (SLOTS * PER_CHANNEL,), float64
    plain = torch.cat([slots, torch.from_numpy(beside)]).to(torch.float32).to(device)
    return torch.cat([plain, look.shares])
