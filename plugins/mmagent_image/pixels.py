"""Every kind of picture becomes 8-bit RGB here: alpha on white, palettes, CMYK, 16 bit, floats and arrays."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from mmagent.errors import UserError

TIFF_BITS_PER_SAMPLE = 258
ARRAYS = "An array is (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of uint8, uint16, bool or floats from 0 to 1."


def to_rgb(image: Image.Image, name: str = "the picture") -> Image.Image:
    """A new RGB picture, 8 bits per channel, turned as its EXIF orientation says, without metadata.

    Transparency is laid on white. 16-bit grey is scaled by 257, so that white stays white. 32-bit integer and
    float pictures are taken as 0..1, 0..255 or 0..65535 if all values lie there, else stretched from their
    least to their greatest value. Raises `UserError` for a picture without pixels.
    """
    if 0 in image.size:
        raise UserError(f"{name} has no pixels: it is {image.width} x {image.height}. Give a whole picture.")
    image = _colours(_turned(image))
    image.info = {}
    return image


def from_array(array: NDArray[Any], name: str = "the array") -> Image.Image:
    """The RGB picture of (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) values; the fourth channel is alpha.

    uint8 is taken as it is, uint16 divided by 257, floats from 0 to 1 times 255, bool as black and white,
    other integers if they lie in 0..255. Raises `UserError` for anything else.
    """
    shape = array.shape
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (1, 3, 4)):
        turned = array.ndim == 3 and shape[0] in (1, 3, 4)
        hint = " The channels come last: array.transpose(1, 2, 0)." if turned else ""
        raise UserError(f"{name} has the shape {shape}, which is no picture. {ARRAYS}{hint}")
    if 0 in shape:
        raise UserError(f"{name} has no pixels: its shape is {shape}. Give a whole picture.")
    values = _to_bytes(array, name)
    grey = values.ndim == 2 or values.shape[2] == 1
    return to_rgb(Image.fromarray(values.reshape(shape[:2]) if grey else values), name)


def _turned(image: Image.Image) -> Image.Image:
    """The picture as its camera was held; an EXIF block that cannot be read turns nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ImageOps.exif_transpose(image)
        except Exception:  # Pillow raises a dozen kinds on damaged EXIF; the pixels are whole all the same
            return image


def _colours(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return _sixteen_bit(image)
    if image.mode in ("I", "F"):
        return Image.fromarray(_stretched(np.asarray(image, dtype=np.float64))).convert("RGB")
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
        return image.convert("RGB") if converted is None else converted
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data or image.mode == "PA":
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.copy() if image.mode == "RGB" else image.convert("RGB")


def _sixteen_bit(image: Image.Image) -> Image.Image:
    """Grey of 16 bits (or 12, as some cameras write into TIFF) to RGB; a transparent value becomes white."""
    values = np.asarray(image).astype(np.uint32)
    bits = getattr(image, "tag_v2", {}).get(TIFF_BITS_PER_SAMPLE, (16,))[0]
    top = (1 << bits) - 1
    grey = ((values * 255 + top // 2) // top).clip(0, 255).astype(np.uint8)
    key = image.info.get("transparency")
    if isinstance(key, int):
        grey[values == key] = 255
    return Image.fromarray(grey).convert("RGB")


def _stretched(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Values of an unknown scale to 0..255; what is not finite counts as 0."""
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 65535:
        values, top = values - low, (high - low) or 1.0
    else:
        whole = bool((values == np.rint(values)).all())
        top = 255.0 if whole and high <= 255 else next(top for top in (1.0, 255.0, 65535.0) if high <= top)
    return np.rint(values * (255.0 / top)).astype(np.uint8)


def _to_bytes(array: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Values of an array as 0..255, by its type."""
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    floating = np.issubdtype(array.dtype, np.floating)
    if not floating and not np.issubdtype(array.dtype, np.integer):
        raise UserError(f"{name} holds {array.dtype} values, which are no pixels. {ARRAYS}")
    low, high, top = array.min(), array.max(), 1 if floating else 255
    if not (low >= 0 and high <= top):  # also where there is a NaN
        raise UserError(
            f"{name} holds {array.dtype} values from {low} to {high}; they must lie from 0 to {top}. {ARRAYS}"
        )
    return np.rint(array * 255.0).astype(np.uint8) if floating else array.astype(np.uint8)
