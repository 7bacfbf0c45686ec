"""What moves in a clip, where and which way, and in what colours: fixed formulas, no weights.

Frames are looked at as means over a `GRID` x `GRID` raster. Positions run from -1 (left, top) to 1, so that
clips of all sizes compare. Displacement is the one least-squares translation of Lucas and Kanade (1981, "An
iterative image registration technique", equation 9), over the whole picture, each point weighted by how much
it changed: what stands still has no say.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmagent_video.clip import Pixels

__all__ = ["GRID", "NAMES", "PER_FRAME", "moments", "raster", "shifts"]

Floats = NDArray[np.float64]

GRID = 64
STILL = 2.0 / 255  # a point changes where it changes by more than this; less is noise of coding
STIFF = 1e-3  # keeps the displacement at rest where nothing has an edge
HUES = ("red", "yellow", "green", "cyan", "blue", "magenta")
GREYS = ("black", "dark", "light", "white")
NAMES = (
    *("energy", "changed", "x", "y", "spread x", "spread y", "shift x", "shift y", "flow x", "flow y"),
    *(f"moving {name}" for name in ("r", "g", "b", *HUES, *GREYS)),
    *(f"whole {name}" for name in ("r", "g", "b", "r spread", "g spread", "b spread", *HUES, *GREYS)),
)
PER_FRAME = len(NAMES)
"""Numbers that `moments` gives for each frame, and what each of them is."""

_PLACES = (np.arange(GRID) + 0.5) / GRID * 2 - 1


def raster(pixels: Pixels) -> Floats:
    """(GRID, GRID, 3) means of a frame's colours, from 0 to 1."""
    small = Image.fromarray(pixels).resize((GRID, GRID), Image.Resampling.BOX)
    return np.asarray(small, np.float64) / 255


def moments(frames: Sequence[Pixels]) -> Floats:
    """(T, PER_FRAME) motion and colour of each frame, as `NAMES` says.

    A frame's change is measured against the one before; the first has what the second has, and a single
    frame does not move. Positions are those of the change, so of what moves, not of the picture.
    """
    rasters = [raster(frame) for frame in frames]
    rows = np.zeros((len(rasters), PER_FRAME))
    place = np.zeros(2)
    for at, (before, after) in enumerate(zip(rasters, rasters[1:], strict=False), start=1):
        rows[at, :10], weight = _change(before, after, rows[at - 1] if at > 1 else None)
        rows[at, 10:23] = _colours(after, weight)
    if len(rasters) > 1:
        rows[0] = rows[1]
        rows[0, 6:8] = place
    for row, picture in zip(rows, rasters, strict=True):
        flat = picture.reshape(-1, 3)
        row[23:29] = *flat.mean(0), *flat.std(0)
        row[29:] = _shares(flat).mean(0)
    return rows


def _change(before: Floats, after: Floats, last: Floats | None) -> tuple[list[float], Floats]:
    """The first ten of `NAMES` for a pair of frames, and how much each point changed (GRID, GRID)."""
    change = np.abs(after - before).mean(2)
    change = np.where(change > STILL, change, 0.0)
    total = float(change.sum())
    if not total:
        return [0.0] * 10, change
    weight = change / total
    x, y = float(weight.sum(0) @ _PLACES), float(weight.sum(1) @ _PLACES)
    wide = float(weight.sum(0) @ (_PLACES - x) ** 2) ** 0.5
    high = float(weight.sum(1) @ (_PLACES - y) ** 2) ** 0.5
    moved = last is not None and last[0] > 0
    step = (x - last[2], y - last[3]) if moved and last is not None else (0.0, 0.0)
    flow = shifts(before, after, weight)
    return [change.mean(), float((change > 0).mean()), x, y, wide, high, *step, *flow], change


def shifts(before: Floats, after: Floats, weight: Floats) -> tuple[float, float]:
    """The displacement (x, y), in points of the raster, that explains the change best.

    Least squares over all points and colours, each point weighted (GRID, GRID, sum 1); after Lucas and Kanade.
    """
    middle = (before + after) / 2
    down, right = np.gradient(middle, axis=(0, 1))
    later = after - before
    w = weight[..., None]
    xx, yy, xy = (float((w * a * b).sum()) for a, b in ((right, right), (down, down), (right, down)))
    xt, yt = float((w * right * later).sum()), float((w * down * later).sum())
    xx, yy = xx + STIFF, yy + STIFF
    det = xx * yy - xy * xy
    return (-xt * yy + yt * xy) / det, (-yt * xx + xt * xy) / det


def _colours(picture: Floats, weight: Floats) -> Floats:
    """Mean colour (3) and shares of colours (10) where a picture changed."""
    total = weight.sum()
    if not total:
        return np.zeros(3 + len(HUES) + len(GREYS))
    flat, share = picture.reshape(-1, 3), weight.reshape(-1) / total
    return np.concatenate([share @ flat, share @ _shares(flat)])


def _shares(flat: Floats) -> Floats:
    """(N, 3) colours as (N, 10) shares of six hues, by how vivid they are, and of four greys."""
    top, bottom = flat.max(1), flat.min(1)
    vivid = top - bottom
    r, g, b = flat.T
    safe = np.where(vivid > 0, vivid, 1.0)
    hue = np.select(
        [top == r, top == g], [((g - b) / safe) % 6, (b - r) / safe + 2], (r - g) / safe + 4
    )  # 0 to 6, red to red
    away = np.abs(hue[:, None] - np.arange(6))
    hues = np.clip(1 - np.minimum(away, 6 - away), 0, None) * vivid[:, None]
    steps = np.abs(top[:, None] * 3 - np.arange(4))
    return np.hstack([hues, np.clip(1 - steps, 0, None) * (1 - vivid)[:, None]])
