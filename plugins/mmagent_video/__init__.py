"""The video modality: GIF, animated WebP and PNG through Pillow, MP4, WebM and their kin through PyAV.

This module only describes; reading and encoding are imported on first use.
"""

from __future__ import annotations

from collections.abc import Callable

from mmagent.hookspecs import hookimpl
from mmagent.modality import Modality
from mmagent.sniff import is_animated

STILL_BRANDS = (b"heic", b"heix", b"mif1", b"avif", b"jxl ", b"M4A ", b"M4B ", b"crx ")
"""What looks like an MP4 by its first bytes and holds no video: pictures and sound."""


def video_format(head: bytes) -> str | None:
    """The name of the video format that a file's first bytes announce, or None.

    Every GIF, WebP and PNG has a name here, also one that holds a single picture: it is a clip of one frame
    where somebody says that it is a clip.
    """
    if head[4:8] == b"ftyp":
        return None if head[8:12] in STILL_BRANDS else "MP4"
    if head[4:8] in (b"moov", b"mdat", b"wide"):
        return "MP4"  # as QuickTime writes it
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "WebM" if b"webm" in head[:64] else "Matroska"
    if head[:4] == b"RIFF":
        return {b"AVI ": "AVI", b"WEBP": "WebP"}.get(head[8:12])
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    return "PNG" if head[:8] == b"\x89PNG\r\n\x1a\n" else None


def sniff(head: bytes) -> bool:
    """Whether a file that starts with these bytes is a clip: a still picture is none."""
    kind = video_format(head)
    return is_animated(head) if kind in ("GIF", "WebP", "PNG") else kind is not None


@hookimpl
def register_modalities(register: Callable[[Modality], None]) -> None:
    """Add `video`."""
    register(
        Modality(
            name="video",
            help="a clip: GIF, animated WebP or PNG, MP4, WebM, Matroska or AVI",
            reader="mmagent_video.reader:VideoReader",
            extensions=(".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".gif", ".apng"),
            sniff=sniff,
            encoder="builtin",
        )
    )
