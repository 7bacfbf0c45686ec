"""A sound, drawn: its waveform above its log-mel spectrogram, with axes in seconds and hertz."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mmagent_audio.survey import Survey

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw"]

BANDS = 96
FEW = 60  # samples up to which each is a dot
LOWEST = 40.0  # Hz
SHOWN = 70.0  # dB below the loudest point
TICKS = (100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000)


def draw(found: Survey, figure: Figure | Any) -> None:
    """Draw a surveyed sound onto a matplotlib figure."""
    seconds = found.sound.seconds
    unit, scale = ("min", 60.0) if seconds >= 300 else ("s", 1.0)
    end = seconds / scale
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    time = (np.arange(found.n_columns) + 0.5) / found.n_columns * end
    if found.n_columns == found.sound.frames <= FEW:
        above.plot(time, found.highest, color="C0", marker=".", linewidth=0.8)
    above.fill_between(time, found.lowest, found.highest, linewidth=0.4, color="C0", edgecolor="C0")
    top = max(1e-4, float(np.abs([found.lowest, found.highest]).max()))
    above.set(ylim=(-1.05 * top, 1.05 * top), ylabel="amplitude\n(full scale 1)")
    above.axhline(0, color="0.6", linewidth=0.5)
    bands, hertz = _bands(found)
    shown = below.imshow(
        bands,
        origin="lower",
        aspect="auto",
        extent=(0, end, 0, len(bands)),
        cmap="magma",
        vmin=float(np.nanmax(bands)) - SHOWN,
        vmax=float(np.nanmax(bands)),
        interpolation="nearest",
    )
    ticks = [one for one in TICKS if LOWEST < one < found.rate / 2]
    below.set_yticks(np.interp(ticks, hertz, np.arange(len(bands)) + 0.5), [f"{one:,}" for one in ticks])
    below.set(xlabel=f"time ({unit})", ylabel="frequency (Hz, mel scale)", xlim=(0, end))
    figure.colorbar(shown, ax=[above, below], label="power (dB)", fraction=0.04, pad=0.01)


def _bands(found: Survey) -> tuple[Any, Any]:
    """(BANDS, columns) dB of mel bands, columns without a frame as those beside them; band centres in Hz."""
    low, high = (2595 * np.log10(1 + f / 700) for f in (LOWEST, found.rate / 2))
    edges = 700 * (10 ** (np.linspace(low, high, BANDS + 2) / 2595) - 1)
    lines = np.linspace(0, found.rate / 2, found.n_fft // 2 + 1)
    least = lines[1]
    below = np.maximum(edges[1:-1] - edges[:-2], least)[:, None]
    above = np.maximum(edges[2:] - edges[1:-1], least)[:, None]
    offset = lines - edges[1:-1, None]
    filters = np.clip(np.minimum(1 + offset / below, 1 - offset / above), 0, None)
    power = filters / filters.sum(1, keepdims=True) @ found.columns
    there = np.flatnonzero(np.isfinite(power[0]))
    nearest = there[np.abs(np.arange(power.shape[1])[:, None] - there).argmin(1)]
    return 10 * np.log10(power[:, nearest] + 1e-12), edges[1:-1]
