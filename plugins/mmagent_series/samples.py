"""A few series that the reader can be checked with, and what must not change a feature of them."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmagent_series.series import InMemory, Series, made

__all__ = ["padded", "samples"]

MOST_PADDING = 40  # samples at either end


def samples() -> Sequence[bytes]:
    """Files: two sensors with times and a gap, a walk of more than one window, a handful of whole numbers."""
    rng = np.random.default_rng(0)
    time = np.arange(200) / 50
    rows = [f"{t:.2f},{np.sin(6 * t):.4f},{rng.normal():.4f}" for t in time.tolist()]
    rows[90] = rows[90].rpartition(",")[0] + ","
    counts = rng.integers(0, 9, (12, 3)).tolist()
    return [
        "\n".join(["time (s),swing (V),noise", *rows]).encode(),
        _npy(rng.normal(size=1500).cumsum()),
        "\n".join(["a\tb\tc", *("\t".join(map(str, row)) for row in counts)]).encode(),
    ]


def padded(series: Series, seed: int) -> Series:
    """The same series with samples before and after it in which nothing was measured."""
    before, after = np.random.default_rng(seed).integers(1, MOST_PADDING, 2).tolist()
    array = np.concatenate(list(series.blocks()))
    return made(
        InMemory(np.pad(array, ((before, after), (0, 0)), constant_values=np.nan)),
        "the padded series",
        channels=series.channels,
        units=series.units,
        rate=series.rate,
    )


def _npy(array: NDArray[np.float64]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()
