"""Figures that profiles of several senses tell: entropy, redundancy, moments, quantiles, noise.

Everything here takes an input piece by piece and keeps no more of it than it says, so that the profile of an
hour of sound or of a million rows fits into the memory that a second or a hundred rows need.
"""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Autocorrelation",
    "Deflated",
    "Moments",
    "Reservoir",
    "difference_noise",
    "entropy_bits",
    "level_entropy",
]

RESERVOIR = 100_000  # values that quantiles are taken from
DEFLATED_BYTES = 8 << 20  # bytes whose compressibility is tried, from the start of an input
LEVELS = 256  # steps into which values are cut where their entropy is told


def entropy_bits(counts: ArrayLike) -> float:
    """Shannon's entropy of a distribution given by its counts, in bits; 0 where nothing was counted."""
    found = np.asarray(counts, dtype=np.float64).ravel()
    found = found[found > 0]
    if not found.size:
        return 0.0
    shares = found / found.sum()
    return max(0.0, float(-(shares * np.log2(shares)).sum()))


def level_entropy(values: ArrayLike, levels: int = LEVELS) -> float:
    """The entropy of values cut into equal steps from their least to their greatest, in bits.

    At most log2(levels). What is not finite does not count.
    """
    flat = _finite(values)
    if not flat.size or flat.min() == flat.max():
        return 0.0
    return entropy_bits(np.histogram(flat, bins=levels)[0])


def difference_noise(values: ArrayLike) -> float | None:
    """The standard deviation of white noise on a smooth signal (n,), from its second differences.

    Gasser, Sroka and Jennen-Steinmetz 1986, with the median absolute deviation for the square so that steps
    and peaks hardly count. None where fewer than three neighbouring values are finite.
    """
    signal = np.asarray(values, dtype=np.float64).ravel()
    second = signal[:-2] - 2 * signal[1:-1] + signal[2:]
    second = second[np.isfinite(second)]
    if not second.size:
        return None
    return float(1.4826 * np.median(np.abs(second)) / math.sqrt(6))


class Moments:
    """Count, mean, spread, least and greatest of values that come in pieces (Chan, Golub and LeVeque 1979).

    count    finite values seen
    missing  values that were not finite
    mean, low, high  nan while nothing was seen
    """

    def __init__(self) -> None:
        self.count = 0
        self.missing = 0
        self.mean = math.nan
        self.low = math.nan
        self.high = math.nan
        self._squares = 0.0  # sum of squared distances from the mean

    def add(self, values: ArrayLike) -> None:
        """Take another piece, of any shape."""
        given = np.asarray(values)
        flat = _finite(given)
        self.missing += given.size - flat.size
        if not flat.size:
            return
        mean, low, high = float(flat.mean()), float(flat.min()), float(flat.max())
        squares = float(np.square(flat - mean).sum())
        if not self.count:
            self.count, self.mean, self.low, self.high = flat.size, mean, low, high
            self._squares = squares
            return
        total = self.count + flat.size
        apart = mean - self.mean
        self._squares += squares + apart * apart * self.count * flat.size / total
        self.mean += apart * flat.size / total
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.count = total

    @property
    def std(self) -> float:
        """The standard deviation of all values (divided by their number); nan while nothing was seen."""
        return math.sqrt(self._squares / self.count) if self.count else math.nan


class Autocorrelation:
    """The correlation of a signal with itself some steps later, as it comes in pieces.

    Only pairs of two finite values count, so a gap breaks no more than the pairs it lies in.
    """

    def __init__(self, lag: int = 1) -> None:
        self.lag = lag
        self._tail: NDArray[np.float64] = np.empty(0)
        self._origin: float | None = None  # values are counted from here, so that squares stay small
        self._pairs = 0
        self._sums = np.zeros(5)  # of a, b, aa, bb, ab

    def add(self, values: ArrayLike) -> None:
        """Take the next piece (n,)."""
        piece = np.asarray(values, dtype=np.float64).ravel()
        if self._origin is None:
            finite = piece[np.isfinite(piece)]
            self._origin = float(finite.mean()) if finite.size else None
        joined = np.concatenate([self._tail, piece])
        self._tail = joined[-self.lag :]
        first, later = joined[: -self.lag], joined[self.lag :]
        whole = np.isfinite(first) & np.isfinite(later)
        if not whole.any():
            return
        a, b = first[whole] - (self._origin or 0.0), later[whole] - (self._origin or 0.0)
        self._pairs += int(whole.sum())
        self._sums += [a.sum(), b.sum(), a @ a, b @ b, a @ b]

    @property
    def value(self) -> float | None:
        """From -1 to 1; None where nothing varies or fewer than two pairs were seen."""
        if self._pairs < 2:
            return None
        a, b, aa, bb, ab = self._sums / self._pairs
        spread = (aa - a * a) * (bb - b * b)
        if spread <= 1e-24 * max(aa * bb, 1e-300):
            return None
        return float(np.clip((ab - a * b) / math.sqrt(spread), -1, 1))


class Deflated:
    """How far zlib compresses the bytes of an input that come in pieces; only the first `limit` are tried."""

    def __init__(self, limit: int = DEFLATED_BYTES) -> None:
        self.limit = limit
        self.tried = 0
        self._packed = 0
        self._packer = zlib.compressobj(6)

    def add(self, piece: bytes | bytearray | memoryview | NDArray[Any]) -> None:
        """Take the next piece, an array in its memory's order; nothing happens once the limit is reached."""
        view = piece.data if isinstance(piece, np.ndarray) else memoryview(piece)
        if self.tried == self.limit or not view.nbytes:
            return
        taken = view.cast("B")[: self.limit - self.tried]
        self._packed += len(self._packer.compress(taken))
        self.tried += len(taken)

    @property
    def share(self) -> float | None:
        """Compressed over raw size: near 0 for what repeats, about 1 for noise; None while nothing came."""
        if not self.tried:
            return None
        return (self._packed + len(self._packer.copy().flush())) / self.tried


class Reservoir:
    """A uniform sample of at most `size` of the values that come in pieces (Vitter 1985, Algorithm R).

    The sample does not depend on how the values are cut into pieces, and is the same in every run.
    """

    def __init__(self, size: int = RESERVOIR) -> None:
        self.size = size
        self.seen = 0
        self._kept: NDArray[np.float64] = np.empty(0)
        self._random = np.random.default_rng(0)

    def add(self, values: ArrayLike) -> None:
        """Take another piece, of any shape; what is not finite does not count."""
        flat = _finite(values)
        room = self.size - self._kept.size
        if room:
            self._kept = np.concatenate([self._kept, flat[:room]])
            self.seen += min(room, flat.size)
            flat = flat[room:]
        if not flat.size:
            return
        places = (
            self._random.random(flat.size) * np.arange(self.seen + 1, self.seen + 1 + flat.size)
        ).astype(np.int64)
        stays = places < self.size
        self._kept[places[stays]] = flat[stays]
        self.seen += flat.size

    @property
    def values(self) -> NDArray[np.float64]:
        """The sample; all values, in their order, while there are no more than `size`."""
        return self._kept

    def quantiles(self, *at: float) -> list[float | None]:
        """Quantiles of the sample, such as `quantiles(0.05, 0.5, 0.95)`; None while nothing was seen."""
        if not self._kept.size:
            return [None for _ in at]
        return [float(value) for value in np.quantile(self._kept, at)]


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    flat = np.asarray(values, dtype=np.float64).ravel()
    finite = np.isfinite(flat)
    return flat if finite.all() else flat[finite]
