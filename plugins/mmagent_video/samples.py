"""A few clips that the reader can be checked with, and what must not change a feature of them."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmagent_video.animated import Animation
from mmagent_video.clip import Clip, Pixels
from mmagent_video.stacked import Stack

__all__ = ["as_array", "kept_elsewhere", "samples"]


def samples() -> Sequence[bytes]:
    """Files: a square that moves (GIF), noise (PNG), a light that grows (WebP); each of its own size."""
    square = np.zeros((12, 32, 48, 3), np.uint8)
    for at in range(len(square)):
        square[at, 10:20, 2 * at : 2 * at + 10] = (220, 40, 30)
    noise = np.random.default_rng(0).integers(0, 255, (5, 24, 24, 3), dtype=np.uint8)
    light = (
        np.zeros((20, 16, 40, 3), np.uint8) + np.linspace(0, 240, 20).astype(np.uint8)[:, None, None, None]
    )
    return [_written(square, "GIF"), _written(noise, "PNG"), _written(light, "WebP")]


def as_array(clip: Clip, seed: int) -> Clip:
    """The same frames as an array; for short clips."""
    return Clip(Stack(_frames(clip), clip.film.fps))


def kept_elsewhere(clip: Clip, seed: int) -> Clip:
    """The clip after it was saved without loss, in one of two formats, and opened again; for short clips."""
    kind = ("PNG", "WebP")[seed % 2]
    return Clip(Animation(_written(_frames(clip), kind), kind, "the copy"))


def _frames(clip: Clip) -> Pixels:
    """(T, H, W, 3) all frames of a clip."""
    return np.stack([frame.pixels for frame in clip.film.frames(range(clip.film.n_frames))])


def _written(frames: NDArray[np.uint8], kind: str) -> bytes:
    first, *others = (Image.fromarray(frame) for frame in frames)
    stream = BytesIO()
    how: dict[str, Any] = {"lossless": True} if kind == "WebP" else {}
    first.save(stream, kind, save_all=True, append_images=others, duration=40, loop=0, **how)
    return stream.getvalue()
