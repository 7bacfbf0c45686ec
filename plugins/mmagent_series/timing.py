"""When samples were taken, as their times tell it: how regularly, how long in all, and what was left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Gap", "Timing"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Gap:
    """A stretch in which samples were left out.

    before    the last sample ahead of it
    start, stop  its first and last moment, in seconds since the first sample of the file
    samples   how many would have stood in it
    """

    before: int
    start: float
    stop: float
    samples: int


@dataclass(frozen=True, eq=False)
class Timing:
    """What a clock says beside its rate.

    jitter    largest difference of a time step from the median one, in steps
    skips     steps of more than one and a half median ones, so samples left out
    left_out  samples left out in all of them
    gaps      the longest of them, in their order
    places, seconds  (k,) some samples, the first and the last among them, and their times in seconds
    step      the median one, in seconds
    first, last  which samples the series begins and ends with, the last one included
    """

    jitter: float
    skips: int
    left_out: int
    gaps: tuple[Gap, ...]
    places: NDArray[np.int64]
    seconds: Floats
    step: float
    first: int = 0
    last: int = -1

    def at(self, samples: NDArray[np.float64] | NDArray[np.int64]) -> Floats:
        """Seconds from the first sample of the series to others (n,), counted from it."""
        own = np.asarray(samples, dtype=np.float64) + self.first
        told = np.interp(own, self.places, self.seconds)
        return np.asarray(told - np.interp(self.first, self.places, self.seconds), dtype=np.float64)

    @property
    def duration(self) -> float:
        """Seconds from the first sample of the series to the end of the last."""
        last = np.array([self.last - self.first])
        return float(f"{float(self.at(last)[0]) + self.step:.9g}")  # times are rarely written more exactly

    @property
    def within(self) -> tuple[Gap, ...]:
        """The gaps inside of the series, by its own samples and seconds."""
        begun = float(np.interp(self.first, self.places, self.seconds))
        return tuple(
            Gap(gap.before - self.first, gap.start - begun, gap.stop - begun, gap.samples)
            for gap in self.gaps
            if self.first <= gap.before < self.last
        )

    @property
    def longest(self) -> int:
        """Samples that the longest gap in the series left out."""
        return max((gap.samples for gap in self.within), default=0)
