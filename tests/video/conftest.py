"""Clips made in the test: a square that moves, in whatever container."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

Frames = NDArray[np.uint8]
WAYS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


@pytest.fixture(scope="session")
def moving() -> Callable[..., Frames]:
    """(T, H, W, 3): a square of one colour on grey that moves one way by `step` pixels a frame."""

    def made(
        way: str = "right",
        n: int = 12,
        *,
        size: tuple[int, int] = (48, 64),
        step: int = 2,
        side: int = 12,
        colour: tuple[int, int, int] = (200, 30, 30),
        start: tuple[int, int] | None = None,
    ) -> Frames:
        frames = np.full((n, *size, 3), 215, np.uint8)
        dx, dy = WAYS[way]
        x, y = start or ((size[1] - side - dx * step * n) // 2, (size[0] - side - dy * step * n) // 2)
        for frame in frames:
            frame[max(0, y) : max(0, y + side), max(0, x) : max(0, x + side)] = colour
            x, y = x + dx * step, y + dy * step
        return frames

    return made


@pytest.fixture(scope="session")
def animation() -> Callable[..., bytes]:
    """Frames as an animated GIF, WebP or PNG, without loss."""

    def made(frames: Frames, kind: str = "GIF", **options: Any) -> bytes:
        pictures = [Image.fromarray(frame) for frame in frames]
        if kind == "GIF":
            pictures = [one.quantize(255, dither=Image.Dither.NONE) for one in pictures]
        stream = BytesIO()
        lossless = {"lossless": True} if kind == "WEBP" else {}
        settings = {"duration": 100, "loop": 0, **lossless, **options}
        pictures[0].save(stream, kind, save_all=True, append_images=pictures[1:], **settings)
        return stream.getvalue()

    return made


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory, needs: Callable[[str], Any]) -> Callable[..., bytes]:
    """Frames in a container of PyAV, or a skip where it is not installed."""
    av = needs("av")
    folder = tmp_path_factory.mktemp("film")

    def made(
        frames: Frames,
        container: str = "mp4",
        codec: str = "libx264",
        *,
        fps: int = 10,
        pixels: str = "yuv420p",
        options: dict[str, str] | None = None,
        container_options: dict[str, str] | None = None,
    ) -> bytes:
        path: Path = folder / f"clip.{container}"
        with av.open(str(path), "w", format=container, container_options=container_options or {}) as file:
            stream = file.add_stream(codec, rate=fps, options=options or {})
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = pixels
            for frame in frames:
                file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            file.mux(stream.encode())
        return path.read_bytes()

    return made
