"""Where the elements of a set lie: its cloud of points, placed and scaled alike, in histograms and moments.

Points are moved so that the middle of their box is 0 and its longer side 2, and then counted: on a grid seen
from each side, in rings around their mean, by direction from it; and their central moments are taken. All of
it is a mean over points, a DeepSets encoder (Zaheer et al. 2017) whose phi is fixed: rho(sum of phi(x)).
"""

from __future__ import annotations

import numpy as np

from mmagent_set.elements import Elements, Floats

__all__ = ["POINTS", "cloud", "placed"]

GRID = 14  # cells along a side, seen from the front
SIDE_GRID = 8  # and from the other two sides, of points in space
RINGS = 12
DIRECTIONS = 12
MOMENTS = [(i, j, k) for i in range(5) for j in range(5) for k in range(3) if 2 <= i + j + k <= 4]
POINTS = 8 + GRID**2 + 2 * SIDE_GRID**2 + RINGS + DIRECTIONS + len(MOMENTS)


def placed(elements: Elements) -> tuple[Floats, Floats, Floats]:
    """(n, 3) places in -1..1, the middle (3,) and half of the longer side (1,); nan where one is missing.

    An axis that a set has not is 0.
    """
    places = np.zeros((elements.n, 3))
    for at, axis in enumerate("xyz"):
        if axis in elements.axes:
            places[:, at] = elements.numbers[elements.axes[axis]]
    whole = places[np.isfinite(places).all(axis=1)]
    if not len(whole) or not elements.axes:
        return np.full_like(places, np.nan), np.zeros(3), np.zeros(1)
    unit = float(np.abs(whole).max()) or 1.0  # so that no square of a large number is infinite
    low, high = (whole / unit).min(axis=0), (whole / unit).max(axis=0)
    half = max(float((high - low).max()) / 2, 1e-12)
    return (places / unit - (low + high) / 2) / half, unit * (low + high) / 2, np.array([half * unit])


def cloud(elements: Elements) -> Floats:
    """(POINTS,) the cloud of a set in its canonical order; zeros where it has no coordinates."""
    row = np.zeros(POINTS)
    places, middle, half = placed(elements)
    points = places[np.isfinite(places).all(axis=1)]
    if not len(points):
        return row
    centred = points - points.mean(axis=0)
    extent = points.max(axis=0) - points.min(axis=0)
    parts = [
        [*_signed(middle), float(np.log1p(half[0])), *extent, float(len(points) / elements.n)],
        np.sqrt(_grid(points[:, :2], GRID)),
        np.sqrt(_grid(points[:, [0, 2]], SIDE_GRID)) if "z" in elements.axes else np.zeros(SIDE_GRID**2),
        np.sqrt(_grid(points[:, [1, 2]], SIDE_GRID)) if "z" in elements.axes else np.zeros(SIDE_GRID**2),
        _rings(np.sqrt((centred**2).sum(axis=1))),
        _directions(centred),
        [float((centred[:, 0] ** i * centred[:, 1] ** j * centred[:, 2] ** k).mean()) for i, j, k in MOMENTS],
    ]
    return np.concatenate([np.asarray(part, dtype=np.float64) for part in parts])


def _grid(points: Floats, cells: int) -> Floats:
    """Shares of points in the cells of a square, each point dealt out to the four cells around it."""
    at = np.clip((points + 1) / 2 * (cells - 1), 0, cells - 1)
    low = np.minimum(at.astype(np.int64), cells - 2)
    over = at - low
    found = np.zeros(cells * cells)
    for right in (0, 1):
        for down in (0, 1):
            share = (over[:, 0] if right else 1 - over[:, 0]) * (over[:, 1] if down else 1 - over[:, 1])
            found += np.bincount(
                (low[:, 1] + down) * cells + low[:, 0] + right, share, minlength=cells * cells
            )
    return np.maximum(found, 0) / len(points)


def _rings(radius: Floats) -> Floats:
    at = np.minimum((radius / 1.8 * RINGS).astype(np.int64), RINGS - 1)
    return np.bincount(at, minlength=RINGS) / len(radius)


def _directions(centred: Floats) -> Floats:
    angle = np.arctan2(centred[:, 1], centred[:, 0])
    at = np.floor((angle + np.pi) / (2 * np.pi) * DIRECTIONS).astype(np.int64) % DIRECTIONS
    return np.bincount(at, minlength=DIRECTIONS) / len(centred)


def _signed(values: Floats) -> list[float]:
    return [float(np.copysign(np.log1p(abs(value)), value)) for value in values]
