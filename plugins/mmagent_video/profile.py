"""What a clip is made of: frames, rate, motion and its direction, cuts, repetition, noise and damage.

Frames pass by one at a time and are forgotten; of a long clip `PROFILED` of them, in `STRETCHES` stretches of
neighbours that lie evenly over it, so that motion and cuts are between frames that follow each other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmagent.profile import Profile, Told
from mmagent_video import motion
from mmagent_video.clip import Clip, Frame, Pixels, evenly, shrunk

__all__ = ["Course", "direction", "looked_at", "profile"]

PROFILED, STRETCHES = 600, 8  # frames that are looked at, at most, and in how many stretches
SIDE = 256  # pixels of the longer side of a frame whose entropy is taken
CROP = 512  # pixels of the middle of a frame, at full size, that noise is estimated from
CUT, CUT_TIMES = 0.08, 5.0  # a cut changes so much of full scale, and so many times the usual
GAP = 1.5  # times the usual time between two frames
COHERENT = 0.3  # of the flow's length that is left of its sum, where there is a direction to tell
WAYS = ("right", "right and down", "down", "left and down", "left", "left and up", "up", "right and up")

Floats = NDArray[np.float64]


@dataclass
class Course:
    """What was seen of each frame, in order: its time, and how much of full scale it changed (0 to 1).

    energy  NaN where the frame before was not looked at
    last    number of the frame seen last
    """

    seconds: list[float] = field(default_factory=list)
    energy: list[float] = field(default_factory=list)
    flow: list[tuple[float, float]] = field(default_factory=list)
    cuts: list[float] = field(default_factory=list)
    last: int = -1

    def changes(self) -> Floats:
        """The energies that were measured."""
        energy = np.array(self.energy)
        measured: Floats = energy[~np.isnan(energy)]
        return measured


@dataclass
class _Sums:
    """What is added up over the frames."""

    levels: Floats = field(default_factory=lambda: np.zeros(256))
    changes: Floats = field(default_factory=lambda: np.zeros(511))
    colour: Floats = field(default_factory=lambda: np.zeros(3))
    shares: Floats = field(default_factory=lambda: np.zeros(10))
    changed: list[float] = field(default_factory=list)
    noise: list[float] = field(default_factory=list)
    seen: set[bytes] = field(default_factory=set)
    repeats: int = 0
    again: int = 0
    damaged: int = 0


def profile(clip: Clip) -> Profile:
    """The profile of a clip. Raises `UserError` where it does not decode."""
    from mmagent_video.sheet import draw

    film = clip.film
    course, sums = _watched(clip)
    n = len(course.seconds)
    way, coherence = direction(course)
    moves = "one frame" if n == 1 else f"moves {way}" if way else "moves no one way"
    if n > 1 and not course.changes().any():
        moves = "nothing moves"
    length = f"{film.seconds:.2f} s" if film.seconds else "of unknown length"
    rate = f" at {film.fps:.3g} a second" if film.fps and n > 1 else ""
    aspects: dict[str, Mapping[str, Told]] = {
        "elements": _elements(sums, n),
        "sampling": _sampling(clip, course),
        "structure": _structure(course, sums, way, coherence),
        "information": _information(clip, sums, n),
        "noise": _noise(clip, course, sums),
    }
    frames = "1 frame" if film.n_announced == 1 else f"{film.n_announced:,} frames"
    return Profile(
        f"clip, {film.width} x {film.height}, {frames}{rate}, {length}; {moves}",
        aspects,
        partial(draw, clip, course, moves),
    )


def direction(course: Course) -> tuple[str, float]:
    """Which way things move, in words ("" where no one way), and how much they agree, from 0 to 1.

    The mean flow, each frame weighted by how much it changed, against the mean of its length.
    """
    flow, energy = np.array(course.flow or [(0.0, 0.0)]), np.nan_to_num(course.energy or [0.0])
    length = float(energy @ np.hypot(flow[:, 0], flow[:, 1]))
    if not length:
        return "", 0.0
    x, y = energy @ flow
    coherence = float(np.hypot(x, y)) / length
    at = round(float(np.arctan2(y, x)) / (np.pi / 4)) % 8
    return (WAYS[at] if coherence >= COHERENT else ""), coherence


def looked_at(n: int) -> list[int]:
    """The numbers of the frames that are looked at, of n."""
    if n <= PROFILED:
        return list(range(n))
    long = PROFILED // STRETCHES
    return [start + at for start in evenly(n - long + 1, STRETCHES) for at in range(long)]


def _watched(clip: Clip) -> tuple[Course, _Sums]:
    """Go through the frames once."""
    course, sums = Course(), _Sums()
    before: tuple[Floats, NDArray[np.int16], bytes] | None = None
    for frame in clip.film.frames(looked_at(clip.film.n_frames)):
        if frame.number != course.last + 1:
            before = None
        course.last = frame.number
        raster, luma = motion.raster(frame.pixels), _luma(shrunk(frame.pixels, SIDE))
        name = hashlib.blake2b(np.ascontiguousarray(frame.pixels).data, digest_size=16).digest()
        _add(sums, frame, raster, luma)
        energy, flow = float("nan"), (0.0, 0.0)
        if before is not None:
            energy = 0.0
            change = np.abs(raster - before[0]).mean(0)
            moving = np.where(change > motion.STILL, change, 0.0)
            energy = float(moving.mean())
            if total := float(moving.sum()):
                flow = motion.shifts(before[0], raster, moving / total)
            sums.changed.append(float((moving > 0).mean()))
            if luma.shape == before[1].shape:
                sums.changes += np.bincount((luma - before[1]).ravel() + 255, minlength=511)
            sums.repeats += name == before[2]
        sums.again += name in sums.seen
        sums.seen.add(name)
        course.seconds.append(frame.seconds)
        course.energy.append(energy)
        course.flow.append(flow)
        before = raster, luma, name
    energies = course.changes()
    sharp = max(CUT, CUT_TIMES * float(np.median(energies))) if energies.size else CUT
    course.cuts = [at for at, e in zip(course.seconds, course.energy, strict=True) if e > sharp]
    return course, sums


def _add(sums: _Sums, frame: Frame, raster: Floats, luma: NDArray[np.int16]) -> None:
    sums.levels += np.bincount(luma.ravel(), minlength=256)
    sums.colour += raster.reshape(3, -1).mean(1)
    nearest = motion.shares(raster.reshape(3, -1)).argmax(0)
    sums.shares += np.bincount(nearest, minlength=len(sums.shares)) / len(nearest)
    sums.damaged += frame.damaged
    height, width = frame.pixels.shape[:2]
    top, left = max(0, (height - CROP) // 2), max(0, (width - CROP) // 2)
    sums.noise.append(_grain(_luma(frame.pixels[top : top + CROP, left : left + CROP])))


def _elements(sums: _Sums, n: int) -> dict[str, str | float | None]:
    levels = np.arange(256)
    share = sums.levels / sums.levels.sum()
    mean = float(share @ levels)
    names = (*motion.HUES, *motion.GREYS)
    first = sorted(zip(sums.shares / n, names, strict=True), reverse=True)[:3]
    return {
        "element": "frame of 8-bit RGB pixels",
        "red, green, blue (mean, 0 to 255)": ", ".join(f"{255 * v / n:.0f}" for v in sums.colour),
        "brightness (mean, 0 to 255)": round(mean, 2),
        "brightness (spread)": round(float(share @ (levels - mean) ** 2) ** 0.5, 2),
        "colours, by area": ", ".join(f"{name} {100 * value:.0f} %" for value, name in first if value > 0),
    }


def _sampling(clip: Clip, course: Course) -> dict[str, str | int | float | None]:
    film = clip.film
    steps = _steps(course)
    known = film.fps is not None and len(steps) > 0
    return {
        "frames": film.n_announced,
        "frames that can be read": film.n_frames,
        "frames looked at": len(course.seconds),
        "frames that are encoded": len(clip.sample.frames),
        "rate (frames/s)": round(film.fps, 3) if film.fps and film.n_frames > 1 else None,
        "duration (s)": None if film.seconds is None else round(film.seconds, 3),
        "time between frames (s, spread)": round(float(steps.std()), 4) if known else None,
        "width (pixels)": film.width,
        "height (pixels)": film.height,
        "file format": film.kind,
        "coding": film.codec,
        "size (bytes)": film.n_bytes,
    }


def _structure(
    course: Course, sums: _Sums, way: str, coherence: float
) -> dict[str, str | int | float | None]:
    energy = course.changes()
    still = not energy.size
    return {
        "cuts": len(course.cuts),
        "cuts at (s)": ", ".join(f"{at:.2f}" for at in course.cuts[:12]) or None,
        "motion energy (mean, 0 to 1)": None if still else round(float(energy.mean()), 5),
        "motion energy (most)": None if still else round(float(energy.max()), 5),
        "part of the picture that changes (mean)": None if still else round(float(np.mean(sums.changed)), 4),
        "direction": way or None,
        "direction agrees (0 to 1)": None if still else round(coherence, 3),
    }


def _information(clip: Clip, sums: _Sums, n: int) -> dict[str, float | None]:
    film = clip.film
    of_frame, of_change = _entropy(sums.levels), _entropy(sums.changes)
    there = n > 1
    pixels = film.width * film.height * film.n_announced
    return {
        "entropy of brightness (bits/pixel)": round(of_frame, 3),
        "entropy of its change (bits/pixel)": round(of_change, 3) if there else None,
        "redundancy between frames (share)": (
            round(max(0.0, 1 - of_change / of_frame), 3) if there and of_frame else None
        ),
        "frames equal to the one before (share)": round(sums.repeats / max(1, len(sums.changed)), 4)
        if there
        else None,
        "frames equal to an earlier one (share)": round(sums.again / n, 4),
        "file (bits/pixel)": round(8 * film.n_bytes / pixels, 4),
    }


def _noise(clip: Clip, course: Course, sums: _Sums) -> dict[str, int | float | None]:
    film = clip.film
    steps = _steps(course)
    gaps = int((steps > GAP * np.median(steps)).sum()) if len(steps) > 1 and film.fps else None
    return {
        "noise of brightness (standard deviation, 0 to 255)": round(float(np.median(sums.noise)), 3),
        "damaged frames": sums.damaged,
        "missing at the end (frames)": film.n_announced - film.n_frames,
        "gaps in time": gaps,
    }


def _steps(course: Course) -> Floats:
    """Seconds between frames that follow each other."""
    measured = ~np.isnan(np.array(course.energy))
    steps: Floats = np.diff(course.seconds)[measured[1:]]
    return steps


def _luma(pixels: Pixels) -> NDArray[np.int16]:
    """(H, W) brightness, ITU-R BT.601."""
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).convert("L")).astype(np.int16)


def _grain(luma: NDArray[np.int16]) -> float:
    """Standard deviation of noise: Immerkaer 1996, "Fast noise variance estimation", as a median.

    The median absolute deviation stands for the mean, so that edges do not count as noise.
    """
    if min(luma.shape) < 3:
        return 0.0
    x = luma.astype(np.int32)
    rows = x[:-2] - 2 * x[1:-1] + x[2:]
    both = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    return float(np.median(np.abs(both))) / 0.6745 / 6


def _entropy(counts: Floats) -> float:
    share = counts[counts > 0] / max(1.0, counts.sum())
    return float(-(share * np.log2(share)).sum()) + 0.0
