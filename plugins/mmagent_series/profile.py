"""What is in a series: its channels, clock, course, spectrum, redundancy, noise and gaps."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mmagent.figures import entropy_bits, level_entropy
from mmagent.profile import Profile
from mmagent_series.picture import draw
from mmagent_series.series import Series
from mmagent_series.survey import Survey, survey

__all__ = ["profile"]

TOLD = 12  # channels that are told one by one
REGULAR = 0.01  # steps from the median one that still count as a regular clock
DRIFT, CHANGE = 0.5, 2.0  # parts whose levels lie further apart in deviations, or whose spreads differ more

Told = str | int | float | bool | None


def profile(series: Series) -> Profile:
    """The profile of a series, in memory that does not grow with it.

    More than 64 channels are told of by the first 64, as the profile says.
    """
    seen = survey(series)
    n = len(series.channels)
    channels = "1 channel" if n == 1 else f"{n:,} channels"
    time = "" if series.rate is None else f", {series.rate:,.6g} Hz, {series.seconds:,.4g} s"
    return Profile(
        summary=f"series, {series.length:,} samples of {channels}{time}",
        aspects={
            "elements": _elements(series, seen),
            "sampling": _sampling(series),
            "structure": _structure(series, seen),
            "information": _information(series, seen),
            "noise": _noise(series, seen),
        },
        draw=partial(draw, series, seen),
    )


def titled(series: Series, at: int) -> str:
    """A channel's name with its unit."""
    return series.channels[at] + (f" ({series.units[at]})" if series.units[at] else "")


def _elements(series: Series, seen: Survey) -> Mapping[str, Told]:
    told: dict[str, Told] = {"channels": len(series.channels), "samples": series.length}
    whole = all(bool((own.values == np.rint(own.values)).all()) for own in seen.sampled)
    told["values"] = "whole numbers" if whole else "real numbers"
    for at, moments in enumerate(seen.moments[:TOLD]):
        low, middle, high = seen.sampled[at].quantiles(0.05, 0.5, 0.95)
        if moments.count and low is not None:
            told[titled(series, at)] = (
                f"mean {moments.mean:.4g}, deviation {moments.std:.4g}, median {middle:.4g}, "
                f"{moments.low:.4g} to {moments.high:.4g}, nine of ten {low:.4g} to {high:.4g}"
            )
        else:
            told[titled(series, at)] = "no value at all"
    if len(series.channels) > TOLD:
        told["channels not told one by one"] = len(series.channels) - TOLD
    return told


def _sampling(series: Series) -> Mapping[str, Told]:
    clock = series.timing
    return {
        "rate (Hz)": series.rate,
        "step (s)": None if series.rate is None else 1 / series.rate,
        "duration (s)": series.seconds,
        "highest frequency (Hz)": None if series.rate is None else series.rate / 2,
        "regular": None if clock is None else clock.jitter <= REGULAR,
        "largest jitter (steps)": None if clock is None else clock.jitter,
        "steps longer than one and a half": None if clock is None else clock.skips,
        "samples left out in them": None if clock is None else clock.left_out,
    }


def _structure(series: Series, seen: Survey) -> Mapping[str, Told]:
    spread = np.array([moments.std if moments.count else 0.0 for moments in seen.moments])
    moving = spread > 0
    told: dict[str, Told] = {"channels that never change": int((~moving).sum())}
    if not moving.any() or series.length < 2:
        return told
    unit = np.where(moving, spread, 1)
    trend = np.abs(seen.slope / unit)
    strongest = int(trend.argmax())
    told["strongest trend (deviations over the whole length)"] = float((seen.slope / unit)[strongest])
    told["strongest trend in"] = titled(series, strongest)
    known = [one.value for one in seen.correlations if one.value is not None]
    told["autocorrelation at one step (mean)"] = float(np.mean(known)) if known else None
    rate = series.rate
    louder = int(np.where(moving, seen.power.max(axis=0, initial=0), -1).argmax())
    if seen.power[:, louder].sum() > 0:
        dominant = float(seen.frequency[seen.power[:, louder].argmax()])
        told["dominant frequency (cycles per sample)"] = dominant
        told["dominant frequency (Hz)"] = None if rate is None else dominant * rate
        told["its share of the power"] = float(seen.power[:, louder].max())
        told["dominant frequency in"] = titled(series, louder)
    told["stationarity"] = _stationarity(seen, unit, series.length)
    return told


