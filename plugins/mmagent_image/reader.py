"""Reading pictures: any source to an RGB picture, or one sentence that says why not."""

from __future__ import annotations

import hashlib
import os
import struct
import warnings
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from mmagent.errors import UserError
from mmagent.reading import read_bytes
from mmagent.sniff import starts_like
from mmagent_image import image_format
from mmagent_image.pixels import from_array, to_rgb
from mmagent_image.stored import KEY

if TYPE_CHECKING:
    import torch

    from mmagent.profile import Profile
    from mmagent_image.encoder import ImageEncoder

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
READS = "Pictures are JPEG, PNG, WebP, GIF, BMP or TIFF."
SAMPLES = {"PNG": (48, 32), "JPEG": (64, 64), "BMP": (30, 50)}
MAX_BYTES = 1 << 30  # a file of more than 1 GiB is no photograph


def kept_elsewhere(image: Image.Image, seed: int) -> Image.Image:
    """The picture after it was saved without loss, in one of three formats, and opened again."""
    stream = BytesIO()
    image.save(stream, ("PNG", "BMP", "TIFF")[seed % 3])
    return decode(stream.getvalue(), "the copy")


class ImageReader:
    """The working half of the modality `image`; a raw value is an RGB `PIL.Image.Image`."""

    invariances: Mapping[str, Callable[[Any, int], Any]] = {"another lossless format": kept_elsewhere}

    def load(self, source: object) -> Image.Image:
        """The RGB picture of a path, bytes, "-" (stdin), an open binary file, a PIL picture or a numpy array.

        Raises `UserError` for what is missing, unreadable, damaged or no picture.
        """
        if isinstance(source, Image.Image):
            return _made_of(source.info.get(KEY, source), to_rgb(source))
        if isinstance(source, np.ndarray):
            return _made_of(source, from_array(source))
        if isinstance(source, bytes | bytearray | memoryview | str | os.PathLike) or hasattr(source, "read"):
            return decode(*read_bytes(source, "a picture", most=MAX_BYTES))
        raise UserError(
            f"a picture cannot be made of a {type(source).__name__}. Give a path, bytes, '-' for standard "
            "input, a PIL picture or a numpy array."
        )

    def describe(self, raw: Image.Image) -> str:
        """The picture's size in pixels."""
        return f"picture, {raw.width} x {raw.height} pixels"

    def fingerprint(self, raw: Image.Image) -> str:
        """sha256 of size and RGB pixels: the same picture has the same one in every lossless format."""
        rgb = raw if raw.mode == "RGB" else to_rgb(raw)
        digest = hashlib.sha256(f"image {rgb.width} x {rgb.height} RGB\n".encode())
        digest.update(rgb.tobytes())
        return digest.hexdigest()

    def samples(self) -> Sequence[bytes]:
        """Small pictures of noise and of one colour, for checks."""
        return [_sample(kind, size, seed) for seed, (kind, size) in enumerate(SAMPLES.items())]

    def vary(self, raw: Image.Image, seed: int) -> Image.Image:
        """The picture as it might have been taken: cut a little, mirrored, in another light."""
        from mmagent_image.vary import vary

        return vary(raw, seed)

    def profile(self, raw: Image.Image) -> Profile:
        """What is in the picture, and how it was stored."""
        from mmagent_image.profile import profile

        return profile(raw)

    def load_encoder(
        self,
        location: str,
        *,
        device: torch.device,
        dtype: torch.dtype,
        trust_remote_code: bool = False,
    ) -> ImageEncoder:
        """The frozen transformers vision model in a directory or under a hub id. Raises `UserError`."""
        from mmagent_image.encoder import ImageEncoder

        return ImageEncoder.load(location, device=device, dtype=dtype, trust_remote_code=trust_remote_code)


def decode(data: bytes, name: str) -> Image.Image:
    """The RGB picture in the content of a file; of an animation the first frame.

    Raises `UserError` for content that is empty, no picture, damaged, too large or without pixels.
    """
    if not data:
        raise UserError(f"{name} is empty (0 bytes), so there is no picture in it. {READS}")
    if len(data) > MAX_BYTES:
        raise UserError(f"{name} has more than {MAX_BYTES >> 30} GiB. Make the picture smaller first.")
    kind = image_format(data[:64])
    if kind is None:
        raise UserError(f"{name} is not a picture: it starts like {starts_like(data[:4096])}. {READS}")
    if 0 in (size := _announced_size(kind, data)):
        raise UserError(f"{name} has no pixels: it is {size[0]} x {size[1]}. Give a whole picture.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata and about pictures that are large but allowed
            with Image.open(BytesIO(data), formats=FORMATS) as image:
                image.load()
                return _made_of(data, to_rgb(image, name))
    except Image.DecompressionBombError as error:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise UserError(
            f"{name} unpacks to too many pixels{_by(size)}; at most {most} million are read. "
            "Make it smaller first."
        ) from error
    except (UserError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise UserError(
            f"{name} starts like a {kind} picture but is damaged or cut off. Copy it again."
        ) from error
    except Exception as error:  # decoders raise a dozen kinds on damaged data
        raise UserError(
            f"{name} is a {kind} picture that is damaged or cut off ({error or type(error).__name__}). "
            "Copy it again."
        ) from error


def _made_of(source: object, picture: Image.Image) -> Image.Image:
    """The picture, which remembers what it was made of, so that its profile can tell how it was stored."""
    picture.info = {KEY: source}
    return picture


def _announced_size(kind: str, data: bytes) -> tuple[int, int]:
    """Width and height in the header of a PNG, GIF or BMP; (-1, -1) where it is not so easily said."""
    try:
        if kind == "PNG":
            width, height = struct.unpack_from(">II", data, 16)
        elif kind == "GIF":
            width, height = struct.unpack_from("<HH", data, 6)
        elif kind == "BMP" and data[14] >= 40:
            width, height = struct.unpack_from("<ii", data, 18)
        else:
            return -1, -1
    except (struct.error, IndexError):
        return -1, -1
    return width, height


def _sample(kind: str, size: tuple[int, int], seed: int) -> bytes:
    values = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    values[: size[1] // 2] = (40 * seed, 200, 90)
    stream = BytesIO()
    Image.fromarray(values).save(stream, kind)
    return stream.getvalue()


def _by(size: tuple[int, int]) -> str:
    return f" ({size[0]:,} x {size[1]:,})" if size[0] > 0 else ""
