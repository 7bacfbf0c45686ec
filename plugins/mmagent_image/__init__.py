"""The image modality: photographs and drawings from JPEG, PNG, WebP, GIF, BMP and TIFF files.

This module only describes; reading and encoding are imported on first use.
"""

from __future__ import annotations

from collections.abc import Callable

from mmagent.hookspecs import hookimpl
from mmagent.modality import Modality
from mmagent.sniff import is_animated

# The first bytes of the formats that are read; WebP and BMP need a second look.
SIGNATURES = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "TIFF": (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
}

BMP_HEADERS = tuple(bytes([size]) for size in (12, 16, 40, 52, 56, 64, 108, 124))


def image_format(head: bytes) -> str | None:
    """The name of the image format that a file's first bytes announce, or None."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:2] == b"BM" and head[14:15] in BMP_HEADERS and head[15:18] == bytes(3):
        return "BMP"
    found = (name for name, starts in SIGNATURES.items() if head.startswith(starts))
    return next(found, None)


def sniff(head: bytes) -> bool:
    """Whether a file that starts with these bytes is a picture; an animation is a clip, though it is read."""
    return image_format(head) is not None and not is_animated(head)


@hookimpl
def register_modalities(register: Callable[[Modality], None]) -> None:
    """Add `image`."""
    register(
        Modality(
            name="image",
            help="a picture: JPEG, PNG, WebP, GIF (first frame), BMP or TIFF",
            reader="mmagent_image.reader:ImageReader",
            extensions=(".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
            sniff=sniff,
        )
    )