def _stationarity(seen: Survey, unit: NDArray[np.float64], length: int) -> str | None:
    """A hint from eight parts of the series: whether their levels or their spreads differ."""
    if length < 4 * seen.parts.shape[1]:
        return None
    means, spreads = seen.parts
    apart = float((means.std(axis=0) / unit).max())
    ratio = float((spreads.max(axis=0) / np.maximum(spreads.min(axis=0), 0.05 * unit)).max())
    hints = [f"levels of its eighths lie {apart:.2f} deviations apart"]
    hints.append(f"their spreads differ up to {ratio:.1f} times")
    kind = "drifts" if apart > DRIFT else "changes its spread" if ratio > CHANGE else "looks stationary"
    return f"{kind}: {', '.join(hints)}"


def _information(series: Series, seen: Survey) -> Mapping[str, Told]:
    entropies = [level_entropy(own.values) for own in seen.sampled]
    told: dict[str, Told] = {
        "entropy of values (bits, of 8, mean over channels)": float(np.mean(entropies)),
        "spectral entropy (0 a tone, 1 noise, mean)": _spectral(seen),
        "compressed share of the raw size": seen.deflated.share,
    }
    if len(seen.moments) > 1:
        told |= _shared(series, seen)
    return told


def _spectral(seen: Survey) -> float | None:
    most = np.log2(len(seen.frequency)) if len(seen.frequency) > 1 else 0.0
    moving = [channel for channel in seen.power.T if channel.sum() > 0]
    return float(np.mean([entropy_bits(channel) / most for channel in moving])) if most and moving else None


def _shared(series: Series, seen: Survey) -> dict[str, Told]:
    """What channels have in common."""
    spread = np.sqrt(np.maximum(np.diag(seen.covariance), 0))
    moving = np.flatnonzero(spread > 0)
    if len(moving) < 2:
        return {"correlation of channels (mean magnitude)": None}
    part = (seen.covariance / np.outer(np.where(spread > 0, spread, 1), np.where(spread > 0, spread, 1)))[
        np.ix_(moving, moving)
    ]
    above = np.triu_indices(len(moving), 1)
    strongest = int(np.abs(part[above]).argmax())
    first, second = (titled(series, int(moving[side[strongest]])) for side in above)
    values = np.linalg.eigvalsh(part)
    return {
        "correlation of channels (mean magnitude)": float(np.abs(part[above]).mean()),
        "strongest correlation": float(np.clip(part[above][strongest], -1, 1)),
        "strongest correlation between": f"{first} and {second}",
        "redundancy (share of variance on the first common axis)": float(values[-1] / values.sum()),
    }


def _noise(series: Series, seen: Survey) -> Mapping[str, Told]:
    cells = series.length * len(series.channels)
    told: dict[str, Told] = {
        "missing share": series.missing / cells,
        "longest gap (samples)": max(seen.longest, series.timing.longest if series.timing else 0),
        "share of steps without change": float(seen.equal.mean()),
    }
    spread = np.array([moments.std if moments.count else 0.0 for moments in seen.moments])
    known = np.flatnonzero(~np.isnan(seen.noise) & (spread > 0))
    for at in known[:TOLD].tolist():
        told[f"white noise in {titled(series, at)}"] = float(seen.noise[at])
    told["white noise (share of the deviation, mean)"] = (
        float(np.minimum(seen.noise[known] / spread[known], 1).mean()) if len(known) else None
    )
    return told
