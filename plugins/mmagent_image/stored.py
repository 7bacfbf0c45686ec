"""What a picture was before it became 8-bit RGB: what its file, its PIL picture or its array say of it."""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

__all__ = ["KEY", "Stored", "stored_facts"]

KEY = "mmagent_source"
"""Where in `Image.info` the reader keeps what a picture was made of: bytes, a picture or an array."""

MODES = {
    "1": "black and white",
    "L": "grey",
    "LA": "grey with alpha",
    "P": "palette",
    "PA": "palette with alpha",
    "RGB": "RGB",
    "RGBA": "RGB with alpha",
    "CMYK": "CMYK",
    "YCbCr": "YCbCr",
    "LAB": "CIE Lab",
    "HSV": "HSV",
    "I": "32-bit integer grey",
    "F": "32-bit float grey",
}
TURNS = {
    1: "1 (as stored)",
    2: "2 (mirrored to be shown)",
    3: "3 (turned round to be shown)",
    4: "4 (mirrored top to bottom to be shown)",
    5: "5 (turned right and mirrored to be shown)",
    6: "6 (turned right to be shown)",
    7: "7 (turned left and mirrored to be shown)",
    8: "8 (turned left to be shown)",
}
# Steps of luminance at quality 50 (ITU-T T.81, table K.1), least first, since files keep them in a zigzag.
STEPS = np.sort(
    np.array(
        """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
        18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100
        103 99""".split(),
        dtype=np.int64,
    )
)


@dataclass(frozen=True)
class Stored:
    """Facts about the picture as it was stored; None where nothing says.

    bytes        size of the file
    transparent  share of pixels that cannot be seen
    missing      share of values that are not finite
    """

    mode: str
    channels: int | None = None
    bits: int | None = None
    format: str | None = None
    bytes: int | None = None
    dpi: float | None = None
    frames: int | None = None
    orientation: str | None = None
    alpha: bool | None = None
    transparent: float | None = None
    missing: float | None = None
    quality: int | None = None

    @property
    def raw_bits_per_pixel(self) -> int | None:
        """What a pixel takes unpacked."""
        return None if self.channels is None or self.bits is None else self.channels * self.bits


def stored_facts(raw: Image.Image) -> Stored:
    """What `ImageReader.load` kept about where a raw value came from."""
    source = raw.info.get(KEY)
    if isinstance(source, bytes):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(BytesIO(source)) as image:
                return _of_picture(image, len(source))
    if isinstance(source, Image.Image):
        return _of_picture(source, None)
    if isinstance(source, np.ndarray):
        return _of_array(source)
    return _of_picture(raw, None)


def _of_picture(image: Image.Image, size: int | None) -> Stored:
    alpha = image.has_transparency_data
    return Stored(
        mode=MODES.get(image.mode, f"grey, {image.mode[2:4]} bits" if image.mode[:1] == "I" else image.mode),
        channels=len(image.getbands()),
        bits=_bits(image),
        format=image.format,
        bytes=size,
        dpi=_dpi(image),
        frames=_frames(image),
        orientation=_orientation(image),
        alpha=alpha,
        transparent=_transparent(image) if alpha else 0.0,
        missing=_missing(np.asarray(image)) if image.mode == "F" else 0.0,
        quality=_quality(getattr(image, "quantization", None)),
    )


def _of_array(array: NDArray[Any]) -> Stored:
    channels = array.shape[2] if array.ndim == 3 else 1
    alpha = channels in (2, 4)
    return Stored(
        mode=f"array of {array.dtype}",
        channels=channels,
        bits=8 * array.dtype.itemsize,
        frames=1,
        alpha=alpha,
        transparent=float((array[..., 3] == 0).mean()) if channels == 4 else 0.0,
        missing=_missing(array),
    )


def _bits(image: Image.Image) -> int:
    """Bits of a channel: what a TIFF says of itself, else what the mode holds."""
    if image.mode in ("1", "I", "F"):
        return 1 if image.mode == "1" else 32
    told = getattr(image, "tag_v2", {}).get(258)  # BitsPerSample
    if isinstance(told, tuple) and told and isinstance(told[0], int):
        return told[0]
    return 16 if image.mode.startswith("I;16") else 8


def _dpi(image: Image.Image) -> float | None:
    with contextlib.suppress(Exception):  # as damaged metadata have it
        found = float(image.info["dpi"][0])
        return found if found > 1 else None
    return None


def _frames(image: Image.Image) -> int | None:
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # a later frame is damaged; the first one, which is read, need not be
        return None


def _orientation(image: Image.Image) -> str | None:
    with contextlib.suppress(Exception):
        return TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 0))
    return None


def _transparent(image: Image.Image) -> float | None:
    with contextlib.suppress(Exception):
        counts = image.convert("RGBA").getchannel("A").histogram()
        return counts[0] / sum(counts)
    return None


def _missing(values: NDArray[Any]) -> float:
    return 0.0 if values.dtype.kind != "f" else float(1 - np.isfinite(values).mean())


def _quality(tables: Any) -> int | None:
    """The quality on the scale of the Independent JPEG Group whose luminance table is nearest to a file's."""
    if not tables or len(tables.get(0, ())) != len(STEPS):
        return None
    quality = np.arange(1, 101)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)  # per cent
    usual = ((STEPS * scale[:, None] + 50) // 100).clip(1, 255)  # (100, 64)
    return int(quality[np.abs(usual - np.sort(tables[0])).sum(1).argmin()])
