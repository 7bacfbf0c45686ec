"""What is in a picture: its profile, computed tile by tile, and the picture beside its histogram."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmagent.figures import Deflated, entropy_bits
from mmagent.profile import Profile
from mmagent_image.stored import Stored, stored_facts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TILE = 1024  # pixels along the side of what is looked at together
EDGE = 16  # grey levels per pixel from which a change counts as an edge
BAR = 4  # levels to a bar of the histogram
SHOWN = 1024  # pixels along the longer side of the picture that is drawn

# The noise mask of Immerkaer, "Fast noise variance estimation" (1996): the difference of two Laplacians,
# which neither flat areas nor ramps nor straight edges move.
NOISE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
SOBEL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=np.float32) / 8  # grey levels per pixel


def profile(raw: Image.Image) -> Profile:
    """The profile of an RGB picture as `ImageReader.load` returned it."""
    counts, facts = _counted(raw), stored_facts(raw)
    size = f"{raw.width:,} x {raw.height:,} pixels"
    kind = facts.format or "picture"
    return Profile(
        summary=f"{kind if kind == 'picture' else f'{kind} picture'}, {size}, {facts.mode}",
        aspects={
            "elements": _elements(counts, facts),
            "sampling": {
                "width (pixels)": raw.width,
                "height (pixels)": raw.height,
                "megapixels": raw.width * raw.height / 1e6,
                "stored size (bytes)": facts.bytes,
                "resolution (dots per inch)": facts.dpi,
            },
            "structure": {
                "file format": facts.format,
                "frames": facts.frames,
                "EXIF orientation": facts.orientation,
                "alpha channel": facts.alpha,
                "aspect (width / height)": raw.width / raw.height,
                "edge density (share of pixels)": counts.share(counts.edges, counts.windows),
            },
            "information": _information(counts, facts),
            "noise": {
                "Gaussian noise, sigma (grey levels)": counts.noise,
                "JPEG quality (1 to 100, estimated)": facts.quality,
                "transparent share": facts.transparent,
                "missing share (not a number)": facts.missing,
            },
        },
        draw=partial(_draw, raw, counts),
    )


@dataclass
class _Counts:
    """What the tiles of a picture add up to.

    colours      (3, 256) how often each level of red, green and blue
    grey         (256,) of brightness (ITU-R 601)
    differences  (511,) of the steps from a pixel's brightness to that of its right neighbour
    """

    colours: NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, 256), np.int64))
    grey: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    differences: NDArray[np.int64] = field(default_factory=lambda: np.zeros(511, np.int64))
    seen: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(1 << 24, np.bool_))
    deflated: Deflated = field(default_factory=lambda: Deflated(4 << 20))
    black: int = 0
    white: int = 0
    coloured: int = 0
    edges: int = 0
    windows: int = 0
    smooth: int = 0
    roughness: float = 0.0

    @staticmethod
    def share(part: int, whole: int) -> float | None:
        return part / whole if whole else None

    @property
    def noise(self) -> float | None:
        """The standard deviation of Gaussian noise where there is no edge; None where that is nowhere."""
        return math.sqrt(math.pi / 2) * self.roughness / (6 * self.smooth) if self.smooth else None

    def moments(self, levels: NDArray[np.int64]) -> tuple[float, float]:
        """Mean and standard deviation of counted levels."""
        at, total = np.arange(256), levels.sum()
        mean = float(levels @ at / total)
        return mean, math.sqrt(max(0.0, float(levels @ (at - mean) ** 2 / total)))


def _counted(raw: Image.Image) -> _Counts:
    counts = _Counts()
    for pixels, grey, inner in _tiles(raw):
        own = pixels[: inner[0], : inner[1]]
        counts.deflated.add(np.ascontiguousarray(own))
        for channel in range(3):
            counts.colours[channel] += np.bincount(own[..., channel].ravel(), minlength=256)
        brightness = grey[: inner[0], : inner[1]]
        counts.grey += np.bincount(brightness.ravel(), minlength=256)
        least, most = own.min(axis=2), own.max(axis=2)
        counts.black += int((most == 0).sum())
        counts.white += int((least == 255).sum())
        counts.coloured += int((most > least).sum())
        packed = own.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
        counts.seen[packed.ravel()] = True
        steps = np.diff(grey[: inner[0], : inner[1] + 1].astype(np.int16), axis=1)
        counts.differences += np.bincount(steps.ravel() + 255, minlength=511)
        _add_windows(counts, grey)
    return counts


def _tiles(raw: Image.Image) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8], tuple[int, int]]]:
    """RGB (h, w, 3) and brightness (h, w) of each tile, two pixels wider and higher than the tile itself."""
    for top in range(0, raw.height, TILE):
        for left in range(0, raw.width, TILE):
            right, bottom = min(left + TILE, raw.width), min(top + TILE, raw.height)
            part = raw.crop((left, top, min(right + 2, raw.width), min(bottom + 2, raw.height)))
            yield np.asarray(part), np.asarray(part.convert("L")), (bottom - top, right - left)


def _add_windows(counts: _Counts, grey: NDArray[np.uint8]) -> None:
    """Edges, and beside them roughness, in the 3 x 3 windows of a tile (Immerkaer 1996, equation 5).

    Edges are left out of the roughness, as Tai and Yang 2008 do; on noise alone both masks are independent,
    so that nothing is lost but windows.
    """
    if min(grey.shape) < 3:
        return
    levels = grey.astype(np.float32)
    steepness = np.hypot(_convolved(levels, SOBEL), _convolved(levels, SOBEL.T))
    smooth = steepness <= EDGE
    counts.windows += smooth.size
    counts.smooth += int(smooth.sum())
    counts.edges = counts.windows - counts.smooth
    counts.roughness += float(np.abs(_convolved(levels, NOISE)[smooth]).sum(dtype=np.float64))


def _convolved(levels: NDArray[np.float32], mask: NDArray[Any]) -> NDArray[np.float32]:
    """(h, w) through a 3 x 3 mask, (h - 2, w - 2)."""
    height, width = levels.shape[0] - 2, levels.shape[1] - 2
    total = np.zeros((height, width), np.float32)
    for y, x in np.ndindex(3, 3):
        if mask[y, x]:
            total += mask[y, x] * levels[y : y + height, x : x + width]
    return total


def _elements(counts: _Counts, facts: Stored) -> dict[str, Any]:
    pixels = int(counts.grey.sum())
    mean, spread = counts.moments(counts.grey)
    means = [counts.moments(levels)[0] for levels in counts.colours]
    return {
        "mode": facts.mode,
        "channels": facts.channels,
        "bits per channel": facts.bits,
        "brightness, mean (0 to 255)": mean,
        "brightness, spread": spread,
        "red, green, blue, mean": ", ".join(f"{value:.1f}" for value in means),
        "black share (clipped)": counts.black / pixels,
        "white share (clipped)": counts.white / pixels,
        "coloured share": counts.coloured / pixels,
        "distinct colours": int(counts.seen.sum()),
    }


def _information(counts: _Counts, facts: Stored) -> dict[str, Any]:
    pixels = int(counts.grey.sum())
    grey, steps = entropy_bits(counts.grey), entropy_bits(counts.differences)
    stored = None if facts.bytes is None else 8 * facts.bytes / pixels
    raw = facts.raw_bits_per_pixel
    return {
        "entropy of grey levels (bits, at most 8)": grey,
        "entropy of differences (bits)": steps if counts.differences.any() else None,
        "redundancy of grey levels (share)": 1 - min(grey, steps) / 8 if counts.differences.any() else None,
        "stored (bits per pixel)": stored,
        "raw (bits per pixel)": raw,
        "stored / raw": None if stored is None or not raw else stored / raw,
        "deflated / raw (zlib)": counts.deflated.share,
    }


def _draw(raw: Image.Image, counts: _Counts, figure: Figure) -> None:
    """The picture, and how many of its pixels have which level."""
    left, right = figure.subplots(1, 2, width_ratios=[1.2, 1])
    small = raw.copy()
    small.thumbnail((SHOWN, SHOWN))
    left.imshow(np.asarray(small), extent=(0, raw.width, raw.height, 0), interpolation="nearest")
    left.set(xlabel="x (pixels)", ylabel="y (pixels)")
    _draw_levels(right, counts)


def _draw_levels(axes: Any, counts: _Counts) -> None:
    """How many pixels have which level, four levels to a bar; logarithmic, as a ground may be half of all."""
    pixels = int(counts.grey.sum())
    edges = np.arange(0, 257, BAR)
    named = [("brightness", counts.grey, "#808080")]
    if counts.coloured:
        named += zip(("red", "green", "blue"), counts.colours, ("#d62728", "#2ca02c", "#1f77b4"), strict=True)
    shares = {name: levels.reshape(-1, BAR).sum(1) * 100 / pixels for name, levels, _ in named}
    for name, _, colour in named:
        look = {"fill": True, "alpha": 0.4} if name == "brightness" else {"linewidth": 1.3}
        axes.stairs(shares[name], edges, color=colour, label=name, **look)
    least = min(float(share[share > 0].min()) for share in shares.values())
    axes.set_yscale("log")
    axes.set(xlabel="level (0 to 255)", ylabel="pixels (%)", xlim=(-2, 258), ylim=(min(least / 2, 1), 150))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _: "")
    axes.set_xticks([0, 64, 128, 192, 255])
    axes.legend(frameon=False, ncols=len(named), loc="lower center", bbox_to_anchor=(0.5, 1.0))
