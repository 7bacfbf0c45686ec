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

__all__ = ["GRID", "NAMES", "PER_FRAME", "moments", "raster", "shares", "shifts"]

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
    """(3, GRID, GRID) means of a frame's colours, from 0 to 1."""
    small = Image.fromarray(pixels).resize((GRID, GRID), Image.Resampling.BOX)
    return np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1)) / 255.0


def moments(frames: Sequence[Pixels]) -> Floats:
    """(T, PER_FRAME) motion and colour of each frame, as `NAMES` says.

    A frame's change is measured against the one before; the first has what the second has, and a single
    frame does not move. Positions are those of the change, so of what moves, not of the picture.
    """
    rows = np.zeros((len(frames), PER_FRAME))
    before: Floats | None = None
    for at, frame in enumerate(frames):
        picture = raster(frame)
        found = shares(picture.reshape(3, -1))
        if before is not None:
            rows[at, :10], change = _change(before, picture, rows[at - 1])
            rows[at, 10:23] = _colours(picture, found, change)
        flat = picture.reshape(3, -1)
        rows[at, 23:29] = *flat.mean(1), *flat.std(1)
        rows[at, 29:] = found.mean(1)
        before = picture
    if len(frames) > 1:
        rows[0, :23] = rows[1, :23]
    return rows


def _change(before: Floats, after: Floats, last: Floats) -> tuple[list[float], Floats]:
    """The first ten of `NAMES` for a pair of frames, and how much each point changed (GRID, GRID).

    last: the row of the frame before, whose positions a step is measured from where there was a change.
    """
    change = np.abs(after - before).mean(0)
    change = np.where(change > STILL, change, 0.0)
    total = float(change.sum())
    if not total:
        return [0.0] * 10, change
    weight = change / total
    x, y = float(weight.sum(0) @ _PLACES), float(weight.sum(1) @ _PLACES)
    wide = float(weight.sum(0) @ (_PLACES - x) ** 2) ** 0.5
    high = float(weight.sum(1) @ (_PLACES - y) ** 2) ** 0.5
    step = (x - last[2], y - last[3]) if last[0] > 0 else (0.0, 0.0)
    flow = shifts(before, after, weight)
    return [float(change.mean()), float((change > 0).mean()), x, y, wide, high, *step, *flow], change


def shifts(before: Floats, after: Floats, weight: Floats) -> tuple[float, float]:
    """The displacement (x, y), in points of the raster, that explains the change best.

    before, after (3, H, W); weight (H, W) of each point, its sum 1. Least squares over all points and
    colours, after Lucas and Kanade; where edges move by more than a point its length is rough, not its way.
    """
    down, right = np.gradient((before + after) / 2, axis=(1, 2))
    later = after - before
    heavy_right, heavy_down = weight * right, weight * down
    xx = float(np.vdot(heavy_right, right)) + STIFF
    yy = float(np.vdot(heavy_down, down)) + STIFF
    xy = float(np.vdot(heavy_right, down))
    xt, yt = float(np.vdot(heavy_right, later)), float(np.vdot(heavy_down, later))
    det = xx * yy - xy * xy
    return (-xt * yy + yt * xy) / det, (-yt * xx + xt * xy) / det


def _colours(picture: Floats, found: Floats, change: Floats) -> Floats:
    """Mean colour (3) and shares of colours (10) where a picture changed."""
    total = change.sum()
    if not total:
        return np.zeros(len(picture) + len(found))
    weight = change.reshape(-1) / total
    return np.concatenate([picture.reshape(3, -1) @ weight, found @ weight])


def shares(flat: Floats) -> Floats:
    """(3, N) colours as (10, N) shares of six hues, by how vivid they are, and of four greys."""
    r, g, b = flat
    top = np.maximum(np.maximum(r, g), b)
    vivid = top - np.minimum(np.minimum(r, g), b)
    safe = np.where(vivid > 0, vivid, 1.0)
    hue = np.where(top == r, ((g - b) / safe) % 6, np.where(top == g, (b - r) / safe + 2, (r - g) / safe + 4))
    found = np.empty((len(HUES) + len(GREYS), flat.shape[1]))
    for at in range(len(HUES)):  # hue runs from 0 to 6, red to red
        away = np.abs(hue - at)
        found[at] = np.maximum(1 - np.minimum(away, 6 - away), 0) * vivid
    for at in range(len(GREYS)):
        found[len(HUES) + at] = np.maximum(1 - np.abs(top * 3 - at), 0) * (1 - vivid)
    return found
