"""How far a number can be trusted: bootstrap, Wilson and t intervals, and differences on the same rows.

- A share of right answers: Wilson (1927), which holds for small n and near 0 and 1 where a bootstrap of equal
  rows has no width at all.
- Any other mean, macro-F1, perplexity: bootstrap over rows, bias-corrected and accelerated (BCa, Efron
  1987). Plain percentiles fall short where a metric is skewed or biased by resampling, as macro-F1 with rare
  classes.
- Calibration error: "basic" (reversed percentiles; Davison & Hinkley 1997, eq. 5.6), because resampling
  pushes it upwards a second time, and percentiles then lie above the truth.
- A difference of two systems: the same rows are drawn for both (paired). Beside it stands the p of a paired
  randomisation test (Fisher 1935; Noreen 1989), because the bootstrap is too quick where few rows differ:
  four rows won and none lost is p = 0.125, yet hardly any resample lacks all four.
- Runs with several seeds: Student's t over the runs.

The same seed gives the same number to the last digit: draws come from PCG64 in blocks whose size depends on
the number of rows alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mmagent.errors import UserError
from mmagent.evaluation.metric import Floats, Method, Metric, Rows, mean

__all__ = ["RESAMPLES", "Difference", "Interval", "interval", "over_seeds", "paired", "share", "wilson"]

RESAMPLES = 10_000
_BLOCK = 1 << 20  # row numbers drawn at a time: small enough for a cache, and never dependent on the machine
_LEFT_OUT = 1000  # at most so many parts are left out in turn for the acceleration
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Interval:
    """A number with its interval."""

    value: float
    low: float
    high: float
    method: str
    """wilson, bca, basic or t."""
    n: int
    """Rows, or runs for t."""
    level: float = 0.95

    def as_json(self) -> dict[str, Any]:
        """The same as plain data; what is infinite is null, which JSON can say."""
        return {k: None if v in (math.inf, -math.inf) else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Interval:
        """Back from `as_json`."""
        value, low, high = (math.inf if data[k] is None else float(data[k]) for k in ("value", "low", "high"))
        return cls(value, low, high, str(data["method"]), int(data["n"]), float(data["level"]))


@dataclass(frozen=True)
class Difference:
    """One system minus another on the same rows."""

    value: float
    low: float
    high: float
    share_not_better: float
    """Share of resamples in which the first is no better: like a one-sided p, but see `p`."""
    p: float | None
    """Two-sided p of the paired randomisation test; None where the metric is no mean over rows."""
    n: int
    level: float = 0.95

    @property
    def verdict(self) -> str:
        """better or worse where both the interval and p rule out chance, else tied."""
        chance = self.p is not None and self.p >= 1.0 - self.level
        if chance or self.low <= 0.0 <= self.high:
            return "tied"
        return "better" if self.low > 0.0 else "worse"

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self) | {"verdict": self.verdict}


def interval(metric: Metric, *, resamples: int = RESAMPLES, seed: int = 0, level: float = 0.95) -> Interval:
    """The bootstrap interval of a metric, by the method that the metric names."""
    value = metric.value()
    low, high = _bounds(metric, _resampled(metric.on, metric.n, resamples, seed), value, level)
    return Interval(value, low, high, metric.method, metric.n, level)


def share(values: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0, level: float = 0.95) -> Interval:
    """The interval of a mean of row scores: Wilson's where all are 0 or 1, else the bootstrap's."""
    metric = mean(values)
    assert metric.values is not None
    if np.isin(metric.values, (0.0, 1.0)).all():
        return wilson(int(metric.values.sum()), metric.n, level)
    return interval(metric, resamples=resamples, seed=seed, level=level)


def paired(
    first: Metric, second: Metric, *, resamples: int = RESAMPLES, seed: int = 0, level: float = 0.95
) -> Difference:
    """first - second, both measured on the same rows in the same order. Raises UserError otherwise."""
    if first.n != second.n:
        raise UserError(
            f"a paired difference needs the same rows on both sides; there are {first.n} and {second.n}."
        )
    method: Method = "basic" if "basic" in (first.method, second.method) else "bca"
    if first.values is not None and second.values is not None:
        metric = mean(first.values - second.values)
    else:
        metric = Metric(first.n, lambda draws: first.on(draws) - second.on(draws), method)
    value = metric.value()
    drawn = _resampled(metric.on, metric.n, resamples, seed)
    low, high = _bounds(metric, drawn, value, level)
    not_better = float(np.mean(drawn <= 0.0))
    p = None if metric.values is None else _randomisation_p(metric.values, resamples, seed)
    return Difference(value, low, high, not_better, p, metric.n, level)


def wilson(right: int, n: int, level: float = 0.95) -> Interval:
    """Wilson's score interval of a share, without continuity correction (Wilson 1927)."""
    if not 0 <= right <= n or n == 0:
        raise UserError(f"{right} of {n} is no share; there must be at least one row.")
    z = _NORMAL.inv_cdf((1.0 + level) / 2.0)
    p = right / n
    middle, spread = p + z * z / (2 * n), z * math.sqrt((p * (1 - p) + z * z / (4 * n)) / n)
    low, high = ((middle + sign * spread) / (1 + z * z / n) for sign in (-1, 1))
    return Interval(p, 0.0 if right == 0 else low, 1.0 if right == n else high, "wilson", n, level)


