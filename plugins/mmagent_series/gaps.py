"""Gaps: a missing value is drawn on a line between its neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmagent_series.series import Block

__all__ = ["filled"]


def filled(block: Block, level: NDArray[np.float64] | None = None) -> Block:
    """(n, C), every NaN interpolated within its channel: the nearest value at the ends.

    level  (C,) what a channel without any value becomes; 0 unless given
    """
    gone = np.isnan(block)
    if not gone.any():
        return block
    out = block.copy()
    places = np.arange(len(block))
    for channel in np.flatnonzero(gone.any(axis=0)):
        there = ~gone[:, channel]
        if there.any():
            out[~there, channel] = np.interp(places[~there], places[there], block[there, channel])
        else:
            out[:, channel] = 0.0 if level is None else level[channel]
    return out
