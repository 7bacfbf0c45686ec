"""GIF, animated WebP and animated PNG: frame by frame from the beginning, each on what the last one left."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import accumulate

import numpy as np
from PIL import Image

from mmagent.errors import UserError
from mmagent_video.clip import Frame, Pixels, check_film
from mmagent_video.gif import drawn, scan
from mmagent_video.headers import read_header

__all__ = ["Animation"]

CODECS = {"GIF": "LZW", "WebP": "VP8", "PNG": "deflate"}
MAX_DECODED = 5_000  # frames; each has to be decoded on top of those before it
MAX_WORK = 2_000_000_000  # pixels decoded in one pass through a file


class Animation:
    """An animated picture in memory, decoded from its beginning whenever frames are asked for.

    One of more than `MAX_DECODED` frames, or of more pixels than `MAX_WORK`, is read that far.
    """

    def __init__(self, data: bytes, kind: str, name: str) -> None:
        """Raises `UserError` for what is cut off, empty or too large; nothing is decoded yet."""
        self.name, self.kind, self.codec, self.n_bytes = name, kind, CODECS[kind], len(data)
        self._data = data
        header = read_header(kind, data)
        if not header.whole:
            there = f"{len(header.delays):,} whole frames of it are there"
            raise UserError(f"{name} is cut off ({kind}): {there}. Copy it again.")
        self.width, self.height = header.width, header.height
        self.n_announced = len(header.delays)
        if kind == "WebP" and not self.width:  # one picture keeps its size elsewhere
            with self._opened() as image:
                self.width, self.height = image.size
        most = min(MAX_DECODED, MAX_WORK // max(1, self.width * self.height))
        self.n_frames = min(self.n_announced, max(1, most))
        starts = [0.0, *accumulate(header.delays)]
        self.seconds: float | None = starts[-1] or None
        self.fps = self.n_announced / self.seconds if self.seconds else None
        self._starts = starts
        check_film(self)

    def frames(self, numbers: Sequence[int]) -> Iterator[Frame]:
        """The frames of these rising numbers. Raises `UserError` where one is damaged."""
        screens = enumerate(self._screens())
        for number in numbers:
            at, screen = self._following(screens, number)
            while at < number:
                at, screen = self._following(screens, number)
            yield Frame(number, self._starts[number], _on_white(screen))

    def _screens(self) -> Iterator[Image.Image]:
        """Every frame in order, as RGBA."""
        if self.kind == "GIF":
            yield from drawn(self._data, scan(self._data))
            return
        with self._opened() as image:
            for number in range(self.n_frames):
                image.seek(number)
                yield image.convert("RGBA")

    def _following(self, screens: Iterator[tuple[int, Image.Image]], number: int) -> tuple[int, Image.Image]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about metadata
                return next(screens)
        except (MemoryError, UserError):
            raise
        except Exception as error:  # decoders raise a dozen kinds on damaged data
            raise self._damaged(number, error) from error

    def _opened(self) -> Image.Image:
        try:
            return Image.open(BytesIO(self._data), formats=(self.kind,))
        except Exception as error:
            raise self._damaged(0, error) from error

    def _damaged(self, number: int, error: Exception) -> UserError:
        said = " ".join(str(error).split()) or type(error).__name__
        return UserError(
            f"{self.name} is damaged at frame {number + 1:,} of {self.n_announced:,} ({self.kind}: "
            f"{said:.120}). Copy it again."
        )


def _on_white(screen: Image.Image) -> Pixels:
    """(H, W, 3), what is transparent being white."""
    return np.asarray(Image.alpha_composite(Image.new("RGBA", screen.size, "white"), screen).convert("RGB"))