def over_seeds(values: Sequence[float], level: float = 0.95) -> Interval:
    """Mean of several runs and its t interval: mean ± t s / sqrt(k) with k - 1 degrees of freedom.

    It says how much the seed matters; it says nothing about the rows, which are the same in every run.
    """
    k = len(values)
    if k < 2:
        raise UserError(f"an interval over seeds needs at least two runs; there {'is' if k else 'are'} {k}.")
    runs = np.array(values, dtype=np.float64)
    half = _t_quantile((1.0 + level) / 2.0, k - 1) * float(runs.std(ddof=1)) / math.sqrt(k)
    centre = float(runs.mean())
    return Interval(centre, centre - half, centre + half, "t", k, level)


def _blocks(total: int, width: int) -> Iterator[tuple[int, int]]:
    """Cut `total` draws into stretches [start, end) of about `_BLOCK` row numbers."""
    step = max(1, _BLOCK // max(1, width))
    return ((start, min(start + step, total)) for start in range(0, total, step))


def _resampled(on: Callable[[Rows], Floats], n: int, resamples: int, seed: int) -> Floats:
    """The metric on `resamples` draws of n rows with replacement, sorted."""
    if resamples < 1:
        raise UserError(f"{resamples} resamples make no interval; 10000 are usual.")
    rng = np.random.Generator(np.random.PCG64(seed))
    parts = [on(rng.integers(0, n, (end - start, n), dtype=np.intp)) for start, end in _blocks(resamples, n)]
    return np.sort(np.concatenate(parts))


def _bounds(metric: Metric, drawn: Floats, value: float, level: float) -> tuple[float, float]:
    """Both ends; never such that the value itself lies outside."""
    tails = (1.0 - level) / 2.0, (1.0 + level) / 2.0
    if not np.isfinite(drawn).all():
        tails_only = np.quantile(drawn, tails, method="nearest")  # nothing can be interpolated to infinity
        low, high = float(tails_only[0]), float(tails_only[1])
    elif metric.method == "basic":
        high, low = (2.0 * value - float(q) for q in np.quantile(drawn, tails))
        low, high = max(metric.least, low), max(metric.least, high)
    else:
        low, high = (float(q) for q in np.quantile(drawn, _bca_tails(metric, drawn, value, tails)))
    return min(low, value), max(high, value)


def _bca_tails(
    metric: Metric, drawn: Floats, value: float, tails: tuple[float, float]
) -> tuple[float, float]:
    """The quantiles of the resamples that BCa takes in place of `tails` (Efron 1987, eq. 3.9)."""
    slack = 1e-12 * max(1.0, abs(value))
    below, equal = np.mean(drawn < value - slack), np.mean(np.abs(drawn - value) <= slack)
    least = 0.5 / len(drawn)
    bias = _NORMAL.inv_cdf(min(max(float(below + equal / 2.0), least), 1.0 - least))
    acceleration = _acceleration(metric)

    def shifted(tail: float) -> float:
        z = bias + _NORMAL.inv_cdf(tail)
        room = 1.0 - acceleration * z
        return _NORMAL.cdf(bias + z / room) if room > 0.0 else float(z > 0.0)

    return shifted(tails[0]), shifted(tails[1])


def _acceleration(metric: Metric) -> float:
    """Skewness of the jackknife over 6 (Efron & Tibshirani 1993, eq. 14.15).

    Rows are left out one by one, or in 1000 parts where there are more.
    """
    n, parts = metric.n, min(metric.n, _LEFT_OUT)
    size = n // parts
    if n < 3:
        return 0.0
    values = []
    for start, end in _blocks(parts, n):
        kept = np.ones((end - start, n), dtype=bool)
        for at in range(start, end):
            kept[at - start, at : parts * size : parts] = False
        values.append(metric.on(np.nonzero(kept)[1].reshape(end - start, n - size)))
    left_out = np.concatenate(values)
    gaps = left_out.mean() - left_out
    spread = float((gaps**2).sum())
    return float((gaps**3).sum()) / (6.0 * spread**1.5) if spread > 1e-24 else 0.0


def _randomisation_p(differences: Floats, resamples: int, seed: int) -> float:
    """Two-sided p when each row's two scores are swapped by lot; (1 + as extreme) / (1 + draws)."""
    moved = differences[differences != 0.0]
    if len(moved) == 0:
        return 1.0
    found = abs(float(moved.sum())) - 1e-9
    rng = np.random.Generator(np.random.PCG64(seed))
    extreme = 0
    for start, end in _blocks(resamples, len(moved)):
        kept = rng.integers(0, 2, (end - start, len(moved)), dtype=np.int8)
        extreme += int((np.abs(np.where(kept == 1, moved, -moved).sum(axis=1)) >= found).sum())
    return (1 + extreme) / (1 + resamples)


def _t_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's t for a probability above one half, by bisection of its distribution function."""
    low, high = 0.0, 1.0
    while _t_below(high, freedom) < probability:
        high *= 2.0
    for _ in range(200):
        middle = (low + high) / 2.0
        low, high = (middle, high) if _t_below(middle, freedom) < probability else (low, middle)
    return (low + high) / 2.0


def _t_below(t: float, freedom: int) -> float:
    """P(T <= t) for t >= 0 and whole degrees of freedom (Abramowitz & Stegun 1964, eq. 26.7.3 and 26.7.4)."""
    theta = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(theta), math.cos(theta)
    total, term = 0.0, cosine if freedom % 2 else 1.0
    for at in range(freedom % 2 + 2, freedom + 1, 2):
        total += term
        term *= cosine * cosine * (at - 1) / at
    inside = (2.0 / math.pi) * (theta + sine * total) if freedom % 2 else sine * total
    return 0.5 + inside / 2.0
