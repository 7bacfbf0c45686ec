"""A clip: what a reader hands on, which decodes its frames only when they are asked for.

A `Film` is one file's (or array's) own way to give frames by number, in order; a `Clip` draws a fixed number
of them, evenly, one at a time, and keeps them small. So an hour of film takes the memory of sixteen frames.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmagent.errors import UserError

__all__ = ["Clip", "Film", "Frame", "Sample", "check_film", "evenly"]

Pixels = NDArray[np.uint8]

SAMPLED = 16  # frames that a clip is encoded from
MAX_SIDE = 256  # pixels of a sampled frame's longer side
MAX_PIXELS = 64_000_000  # of one frame; 8K film has 33 million
MAX_FPS = 10_000.0
SHORT_OF_END = 2  # frames at the end that a whole file may still hold back


@dataclass(frozen=True)
class Frame:
    """One decoded frame: its number, its time in seconds from the first, and (H, W, 3) RGB values."""

    number: int
    seconds: float
    pixels: Pixels
    damaged: bool = False


class Film(Protocol):
    """A source of frames.

    kind, codec    what people call file format and coding: "GIF", "LZW"
    width, height  in pixels
    n_frames       that can be read; `n_announced` those that the file says it has
    seconds        from the first frame to the end of the last; None where nothing tells
    fps            frames per second, on average; None where nothing tells
    n_bytes        of the file; of an array its values
    """

    name: str
    kind: str
    codec: str
    width: int
    height: int
    n_frames: int
    n_announced: int
    seconds: float | None
    fps: float | None
    n_bytes: int

    def frames(self, numbers: Sequence[int]) -> Iterator[Frame]:
        """The frames of these rising numbers, decoded one at a time. Raises `UserError`."""


@dataclass(frozen=True)
class Sample:
    """The frames that stand for a clip: rising times in seconds, small pictures of one size, their sha256."""

    seconds: tuple[float, ...]
    frames: tuple[Pixels, ...]
    digest: str


class Clip:
    """A film with the few frames that were drawn from it, evenly and once."""

    def __init__(self, film: Film) -> None:
        self.film = film

    @cached_property
    def sample(self) -> Sample:
        """At most `SAMPLED` frames, the first and the last among them, at most `MAX_SIDE` pixels long.

        The digest is of their pixels at full size and of the number of frames, not of times and not of how
        the file is coded: the same frames in another lossless container have the same one. Raises
        `UserError`.
        """
        digest = hashlib.sha256(f"video {self.film.n_frames} frames\n".encode())
        seconds, small = [], []
        for frame in self.film.frames(evenly(self.film.n_frames, SAMPLED)):
            digest.update(f"{frame.number} {frame.pixels.shape}\n".encode())
            digest.update(np.ascontiguousarray(frame.pixels).data)
            seconds.append(frame.seconds)
            small.append(shrunk(frame.pixels, MAX_SIDE))
        return Sample(tuple(seconds), tuple(small), digest.hexdigest())


def evenly(n: int, most: int) -> list[int]:
    """At most `most` of the numbers below n, evenly spaced, with the first and the last of them."""
    return [round(at) for at in np.linspace(0, n - 1, min(n, most)).tolist()]


def shrunk(pixels: Pixels, side: int) -> Pixels:
    """A frame whose longer side has at most so many pixels: means over the areas of the new pixels."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return np.array(pixels)  # a copy, so that nothing larger is held
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def check_film(film: Film) -> None:
    """Refuse what no decoder should be let loose on. Raises `UserError`."""
    if film.n_frames < 1:
        raise UserError(f"{film.name} holds no frame ({film.kind}, 0 frames). Give a whole clip.")
    if film.width < 1 or film.height < 1:
        raise UserError(
            f"{film.name} has no pixels: its frames are {film.width} x {film.height}. Give a whole clip."
        )
    if film.width * film.height > MAX_PIXELS:
        raise UserError(
            f"{film.name} says that its frames are {film.width:,} x {film.height:,} pixels; at most "
            f"{MAX_PIXELS // 1_000_000} million are read. Make them smaller first."
        )
    if film.fps is not None and not 0 < film.fps <= MAX_FPS:
        raise UserError(
            f"{film.name} says that it has {film.fps:,.4g} frames a second; more than 0 and at most "
            f"{MAX_FPS:,.0f} can be meant. Write it again with the rate it was taken at."
        )
