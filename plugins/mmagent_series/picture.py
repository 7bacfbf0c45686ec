"""A series drawn: its channels over time, each with its unit, and their spectra beside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmagent_series.series import Series
from mmagent_series.survey import Survey

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw"]

Floats = NDArray[np.float64]

DRAWN = 6  # channels
FLOOR = 1e-6  # of a channel's power, where its spectrum is cut off below
COLOURS = ("#1b6ca8", "#c8553d", "#3c8d53", "#7a4fa3", "#b8860b", "#5b6770")


def draw(series: Series, seen: Survey, figure: Figure) -> None:
    """Draw the first six channels; a long series as the band from the least to the largest value."""
    n_drawn = min(DRAWN, len(seen.moments))
    grid = figure.add_gridspec(n_drawn, 2, width_ratios=(3, 1))
    first: Any = None
    for at in range(n_drawn):
        axes = figure.add_subplot(grid[at, 0], sharex=first)
        first = first or axes
        _channel(axes, series, seen, at)
        axes.tick_params(labelbottom=at == n_drawn - 1)
    axes.set_xlabel("sample" if series.rate is None else "time (s)")
    if len(series.channels) > n_drawn:
        first.set_title(f"{n_drawn} of {len(series.channels):,} channels", fontsize="small")
    figure.align_ylabels(figure.axes)
    _spectrum(figure.add_subplot(grid[:, 1]), series, seen, n_drawn)


def _channel(axes: Any, series: Series, seen: Survey, at: int) -> None:
    low, high = seen.envelope[:, 0, at], seen.envelope[:, 1, at]
    end = series.length if series.seconds is None else series.seconds
    places = _places(series, len(low))
    colour = COLOURS[at % len(COLOURS)]
    whole = len(low) == series.length
    drawn, least, largest = _broken(series, places, low, high, whole)
    if whole:
        axes.plot(drawn, largest, color=colour, linewidth=1, marker="." if series.length < 60 else None)
    else:
        axes.fill_between(drawn, least, largest, color=colour, linewidth=0.5, step="post")
    for gap in series.timing.within if series.timing else ():
        axes.axvspan(gap.start, gap.stop, color="#999999", alpha=0.3, linewidth=0)
    for start, stop in _gaps(np.isnan(high)):
        left = places[start]
        axes.axvspan(left, end if stop == len(low) else places[stop], color="#999999", alpha=0.3, linewidth=0)
    axes.margins(x=0.01, y=0.08)
    unit = f"\n({series.units[at]})" if series.units[at] else ""
    axes.set_ylabel(f"{_short(series.channels[at])}{unit}", fontsize="small")


def _places(series: Series, columns: int) -> Floats:
    """(columns,) where each column of the picture begins: seconds, or samples without a rate."""
    samples: Floats = np.arange(columns, dtype=np.float64) * (series.length / columns)
    if series.rate is None:
        return samples
    return samples / series.rate if series.timing is None else series.timing.at(samples)


def _broken(
    series: Series, places: Floats, low: Floats, high: Floats, whole: bool
) -> tuple[Floats, Floats, Floats]:
    """Columns, and nothing between those that samples were left out between.

    whole: every sample is a column. Else a gap lies inside of a column, which goes on behind it.
    """
    gaps = series.timing.within if series.timing else ()
    behind = [1 + gap.before * len(low) // series.length for gap in gaps]  # the column after each
    again = [] if whole else [gap.stop for gap in gaps]
    where = np.array(behind if whole else [at for at in behind for _ in range(2)], dtype=np.int64)
    moments = [gap.start for gap in gaps]
    added = moments if whole else [when for pair in zip(moments, again, strict=True) for when in pair]

    def with_gaps(values: Floats) -> Floats:
        inner = [[np.nan] if whole else [np.nan, values[at - 1]] for at in behind]
        return np.insert(values, where, np.concatenate(inner) if inner else [])

    return np.insert(places, where, added), with_gaps(low), with_gaps(high)


def _gaps(gone: Any) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(gone.astype(np.int8), prepend=0, append=0)).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def _spectrum(axes: Any, series: Series, seen: Survey, n_drawn: int) -> None:
    axes.set_title("spectrum", fontsize="small")
    axes.set_xlabel("frequency (cycles per sample)" if series.rate is None else "frequency (Hz)")
    axes.set_ylabel("share of the power (dB)")
    drawn = False
    for at in range(n_drawn):
        power = seen.power[:, at]
        if power.sum() > 0:
            decibels = 10 * np.log10(np.maximum(power, FLOOR))
            colour = COLOURS[at % len(COLOURS)]
            axes.plot(seen.frequency * (series.rate or 1), decibels, color=colour, linewidth=0.9)
            drawn = True
    if not drawn:
        axes.text(0.5, 0.5, "nothing but\nstraight lines", ha="center", va="center", transform=axes.transAxes)
    axes.margins(x=0.02, y=0.08)


def _short(name: str) -> str:
    return name if len(name) <= 14 else f"{name[:13]}…"
