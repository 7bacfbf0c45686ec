"""The audio modality: sound from WAV, FLAC, Ogg (Vorbis, Opus) and MP3 files, any rate, mono or stereo.

This module only describes; reading and encoding are imported on first use.
"""

from __future__ import annotations

from collections.abc import Callable

from mmagent.hookspecs import hookimpl
from mmagent.modality import Modality

LAYER_III, RESERVED_VERSION, RESERVED_RATE = 1, 1, 3  # in the header of an MPEG audio frame


def sound_format(head: bytes) -> str | None:
    """The name of the sound format that a file's first bytes announce, or None."""
    if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:12] == b"WAVE":
        return "WAV"
    if head[:4] == b"fLaC":
        return "FLAC"
    if head[:4] == b"OggS":
        return "Ogg"
    if head[:3] == b"ID3" or _mpeg_frame(head):
        return "MP3"
    return None


def _mpeg_frame(head: bytes) -> bool:
    """Whether the bytes begin with the header of a layer III frame (ISO 11172-3, section 2.4.1.3)."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bit_rate, rate = head[2] >> 4, head[2] >> 2 & 3
    return (
        layer == LAYER_III
        and version != RESERVED_VERSION
        and rate != RESERVED_RATE
        and bit_rate not in (0, 15)
    )


def sniff(head: bytes) -> bool:
    """Whether a file that starts with these bytes is a sound that can be read."""
    return sound_format(head) is not None


@hookimpl
def register_modalities(register: Callable[[Modality], None]) -> None:
    """Add `audio`."""
    register(
        Modality(
            name="audio",
            help="a sound: WAV, FLAC, Ogg or MP3",
            reader="mmagent_audio.reader:AudioReader",
            extensions=(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3"),
            sniff=sniff,
            encoder="builtin",
        )
    )
